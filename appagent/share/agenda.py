"""What a thread has to look at, and when: each thing once, rung earlier or put off.

Looks are spread out, so that the nodes of a fleet and the apps of a node do not all look in the
same moment; and scanning is paid from an account that fills with a tenth of the time, so whatever
there is to scan, at most 10 % of the time goes into it.
"""

from __future__ import annotations

import heapq
import math
import os
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")

_TOGETHER = 0.02  # s by which a wait is longer: what is due by then needs none of its own
_SHARE = 0.1  # of the time, for scanning
_SAVED = 1.0  # s of scanning that may be saved up, so that a change after a quiet time is seen soon


class Agenda(Generic[Key]):
    """Keys by the time at which they are due. Any thread may put and ring; one takes."""

    def __init__(self) -> None:
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._count = 0
        self._woken = False
        self._change = threading.Condition()

    def sooner(self, key: Key, due: float) -> None:
        """Have it due then, unless it is due earlier."""
        with self._change:
            now_due = self._due.get(key)
            if now_due is None or due < now_due:
                self._put(key, due)

    def drop(self, key: Key) -> None:
        """Forget it."""
        with self._change:
            self._due.pop(key, None)

    def wake(self) -> None:
        """Let the taker have a look at other things."""
        with self._change:
            self._woken = True
            self._change.notify()

    def take(
        self,
        timeout: float,
        not_before: float = 0.0,
        urgent: Callable[[Key], bool] | None = None,
    ) -> Key | None:
        """Wait until something is due, and take it off; None after the timeout or when woken.

        Nothing is taken before `not_before` but what is urgent.
        """
        with self._change:
            for last in (False, True):
                now = time.monotonic()
                key, due = self._first(now, not_before, urgent)
                if key is not None and due <= now:
                    del self._due[key]
                    return key
                if last or self._woken:
                    break
                self._change.wait(min(timeout, due - now + _TOGETHER))
            self._woken = False
            return None

    def _put(self, key: Key, due: float) -> None:
        self._due[key] = due
        self._count += 1  # two of one time are taken in the order in which they came
        heapq.heappush(self._heap, (due, self._count, key))
        if self._heap[0][2] is key:
            self._change.notify()

    def _first(
        self, now: float, not_before: float, urgent: Callable[[Key], bool] | None
    ) -> tuple[Key | None, float]:
        """What comes first, and when; what was taken, dropped or put anew is stale in the heap."""
        if urgent is not None and now < not_before:
            hurried = [(due, key) for key, due in self._due.items() if urgent(key)]
            if hurried and (first := min(hurried, key=lambda pair: pair[0]))[0] <= now:
                return first[1], first[0]
        while self._heap:
            due, _, key = self._heap[0]
            if self._due.get(key) == due:
                return key, max(due, not_before)
            heapq.heappop(self._heap)
        return None, math.inf


class Account:
    """How much scanning may be done."""

    def __init__(self, now: float) -> None:
        self._saved = _SAVED
        self._at = now

    def pay(self, now: float, seconds: float) -> None:
        """A scan that ended now took so long."""
        self._saved = self._balance(now) - seconds
        self._at = now

    def free_at(self, now: float) -> float:
        """When the next scan may begin."""
        return now + max(0.0, -self._balance(now) / _SHARE)

    def _balance(self, now: float) -> float:
        return min(_SAVED, self._saved + (now - self._at) * _SHARE)


class Jitter:
    """Numbers around 1, other ones in each process."""

    def __init__(self) -> None:
        self._state = int.from_bytes(os.urandom(4), "big")

    def __call__(self, seconds: float) -> float:
        """Spread a time by 10 % either way."""
        self._state = (self._state * 1664525 + 1013904223) & 0xFFFFFFFF  # Numerical Recipes'
        return seconds * (0.9 + 0.2 * self._state / 0xFFFFFFFF)
