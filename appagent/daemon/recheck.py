"""Rechecks that a client waits for: one request to a watcher for all who wait, at a bounded rate.

A subject is requested at most once in `GAP`, and all subjects together at most `RATE` times a
second in the long run, however many clients wait and whatever they name: a user who may only read
must not be able to keep a share busy. What was not polled is requested again: at once where the
watcher did not take the request, else after `RETRY`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from math import inf

from appagent.core.freshness import Subject

GAP = 0.25  # s between two requests for one subject
RETRY = 5.0  # s after which a subject that was not polled is requested again
RATE = 50.0  # requests in a second, once those that were saved up are used up
SAVED = 2000.0
_TOGETHER = 0.005  # s in which several requests become one


class Rechecks:
    """The polls to request, and when each was requested last."""

    def __init__(
        self, send: Callable[[Collection[Subject], Callable[[Collection[Subject]], None]], None]
    ) -> None:
        """`send` requests subjects of the watchers, and gets what to call with those it lost."""
        self.send = send
        self.sent: dict[Subject, float] = {}  # mono, of the newest request
        self.due: dict[Subject, float] = {}  # mono, the earliest time to request it
        self.saved, self.at = SAVED, time.monotonic()
        self.timer: asyncio.TimerHandle | None = None

    def ask(self, subject: Subject, since: float) -> None:
        """Have a subject polled by a poll that begins at `since` (mono, not to come) or later."""
        self.note(subject, since, time.monotonic())
        if self.due and self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(_TOGETHER, self.flush)

    def note(self, subject: Subject, since: float, now: float) -> None:
        """Note that it is due, unless it was requested since then."""
        sent = self.sent.get(subject, -inf)
        if sent < since or now >= sent + RETRY:
            self.due.setdefault(subject, max(now, sent + GAP))

    def flush(self) -> None:
        """Request what may be requested now; come back for the rest."""
        now = time.monotonic()
        subjects = self.take(now)
        if subjects:
            self.send(subjects, self.lost)
        self.timer = None
        if self.due:
            wait = max(min(self.due.values()) - now, (1.0 - self.saved) / RATE, _TOGETHER)
            self.timer = asyncio.get_running_loop().call_later(wait, self.flush)

    def lost(self, subjects: Collection[Subject]) -> None:
        """Allow subjects to be requested again: no watcher took the request."""
        for subject in subjects:
            self.sent.pop(subject, None)

    def take(self, now: float) -> list[Subject]:
        """Take what may be requested now, what waits longest first."""
        self.saved = min(SAVED, self.saved + (now - self.at) * RATE)
        self.at = now
        found = [subject for subject, due in self.due.items() if due <= now][: int(self.saved)]
        self.saved -= len(found)
        for subject in found:
            del self.due[subject]
        if len(self.sent) > 2 * SAVED:
            self.sent = {subject: at for subject, at in self.sent.items() if now < at + RETRY}
        self.sent |= dict.fromkeys(found, now)
        return found

    def close(self) -> None:
        """Request nothing more."""
        if self.timer is not None:
            self.timer.cancel()
