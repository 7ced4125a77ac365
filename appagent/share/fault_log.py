"""A fault of ours in one look: logged where it happened, put in words for `status`, and no more.

A look at one thing (an app, an env file, a root) that fails in a way that nobody thought of is a
bad look at that thing. Whatever else is due is looked at as ever.
"""

from __future__ import annotations

import sys
import traceback

from appagent.share.markers import NotDeployable
from appagent.share.observer import Emit

_LONGEST = 200  # letters of the fault's own words


class FaultLog:
    """Which faults of one thing were logged: each place in the code once."""

    def __init__(self) -> None:
        self._places: set[tuple[str, str, int | None]] = set()

    def report(self, what: str, emit: Emit) -> NotDeployable:
        """Log the fault that is being handled, if it is new; what to say of the look."""
        kind, error, trace = sys.exc_info()
        name = kind.__name__ if kind else "?"
        words = " ".join(str(error).split())[:_LONGEST]
        detail = f"{name}: {words}" if words else name
        unclear = NotDeployable(f"internal error while looking ({detail}): please report")
        last = traceback.extract_tb(trace)[-1:]
        place = (name, last[0].filename, last[0].lineno) if last else (name, "", 0)
        if place not in self._places:
            self._places.add(place)
            text = f"{what}: {unclear}\n{traceback.format_exc()}"
            emit("log", {"level": "error", "text": text})
        return unclear
