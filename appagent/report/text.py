"""Texts for people: durations, moments, sizes, broken lines."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Sequence

from appagent.host.text import unbroken

MINUTE, HOUR, DAY = 60, 3600, 86400


def without_make(lines: Sequence[str]) -> list[str]:
    """Leave out make's own `*** … Error 1` where the app printed something itself."""
    others = [line for line in lines if not (line.startswith("make") and "***" in line)]
    return others if any(line.strip() for line in others) else list(lines)


def duration(seconds: float) -> str:
    """Format a duration (s): `0.8 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 9.95:  # noqa: PLR2004 - shown as 10 s from here
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, smaller, its_name in (
        (DAY, "d", HOUR, "h"),
        (HOUR, "h", MINUTE, "min"),
        (MINUTE, "min", 1, "s"),
    ):
        if whole >= unit:
            rest = whole % unit // smaller
            return (
                f"{whole // unit} {name} {rest} {its_name}" if rest else f"{whole // unit} {name}"
            )
    return f"{whole} s"


def age(seconds: float) -> str:
    """Format an age (s) for a column of a table: `5s`, `3m`, `2h`, `4d`."""
    whole = max(0, int(seconds))
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m")):
        if whole >= unit:
            return f"{whole // unit}{name}"
    return f"{whole}s"


def moment(wall: float) -> str:
    """Format a wall time, in the local time of the machine."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall))
    except (OverflowError, ValueError, OSError):
        return "?"


def clock(wall: float, now: float) -> str:
    """Format a wall time as the time of day, with the date if it is not today's."""
    day, _, time_of_day = moment(wall).partition(" ")
    return time_of_day[:5] if day == moment(now)[:10] else f"{day} {time_of_day[:5]}".strip()


def size(count_of_bytes: float) -> str:
    """Format a number of bytes for a column of a table: `512K`, `20M`, `1.2G`."""
    number = count_of_bytes / 1024
    for unit in "KM":
        if number < 999.5:  # noqa: PLR2004 - three digits are shown
            return f"{number:.0f}{unit}"
        number /= 1024
    return f"{number:.1f}G"


def count(number: int, word: str, words: str = "") -> str:
    """Format a count: `1 app`, `2 apps`."""
    return f"{number} {word if number == 1 else words or word + 's'}"


def width(text: str) -> int:
    """Count the columns that a text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1
        for each in text
    )


def fitting(text: str, columns: int) -> int:
    """Count the characters of a text that fit into a number of columns."""
    if text.isascii():
        return min(len(text), columns)
    taken = 0
    for index, each in enumerate(text):
        taken += width(each)
        if taken > columns:
            return index
    return len(text)


def cut(text: str, columns: int) -> str:
    """Cut a text to a number of columns; ends in an ellipsis where it was longer."""
    if width(text) <= columns:
        return text
    return text[: fitting(text, columns - 1)] + "…"


def wrap(text: str, columns: int, indent: str = "", first: str | None = None) -> list[str]:
    """Break a line between words, and inside a word that is longer than a line; made safe to show.

    Each line begins with `indent`, the first one with `first`. Without columns it is left whole.
    """
    line = start = indent if first is None else first
    text = unbroken(text)
    if not columns:
        return [start + text]
    lines: list[str] = []
    fresh = True  # nothing but the indent is in the line yet
    for each in text.split(" "):
        word = each
        if not fresh and width(line) + 1 + width(word) <= columns:
            line += " " + word
            continue
        if not fresh:
            lines.append(line)
            line = indent
        while width(line) + width(word) > columns:
            index = max(1, fitting(word, columns - width(line)))
            lines.append(line + word[:index])
            line, word = indent, word[index:]
        line += word
        fresh = False
    return [*lines, line]
