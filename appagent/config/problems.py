"""What is wrong with a configuration, and how it is worded: `file:line: path: message`."""

from __future__ import annotations

import re
from typing import NamedTuple

_MAX_QUOTED = 60


class Position(NamedTuple):
    """Where something is written; line 0 stands for the file as a whole."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Problem(NamedTuple):
    """One thing that is wrong: `file:line: path: message`."""

    position: Position
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.position), self.path, self.message) if part)


class ParseError(Exception):
    """The text cannot be used at all; `problem` says why."""

    def __init__(self, position: Position, path: str, message: str) -> None:
        self.problem = Problem(position, path, message)
        super().__init__(str(self.problem))


def quoted(text: str) -> str:
    """Quote a text from outside so that it fits in one line of a message."""
    return repr(text if len(text) <= _MAX_QUOTED else text[: _MAX_QUOTED - 1] + "…")


def printable(path: str) -> str:
    """Return a path as it can stand in one line of a message, whatever bytes it is made of."""
    return path if path.isprintable() else repr(path)[1:-1]


def join_path(path: str, key: str) -> str:
    """Return the path of a key below another path."""
    plain = len(key) <= _MAX_QUOTED and re.fullmatch(r"[\w.+@:<-]+", key)
    step = key if plain else quoted(key)
    return f"{path}.{step}" if path else step
