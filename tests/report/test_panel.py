"""The report's instrument panel and its warnings, opened offline in headless Chromium."""

import json
import shutil
from functools import cache

import pytest

from tellapart.cli import main
from tellapart.diagnostics import training_warnings
from tests.command_line import read_log
from tests.looks import dress

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


SPARSE = {"step", "loss", "n_candidates", "accuracy", "seconds", "learning_rate", "gradient_norm"}
TROUBLED = {"hardest_share": 0.8, "mi_bound": 1.0, "mi_ceiling": 1.05, "temperature": 0.07, "suspects": 0.0}
LOGS = {
    "as it is": lambda entry: entry,
    "troubled": lambda entry: entry | TROUBLED | {"n_candidates": 8.0 + entry["step"]},
    "sound": lambda entry: entry | {"hardest_share": 0.1, "suspects": 0.0, "mi_bound": 1.0},
    # As with three views, where each has several positives, or as an older version wrote it.
    "sparse": lambda entry: {name: value for name, value in entry.items() if name in SPARSE},
}


@pytest.fixture(scope="module")
def reported(visit_once, trained, tmp_path_factory):
    """Writes the report of the tiny run with one of `LOGS`, and opens it."""

    @cache
    def report(name):
        run = tmp_path_factory.mktemp("reported") / "run"
        shutil.copytree(trained, run)
        log = [LOGS[name](entry) for entry in read_log(trained)]
        (run / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log))
        assert main(["report", str(run)]) == 0
        page = visit_once(run / "report.html")
        page.wait_for_selector("#map .scatterlayer .point, #map .scatterlayer path")
        return page, log

    return report


@pytest.mark.parametrize("width", [1200, 400])
def test_every_reading_has_its_last_value_and_its_curve(reported, width):
    page, log = reported("as it is")
    dress(page, width, "light")
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
    page, _ = reported("troubled")
    lines = page.locator(".constant div").all_inner_texts()
    assert any(line.startswith("Suspects\n0.0%") for line in lines)
    assert any(line.startswith("Temperature τ\n0.07") for line in lines)
    assert page.locator("#panel-temperature, #panel-suspects").count() == 0
    assert page.locator("#panel-alignment svg.main-svg").count() >= 1
    assert page.trouble == []


def test_a_number_of_candidates_that_changes_is_drawn(reported):
    page, _ = reported("troubled")
    assert "candidates, K + 1" in page.locator("#loss-legend").inner_text()
    assert page.trouble == []


def test_warnings_are_listed_above_the_curves_and_counted_at_the_top(reported):
    page, log = reported("troubled")
    expected = [f"{warning.found} {warning.remedy}" for warning in training_warnings(log)]
    assert len(expected) >= 2
    assert page.locator(".warnings li").all_inner_texts() == expected
    assert page.locator(".lead .warned").inner_text() == f"{len(expected)} warnings"
    assert page.locator(".warnings").bounding_box()["y"] < page.locator("#loss").bounding_box()["y"]


def test_a_sound_training_has_no_word_of_warnings(reported):
    page, log = reported("sound")
    assert training_warnings(log) == []
    assert page.locator(".warnings, .warned").count() == 0


def test_a_log_without_readings_still_makes_a_report(reported):
    page, _ = reported("sparse")
    assert page.locator(".gauges figure").count() == 1
    assert page.trouble == []
