"""The account of what is read: one line of it, and one policy on what is broken."""

import logging

import pytest

from tellapart import InputError, reading


def test_outside_an_account_a_broken_item_is_an_error():
    with pytest.raises(InputError, match=r"a.png is broken"):
        reading.leave_out("broken picture", "a.png", InputError("a.png is broken"))


def test_under_stop_a_broken_item_is_an_error_and_under_skip_it_is_counted():
    error = InputError("a.png is broken")
    with reading.accounted("stop"), pytest.raises(InputError, match=r"a.png is broken"):
        reading.leave_out("broken picture", "a.png", error)
    with reading.accounted("skip") as account:
        reading.leave_out("broken picture", "a.png", error)
        reading.read(2, "picture")
    assert account.told() == "Read 2 pictures. Left out 1: broken picture, a.png."
    assert account.places() == [("broken picture", "a.png")]


def test_more_broken_items_than_whole_ones_are_an_error_that_counts_them():
    with reading.accounted():
        for name in "abc":
            reading.leave_out("broken picture", name, InputError(f"{name} is broken"))
        with pytest.raises(InputError, match=r"a is broken \(and 2 more broken items\)"):
            reading.read(2, "picture")


def test_what_is_passed_over_is_no_error_however_much_it_is():
    with reading.accounted() as account:
        reading.pass_over("file of another kind", ["x"] * 5)
        reading.read(1, "picture")
    assert account.told() == "Read 1 picture. Left out 5: 5 × file of another kind, x, x, x, …."


def test_the_line_is_logged_once_and_as_a_warning_only_if_something_was_left_out(caplog):
    caplog.set_level(logging.INFO, logger="tellapart")
    with reading.accounted() as account:
        reading.read(3, "text")
        account.tell()
        account.tell()
        reading.pass_over("empty text", ["line 4"])
        account.tell()
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]
    assert caplog.messages[1] == "Read 3 texts. Left out 1: empty text, line 4."


def test_accounts_do_not_mix():
    with reading.accounted() as outer:
        reading.read(1, "text")
        with reading.accounted() as inner:
            reading.read(5, "text")
            reading.note("Odd.")
        assert outer.read == {"text": 1}
        reading.enter(inner)
    assert outer.read == {"text": 6}
    assert outer.notes == ["Odd."]
    assert reading.current() is None
