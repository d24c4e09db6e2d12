"""What a batch means before any training with it: information, margin, memory and time."""

from tellapart.planning.calibration import EncoderSpeed, LossSpeed, measure_encoder, measure_loss
from tellapart.planning.options import PlanOptions, make_plan
from tellapart.planning.plan import EncoderPlan, Plan, plan
from tellapart.planning.planned_loss import PlannedLoss, Planner
from tellapart.planning.table import as_table

__all__ = [
    "EncoderPlan",
    "EncoderSpeed",
    "LossSpeed",
    "Plan",
    "PlanOptions",
    "PlannedLoss",
    "Planner",
    "as_table",
    "make_plan",
    "measure_encoder",
    "measure_loss",
    "plan",
]
