"""What processes have ready that are forked from a server, beside its modules: half a second for each process."""

from tellapart.cli.parser import build
from tellapart.report import figures, page

build()
# Plotly reads its own tables for a first figure.
figures.loss_curve([{"step": step, "loss": 1.0} for step in (1, 2)]).to_json()
page._packed_plotly()
