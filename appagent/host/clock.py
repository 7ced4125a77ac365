"""The clock."""

from __future__ import annotations

import time

from appagent.model.words import Now


def now() -> Now:
    """The time, as the core takes it."""
    return Now(time.monotonic(), time.time())
