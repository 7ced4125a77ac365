"""Waiting for a condition instead of for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class TookTooLong(AssertionError):
    """A condition did not come true in time."""


def wait_until(condition: Callable[[], T], timeout: float, what: str = "", every: float = 0.1) -> T:
    """Ask `condition` until its answer is true, and return that answer.

    An exception of the condition counts as "not yet"; the last one is told if the time runs out.
    """
    end = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            answer = condition()
        except Exception as error:  # noqa: BLE001 - hosts that are away raise all sorts of things
            last = repr(error)
        else:
            if answer:
                return answer
            last = answer
        if time.monotonic() >= end:
            name = what or getattr(condition, "__name__", repr(condition))
            msg = f"{name}: not within {timeout:g} s (last: {last})"
            raise TookTooLong(msg)
        time.sleep(every)
