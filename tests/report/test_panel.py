"""The report's instrument panel and its warnings, opened offline in headless Chromium."""

import json
import shutil

import pytest

from tellapart.cli import main
from tellapart.diagnostics import training_warnings
from tests.command_line import read_log

READINGS = (
    "effective_negatives",
    "hardest_share",
    "suspects",
    "effective_margin",
    "temperature",
    "effective_rank",
    "alignment",
    "uniformity",
    "gradient_norm",
)


@pytest.fixture
def reported(visit, trained, tmp_path):
    """Writes the report of the tiny run with another log, and opens it at a width."""

    def report(change, width=1200):
        run = tmp_path / "run"
        shutil.copytree(trained, run, dirs_exist_ok=True)
        log = [change(entry) for entry in read_log(trained)]
        (run / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log))
        assert main(["report", str(run)]) == 0
        page = visit(run / "report.html")
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_selector("#map .scatterlayer .point, #map .scatterlayer path")
        return page, log

    return report


@pytest.mark.parametrize("width", [1200, 400])
def test_every_reading_has_its_last_value_and_its_curve(reported, width):
    page, log = reported(lambda entry: entry, width)
    for name in READINGS:
        gauge = page.locator(".gauges figure", has=page.locator(f"#panel-{name}"))
        number = gauge.locator("figcaption span").inner_text().replace("−", "-")
        shown = float(number.rstrip("%")) / (100 if number.endswith("%") else 1)
        last = next(entry[name] for entry in reversed(log) if name in entry)
        assert shown == pytest.approx(last, rel=0.01, abs=0.006), name
        assert page.locator(f"#panel-{name} svg.main-svg").first.bounding_box()["height"] > 60, name
    curve = page.evaluate("figures['panel-effective_rank'].data.map(trace => trace.x.bdata ? 0 : trace.x.length)")
    assert len(curve) == 2  # and its limit
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.trouble == []


def test_a_reading_that_never_changes_is_a_line_and_no_figure(reported):
    page, _ = reported(lambda entry: entry | {"temperature": 0.07, "suspects": 0.0})
    lines = page.locator(".constant div").all_inner_texts()
    assert any(line.startswith("Suspects\n0.0%") for line in lines)
    assert any(line.startswith("Temperature τ\n0.07") for line in lines)
    assert page.locator("#panel-temperature, #panel-suspects").count() == 0
    assert page.locator("#panel-alignment svg.main-svg").count() >= 1
    assert page.trouble == []


def test_a_number_of_candidates_that_changes_is_drawn(reported):
    page, _ = reported(lambda entry: entry | {"n_candidates": 8.0 + entry["step"]})
    assert "candidates, K + 1" in page.locator("#loss-legend").inner_text()
    assert page.trouble == []


def test_warnings_are_listed_above_the_curves_and_counted_at_the_top(reported):
    page, log = reported(lambda entry: entry | {"hardest_share": 0.8, "mi_bound": 1.0, "mi_ceiling": 1.05})
    expected = [f"{warning.found} {warning.remedy}" for warning in training_warnings(log)]
    assert len(expected) >= 2
    assert page.locator(".warnings li").all_inner_texts() == expected
    assert page.locator(".lead .warned").inner_text() == f"{len(expected)} warnings"
    assert page.locator(".warnings").bounding_box()["y"] < page.locator("#loss").bounding_box()["y"]


def test_a_sound_training_has_no_word_of_warnings(reported):
    page, log = reported(lambda entry: entry | {"hardest_share": 0.1, "suspects": 0.0, "mi_bound": 1.0})
    assert training_warnings(log) == []
    assert page.locator(".warnings, .warned").count() == 0


def test_a_log_without_readings_still_makes_a_report(reported):
    """As with three views, where each has several positives, or as an older version wrote it."""
    kept = {"step", "loss", "n_candidates", "accuracy", "seconds", "learning_rate", "gradient_norm"}
    page, _ = reported(lambda entry: {name: value for name, value in entry.items() if name in kept})
    assert page.locator(".gauges figure").count() == 1
    assert page.trouble == []
