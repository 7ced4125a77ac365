"""Waiting for a condition, for the tests: never for a time."""

import time
from collections.abc import Callable


def until(condition: Callable[[], object], within: float = 60.0) -> None:
    """Return once it holds. `within` is far from any time meant: it ends a test that has failed."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"did not come about within {within:g} s"
        time.sleep(0.02)
