"""Times of recording: how they may be written, and clocks that cannot be meant."""

import numpy as np
import pytest

from tellapart import InputError
from tellapart.domains.sound import check_clocks, read_stamps
from tests.tiny.sound import write_table


def stamps(tmp_path, *times, name="sounds.csv", **columns):
    header = ["file", "time", *columns]
    rows = [[f"{i}.wav", time, *(column[i] for column in columns.values())] for i, time in enumerate(times)]
    write_table(tmp_path / name, [header, *rows])
    return read_stamps(tmp_path / name)


def test_rows_in_any_order_are_sorted_with_all_that_belongs_to_them(tmp_path):
    found = stamps(tmp_path, 5, 1.5, "3e0", device=["a", "b", "c"], label=["x", "", "z"])
    assert found.times.tolist() == [1.5, 3.0, 5.0]
    assert (found.names, found.devices, found.labels) == (["1.wav", "2.wav", "0.wav"], ["b", "c", "a"], ["", "z", "x"])
    assert found.places[0].endswith("sounds.csv line 3")
    assert found.files[0] == tmp_path / "1.wav"


def test_zones_are_heeded_and_the_microsecond_counts(tmp_path):
    found = stamps(tmp_path, "2024-05-01T04:30:00.25+02:00", "2024-05-01 02:30:00Z")
    assert np.diff(found.times).tolist() == [0.25]
    local = stamps(tmp_path, "2024-05-01 02:30:00", "20240501T023001")
    assert np.diff(local.times).tolist() == [1.0]
    assert local.times[0] == found.times[0]


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ((1, "noon"), "line 3: the time is 'noon'"),
        ((1, "nan"), "line 3: .*no finite number"),
        ((1, "2024-05-01"), "line 3: .*times without a time zone, but plain seconds before"),
        (("2024-05-01", "2024-05-01T00:00:00Z"), "line 3: .*times with a time zone, but times without"),
        ((1, ""), "the column time is empty"),
    ],
)
def test_times_that_cannot_be_read_or_compared_are_refused_with_their_line(tmp_path, times, message):
    with pytest.raises(InputError, match=message):
        stamps(tmp_path, *times)


def test_clocks_that_do_not_overlap_are_refused_with_the_hours_between_them(tmp_path):
    heard = stamps(tmp_path, "2024-05-01 04:00:00", "2024-05-01 04:10:00")
    seen = stamps(tmp_path, "2024-05-01 02:00:00", "2024-05-01 02:10:00", name="pictures.csv")
    with pytest.raises(InputError, match=r"Sounds are from 2024-05-01 04:00:00 to .*set --offset 7200\.") as caught:
        check_clocks(heard, seen, 0.0, 60.0)
    assert "\n" not in str(caught.value)
    check_clocks(heard, seen, 7200.0, 60.0)
    check_clocks(heard, seen, 3600.0, 3000.0)


def test_seconds_and_dates_are_not_compared(tmp_path):
    heard, seen = stamps(tmp_path, 1, 2), stamps(tmp_path, "2024-05-01", "2024-05-02", name="pictures.csv")
    with pytest.raises(InputError, match="the sounds have plain seconds, the pictures times without a time zone"):
        check_clocks(heard, seen, 0.0, 1e9)
