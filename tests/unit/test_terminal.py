"""Tables are aligned, no line is longer than the terminal, and colour means something."""

from __future__ import annotations

import io

import pytest

from appagent.commands.printing import safe
from appagent.report.table import table
from appagent.report.terminal import PLAIN, STYLES, Screen, screen_of
from appagent.report.text import width


def test_a_table_is_aligned_also_with_wide_letters() -> None:
    rows = [["APP", "STATE"], ["web", "ok"], ["日本", "fa\x1b[31miled"], ["é", ""]]
    assert table(rows) == [["APP   STATE"], ["web   ok"], ["日本  failed"], ["é"]]


def test_a_text_that_does_not_fit_into_the_last_column_is_below_the_row() -> None:
    rows = [["A", "N", "B"], ["x", "7", "0123 456789"], ["x", "7", "01"]]
    assert table(rows, 10)[1:] == [["x  7", "  0123", "    456789"], ["x  7  01"]]
    assert table([["B"], ["0123456789"]]) == [["B"], ["0123456789"]]


def test_numbers_are_aligned_to_the_right() -> None:
    rows = [["A", "N", "B"], ["x", "7", "y"], ["x", "10", "y"]]
    assert table(rows, right=(1,)) == [["A   N  B"], ["x   7  y"], ["x  10  y"]]


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_name_that_is_too_long_has_lines_of_its_own(columns: int) -> None:
    rows = [["APP", "STATE", "SINCE"], ["日" * 70, "ok", "2h"], ["web", "failed", "3m"]]
    laid = table(rows, columns)
    assert all(width(line) <= columns for lines in laid for line in lines)
    assert "".join(laid[1][:-1]) == "日" * 70
    assert laid[1][-1].split() == ["ok", "2h"]
    assert laid[1][-1].index("ok") == laid[2][0].index("failed")


def test_colour_is_outside_of_the_columns() -> None:
    screen = Screen(80, 24, colour=True)
    rows = [["APP", "STATE"], ["web", "ok"], ["x", "failed"]]
    shown = table(rows, 80, paint=lambda row, at, text: screen.word(text) if row and at else text)
    assert shown == [["APP  STATE"], ["web  \x1b[32mok\x1b[0m"], ["x    \x1b[1;31mfailed\x1b[0m"]]


def test_only_our_own_colours_are_written() -> None:
    text = "\x1b[1;31mfailed\x1b[0m \x1b[31;5mred\x1b[0m \x1b]0;owned\x07\x1b[2Jx\x9b31m"
    assert safe(text, colour=True) == "\x1b[1;31mfailed\x1b[0m red\x1b[0m x"
    assert safe(text) == "failed red x"


def test_every_colour_is_written() -> None:
    screen = Screen(80, 24, colour=True)
    for word in STYLES:
        assert safe(screen.word(word), colour=True) == screen.word(word)
        assert PLAIN.word(word) == word


def test_what_is_no_terminal_has_no_width_and_no_colour() -> None:
    assert screen_of(io.StringIO()) == PLAIN
