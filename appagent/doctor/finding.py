"""What a check yields: findings, each with what to do about it, and steps on the way to them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

_NOT_ALLOWED = os.strerror(errno.EACCES)


class Level(StrEnum):
    """How bad it is, the worst first."""

    PROBLEM = "problem"  # breaks a deploy, or an app
    WARNING = "warning"  # will break one some day
    NOTE = "note"  # good to know
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """How bad, about what, one line, and what to do about it."""

    level: Level
    about: str
    text: str
    do: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """What a check does next: where it hangs, if it hangs."""

    text: str


Item = Finding | Step


def _finding(level: Level, about: str, text: str, do: str = "") -> Finding:
    """Make a finding whose text does not begin with what it is about: that is shown before it."""
    for subject in (about, about.rpartition(" ")[2]):
        if text.startswith((f"{subject} ", f"{subject}: ")):
            text = text[len(subject) :].removeprefix(":").lstrip()
            break
    return Finding(level, about, text, do)


ok: Callable[[str, str], Finding] = partial(_finding, Level.OK)
note = partial(_finding, Level.NOTE)
warning: Callable[[str, str, str], Finding] = partial(_finding, Level.WARNING)
problem: Callable[[str, str, str], Finding] = partial(_finding, Level.PROBLEM)


def unreadable(about: str, why: str, do: str) -> Finding:
    """A problem, unless only the user who runs doctor may not read it."""
    if os.geteuid() != 0 and _NOT_ALLOWED in why:
        do = "run doctor as root, or as the user that the agent runs as"
        return note(about, f"not readable by the user who runs doctor: {why}", do)
    return problem(about, why, do)
