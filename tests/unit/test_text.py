"""What comes from outside is safe to show; durations and tables read well."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appagent.host.text import one_line, plain, tail, unbroken
from appagent.report.text import age, count, cut, duration, moment, width, without_make, wrap


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;a new title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\after", "after"),
        ("\x9b31mred", "red"),
        ("\x1b[2J\x1b[Hcleared", "cleared"),
        ("cut off\x1b[", "cut off"),
        ("cut off\x1b", "cut off"),
        ("bell\x07 null\x00 del\x7f", "bell null del"),
        ("10 %\r50 %\r100 %\n", "100 %\n"),
        ("dos\r\nlines\r\n", "dos\nlines\n"),
        ("right\u202eto left", "rightto left"),
        ("caf\udce9", "caf\\xe9"),
        ("\ud800", "\ufffd"),
        ("a\tb", "a\tb"),
    ],
)
def test_escapes_and_controls_are_taken_out(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_a_value_from_outside_begins_no_line_of_its_own(value: str) -> None:
    line = unbroken(f"  up      {value}")
    assert len(line.splitlines()) == 1
    assert line.startswith("  up      ")


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_that_controls_a_terminal_is_left(text: str) -> None:
    shown = plain(text)
    shown.encode("utf-8")
    assert all(each in "\n\t" or each.isprintable() or each >= "\xa0" for each in shown)
    assert "\n" not in one_line(text)


def test_one_line_is_one_line_and_bounded() -> None:
    assert one_line(" two\n  lines\t\u2028here ") == "two lines here"
    assert one_line("x" * 50, 10) == "x" * 9 + "…"


def test_a_tail_is_whole_lines() -> None:
    text = "\n".join(f"line {n}" for n in range(100))
    assert tail(text, 20) == "line 98\nline 99"
    assert tail("x" * 50, 20) == "x" * 20
    assert tail("short\n") == "short"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"),
        (0.84, "0.8 s"),
        (9.949, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (3 * 86400 + 4 * 3600 + 59, "3 d 4 h"),
        (-2, "-2.0 s"),
    ],
)
def test_durations_read_well(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_what_make_says_is_left_out_where_the_app_said_something() -> None:
    make = "make: *** [Makefile:3: restart] Error 1"
    assert without_make(["no database", make]) == ["no database"]
    assert without_make([make]) == [make]
    assert without_make(["", "make[1]: *** x\n", make]) == ["", "make[1]: *** x\n", make]
    assert without_make([]) == []


def test_ages_are_short() -> None:
    ages = [age(seconds) for seconds in (-1, 59.9, 60, 3600, 86400)]
    assert ages == ["0s", "59s", "1m", "1h", "1d"]


def test_a_moment_that_no_calendar_has_is_no_crash() -> None:
    assert moment(1e30) == "?"
    assert moment(float("nan")) == "?"
    assert len(moment(0)) == len("1970-01-01 00:00:00")


def test_counts_agree_with_their_words() -> None:
    assert count(1, "app") == "1 app"
    assert count(2, "app") == "2 apps"
    assert count(0, "entry", "entries") == "0 entries"


@pytest.mark.parametrize(
    ("text", "columns", "lines"),
    [
        ("one two three", 0, ["> one two three"]),
        ("one two three", 9, ["> one two", "  three"]),
        ("0123456789", 6, ["> 0123", "  4567", "  89"]),
        ("a 0123456789", 6, ["> a", "  0123", "  4567", "  89"]),
        ("日本語 日本", 6, ["> 日本", "  語", "  日本"]),
        ("", 6, ["> "]),
    ],
)
def test_lines_are_broken_between_words_and_long_words_inside(
    text: str, columns: int, lines: list[str]
) -> None:
    assert wrap(text, columns, "  ", "> ") == lines


@given(st.text(st.characters(exclude_categories=("C", "Z"))), st.integers(10, 90))
def test_no_wrapped_line_is_too_long_and_nothing_is_lost(text: str, columns: int) -> None:
    lines = wrap(f"first {text} last", columns, "    ")
    assert all(width(line) <= columns for line in lines)
    assert "".join(line[4:] for line in lines).replace(" ", "") == f"first{text}last"


def test_a_text_that_is_too_long_is_cut_with_an_ellipsis() -> None:
    assert [cut("日本語", 6), cut("日本語", 5), cut("abc", 2)] == ["日本語", "日本…", "a…"]
