"""Figures of the report that depend on how much there is to show."""

import numpy as np
import pytest

from tellapart.report.figures import accuracy_curve, label_map, loss_curve
from tellapart.report.page import _figures


@pytest.mark.parametrize(("n", "legend"), [(3, True), (30, True), (31, False), (60, False)])
def test_a_map_of_very_many_labels_has_no_legend_and_shows_all_items(n, legend):
    figure = label_map(np.zeros((2 * n, 2)), [str(row % n) for row in range(2 * n)], "place")
    assert figure.layout.showlegend is legend
    assert sum(len(trace.x) for trace in figure.data) == 2 * n


@pytest.mark.parametrize(("known", "drawn"), [(0, False), (10, False), (11, True), (20, True)])
def test_a_bound_that_few_steps_have_is_not_drawn(known, drawn):
    log = [{"step": step, "loss": 1.0, "n_candidates": 8.0} for step in range(1, 21)]
    for entry in log[:known]:
        entry |= {"mi_bound": 0.5, "mi_ceiling": 2.0}
    assert ("information" in _figures(log)) is drawn


@pytest.mark.parametrize(("draw", "name"), [(loss_curve, "loss"), (accuracy_curve, "accuracy")])
def test_what_was_measured_on_held_out_rows_is_a_line_beside_that_of_training(draw, name):
    log = [{"step": step, "loss": 1.0, "accuracy": 0.5, "n_candidates": 8.0} for step in range(1, 21)]
    before = [trace.name for trace in draw(log).data]
    for entry in log[9::10]:
        entry |= {f"held_out_{name}": entry["step"] / 100, "held_out_n_candidates": 6.0}
    after = {trace.name: trace for trace in draw(log).data}
    assert set(after) - set(before) == {"held out, K + 1 = 6"}
    line = after["held out, K + 1 = 6"]
    assert (list(line.x), list(line.y)) == ([10, 20], [0.1, 0.2])
    colours = [trace.line.color for trace in after.values()]
    assert len(set(colours)) == len(colours)
