"""Values of the command line."""

from __future__ import annotations

from appagent import config
from appagent.model.exit_codes import USAGE, Refused

COUNT_MOST = 1_000_000


def span(text: str | None, option: str) -> float | None:
    """Read a duration, in seconds."""
    if text is None:
        return None
    try:
        return config.seconds(text)
    except config.BadValueError as wrong:
        raise Refused(USAGE, f"{option} {text[:80]}: {wrong}") from None


def count(text: str, option: str, most: int = COUNT_MOST) -> int:
    """Read a number from 1 to `most`."""
    # Its length first: Python itself refuses to read a number of thousands of digits.
    if not (text.isascii() and text.isdigit() and len(text) < 8 and 0 < int(text) <= most):  # noqa: PLR2004
        raise Refused(USAGE, f"{option} {text[:80]}: expected a number from 1 to {most}")
    return int(text)
