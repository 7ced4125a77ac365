"""Internal errors while polling one app, env file or root: logged once, shown by `status`.

A poll that fails in an unforeseen way makes that one thing unknown. Everything else is polled as
usual.
"""

from __future__ import annotations

import sys
import traceback

from appagent.share.markers import NotDeployable
from appagent.share.observer import Emit
from appagent.share.protocol import LogLine

_LONGEST = 200  # characters of the error's own text


class FaultLog:
    """Which errors of one app, env file or root were logged: each place in the code once."""

    def __init__(self) -> None:
        self._places: set[tuple[str, str, int | None]] = set()

    def report(self, what: str, emit: Emit) -> NotDeployable:
        """Log the exception that is being handled, if it is new; return the reason to report."""
        kind, error, trace = sys.exc_info()
        name = kind.__name__ if kind else "?"
        words = " ".join(str(error).split())[:_LONGEST]
        detail = f"{name}: {words}" if words else name
        reason = NotDeployable(
            f"internal error (this is a bug in appagent; please report it): {detail}"
        )
        last = traceback.extract_tb(trace)[-1:]
        place = (name, last[0].filename, last[0].lineno) if last else (name, "", 0)
        if place not in self._places:
            self._places.add(place)
            text = f"{what}: {reason}\n{traceback.format_exc()}"
            emit(LogLine("error", text))
        return reason
