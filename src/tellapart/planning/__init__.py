"""What a batch means before anyone trains with it: information, margin, memory and time."""

from tellapart.planning.calibration import EncoderSpeed, LossSpeed, measure_encoder, measure_loss
from tellapart.planning.line_ups import LineUp
from tellapart.planning.options import PlanOptions, make_plan
from tellapart.planning.plan import EncoderPlan, Plan, plan
from tellapart.planning.table import as_table

__all__ = [
    "EncoderPlan",
    "EncoderSpeed",
    "LineUp",
    "LossSpeed",
    "Plan",
    "PlanOptions",
    "as_table",
    "make_plan",
    "measure_encoder",
    "measure_loss",
    "plan",
]
