"""SIGHUP before the agent can reload: it is kept for the agent.

By default it would end the process, and an agent needs a moment until its loop runs, in which
somebody who changed the configuration may already ask for a reload. Children do not inherit the
handler, as they would an ignored signal.
"""

from __future__ import annotations

import signal
from types import FrameType

_received: list[int] = []


def keep() -> None:
    """Keep each SIGHUP from now on, until another handler is set."""
    signal.signal(signal.SIGHUP, _note)


def was_received() -> bool:
    """Whether one was kept; resets that."""
    kept = bool(_received)
    _received.clear()
    return kept


def _note(number: int, _: FrameType | None) -> None:
    _received.append(number)
