"""Shows the main thread since when another one has been in one operation, and in which."""

from __future__ import annotations

import time

_NEEDS = 2.0  # s that one operation may take before it counts as one that hung


class Pulse:
    """When a thread was last between two operations, and what it does since then."""

    __slots__ = ("_state", "hung")

    def __init__(self) -> None:
        self._state: tuple[float, str, str] | None = None
        self.hung = 0.0  # s, so far: what operations took beyond what any of them needs

    def begin(self, doing: str, path: str) -> None:
        """An operation begins."""
        now = time.monotonic()
        self._ended(now)
        self._state = (now, doing, path)  # one assignment: other threads read it

    def rest(self) -> None:
        """Nothing is being done."""
        if self._state is not None:
            self._ended(time.monotonic())
            self._state = None

    def _ended(self, now: float) -> None:
        state = self._state
        if state is not None and now - state[0] > _NEEDS:
            self.hung += now - state[0] - _NEEDS

    def read(self, now: float) -> tuple[float, str]:
        """Since when, and what; a thread that rests is between two operations now."""
        state = self._state
        return (now, "") if state is None else (state[0], f"{state[1]} {state[2]}")
