"""SIGHUP before the agent can reload: it is kept for the agent, and ends nothing.

By itself it would end the process; and an agent takes a moment until its loop turns, in which
whoever has changed the configuration may already ask for it to be read again. What is set here is
not inherited by children, as an ignored signal would be.
"""

from __future__ import annotations

import signal
from types import FrameType

_came: list[int] = []


def keep() -> None:
    """Keep each SIGHUP from now on, until another handler is set."""
    signal.signal(signal.SIGHUP, _note)


def came() -> bool:
    """Whether one was kept; it is forgotten by that."""
    kept = bool(_came)
    _came.clear()
    return kept


def _note(number: int, _: FrameType | None) -> None:
    _came.append(number)
