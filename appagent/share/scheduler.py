"""What a thread has to poll, and when: each thing once, sooner if something happens.

To be woken costs a thread more than most polls do: what it needs has left the processor's caches by
then. So a poll has a window in which it may be done: the thread wakes when the first window ends,
and does all whose windows are open. Windows are spread out, so that the nodes of a fleet and the
apps of a node do not all poll in the same moment.
"""

from __future__ import annotations

import heapq
import math
import os
import threading
import time
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

Key = TypeVar("Key")

_TOGETHER = 0.02  # s that everything may wait for: what is due by then is taken with it
_SPREAD = 0.1  # of the time between two polls: by which a window begins earlier, and lasts


class Window(NamedTuple):
    """From when on a poll may be done, and by when it has to be."""

    first: float
    last: float

    def sooner(self, due: float | Window) -> Window:
        """Make it begin, and end, no later than another."""
        first, last = due if isinstance(due, Window) else (due, due + _TOGETHER)
        return Window(min(self.first, first), min(self.last, last))


_NEVER = Window(math.inf, math.inf)


class Schedule(Generic[Key]):
    """Keys by the time at which they are due. Any thread may put; one takes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spans: dict[Key, Window] = {}
        self._firsts: list[tuple[float, int, Key]] = []
        self._lasts: list[tuple[float, int, Key]] = []
        self._count = 0
        self._awake = 0.0  # since when: what was due by then is taken before the next wait
        self._woken = False
        self._change = threading.Condition()

    def sooner(self, key: Key, due: float | Window) -> None:
        """Have it due then, unless it is due earlier."""
        with self._change:
            old = self._spans.get(key)
            new = (old or _NEVER).sooner(due)
            if new != old:
                self._put(key, new)

    def drop(self, key: Key) -> None:
        """Forget it."""
        with self._change:
            self._spans.pop(key, None)

    def wake(self) -> None:
        """End the wait of the thread that takes."""
        with self._change:
            self._woken = True
            self._change.notify()

    def take(self, timeout: float, rank: Callable[[Key], int | None] | None = None) -> Key | None:
        """Wait until something is due, and take it off; None after the timeout or when woken.

        Of what is due the lowest rank comes first; what has none (None) is left.
        """
        with self._change:
            for last in (False, True):
                now = self._clock()
                key = self._due(now, rank)
                if key is not None:
                    del self._spans[key]
                    return key
                if last or self._woken:
                    break
                self._change.wait(min(timeout, self._next() - now))
            self._woken = False
            return None

    def more(self, wanted: Callable[[Key], bool], most: int) -> list[Key]:
        """Take what else may be taken while awake, as long as it is wanted."""
        found: list[Key] = []
        with self._change:
            while len(found) < most and (key := self._ready()) is not None and wanted(key):
                del self._spans[key]
                found.append(key)
        return found

    def _put(self, key: Key, span: Window) -> None:
        self._spans[key] = span
        self._count += 1  # two of one time are taken in the order in which they came
        heapq.heappush(self._firsts, (span.first, self._count, key))
        heapq.heappush(self._lasts, (span.last, self._count, key))
        if self._lasts[0][2] is key:
            self._change.notify()

    def _due(self, now: float, rank: Callable[[Key], int | None] | None) -> Key | None:
        """What comes first of what is due."""
        if self._next() <= now:
            self._awake = now
        key = self._ready()
        if key is None or rank is None:
            return key
        ranked = [
            (ranked_at, span.first, count, key)
            for count, (key, span) in enumerate(self._spans.items())
            if span.first <= self._awake and (ranked_at := rank(key)) is not None
        ]
        return min(ranked, key=lambda one: one[:3])[3] if ranked else None

    def _ready(self) -> Key | None:
        """What comes first of what may be taken while awake."""
        # What was taken, dropped or put anew is stale in a heap.
        while self._firsts and self._firsts[0][0] <= self._awake:
            first, _, key = self._firsts[0]
            span = self._spans.get(key)
            if span is not None and span.first == first:
                return key
            heapq.heappop(self._firsts)
        return None

    def _next(self) -> float:
        """When something has to be taken."""
        while self._lasts:
            last, _, key = self._lasts[0]
            span = self._spans.get(key)
            if span is not None and span.last == last:
                return last
            heapq.heappop(self._lasts)
        return math.inf


class Burst:
    """Polls that inotify asks for: a few at once, `gap` apart, then one for each interval.

    One change is several events (`ln -s … next && mv -T next current`; a commit is a dozen), and
    the last one is what counts. In the long run there is at most one poll per interval.
    """

    def __init__(self, most: int, gap: float) -> None:
        self._most = most
        self._gap = gap
        self._remaining = float(most)
        self._at = 0.0  # of the newest poll

    def due(self, now: float, interval: float) -> Window:
        """When to poll because of an event that comes now."""
        remaining = self._refilled(now, interval)
        due = self._at + self._gap if remaining >= 1 else now + (1 - remaining) * interval
        return Window(due, due)

    def spend(self, now: float, interval: float) -> None:
        """A poll begins."""
        self._remaining = max(0.0, self._refilled(now, interval) - 1)
        self._at = now

    def _refilled(self, now: float, interval: float) -> float:
        return min(self._most, self._remaining + (now - self._at) / interval)


class Jitter:
    """Intervals that differ at random, and between processes."""

    def __init__(self) -> None:
        self._state = int.from_bytes(os.urandom(4), "big")

    def __call__(self, began: float, seconds: float) -> Window:
        """When to poll again some time after a poll began; 10 % earlier or later."""
        self._state = (self._state * 1664525 + 1013904223) & 0xFFFFFFFF  # Numerical Recipes'
        spread = seconds * _SPREAD
        first = began + seconds - spread * self._state / 0xFFFFFFFF
        return Window(first, first + spread)
