"""What a stream can show: how wide its terminal is, and colour for states and levels."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TextIO

GOOD, BUSY, BAD, PAUSED, DIM, BOLD = "32", "33", "1;31", "36", "2", "1"  # SGR parameters
RESET = "\x1b[0m"

# States of an app, outcomes of deploys and runs, levels of findings: one word, one colour.
STYLES: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("ok", "done"), GOOD)
    | dict.fromkeys(
        ("deploying", "pending", "settling", "scanning", "retrying", "running", "unknown"), BUSY
    )
    | dict.fromkeys(("shutting-down", "warning", "busy", "moved"), BUSY)
    | dict.fromkeys(("failed", "refused", "blocked", "exited", "rolled-back"), BAD)
    | dict.fromkeys(("problem", "error", "timeout", "lost"), BAD)
    | dict.fromkeys(("held", "stopped", "cancelled"), PAUSED)
    | dict.fromkeys(("unmanaged", "removed", "superseded", "interrupted", "missing"), DIM)
)


@dataclass(frozen=True, slots=True)
class Screen:
    """What is written to. Columns and rows are 0 for a file or a pipe: lines are not wrapped."""

    columns: int = 0
    rows: int = 0
    colour: bool = False

    def paint(self, text: str, style: str) -> str:
        """Colour a text; unchanged without a style, or where colour is not wanted."""
        return f"\x1b[{style}m{text}{RESET}" if self.colour and style and text else text

    def word(self, word: str, text: str = "") -> str:
        """Colour a state, an outcome or a level (or `text` in its place) by its meaning."""
        return self.paint(text or word, STYLES.get(word, ""))


PLAIN = Screen()


def screen_of(stream: TextIO) -> Screen:
    """Describe a stream: its terminal's present size, and whether it takes colour."""
    if not is_terminal(stream):
        return PLAIN
    size = shutil.get_terminal_size()
    try:
        if "COLUMNS" not in os.environ:
            size = os.get_terminal_size(stream.fileno())
    except (ValueError, OSError):
        pass
    return Screen(max(size.columns, 20), max(size.lines, 5), wants_colour(stream))


def wants_colour(stream: TextIO) -> bool:
    """Whether a stream takes colour: on a terminal, unless NO_COLOR is set (no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb":
        return False
    return is_terminal(stream)


def is_terminal(stream: TextIO) -> bool:
    """Whether a stream is a terminal; one that is closed is not."""
    try:
        return stream.isatty()
    except (ValueError, OSError):
        return False
