"""What doctor says: findings, each with what to do; and words on the way to them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    PROBLEM = "problem"  # stops a deploy, or breaks an app
    WARNING = "warning"  # will hurt one day
    NOTE = "note"  # good to know
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: how bad, about what, one line, and what to do about it."""

    level: Level
    about: str
    text: str
    do: str = ""


@dataclass(frozen=True, slots=True)
class Doing:
    """What a check is at, so that one that hangs can be told by where it hangs."""

    text: str


@dataclass(frozen=True, slots=True)
class Known:
    """Something that a check found out and that others need."""

    key: str
    value: object


Said = Finding | Doing | Known


def without(about: str, text: str) -> str:
    """Take what the finding is about off the begin of its text: nothing is said twice in a line."""
    for twice in (about, about.rpartition(" ")[2]):
        if text.startswith((f"{twice} ", f"{twice}: ")):
            return text[len(twice) :].removeprefix(":").lstrip()
    return text


def ok(about: str, text: str) -> Finding:
    """All is well here."""
    return Finding(Level.OK, about, without(about, text))


def note(about: str, text: str, do: str = "") -> Finding:
    """Good to know."""
    return Finding(Level.NOTE, about, without(about, text), do)


def warning(about: str, text: str, do: str = "") -> Finding:
    """Will hurt one day."""
    return Finding(Level.WARNING, about, without(about, text), do)


def problem(about: str, text: str, do: str) -> Finding:
    """Stops a deploy, or breaks an app."""
    return Finding(Level.PROBLEM, about, without(about, text), do)
