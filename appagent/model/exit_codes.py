"""How a command ends: its exit code, and the line that says why. The daemon answers with both."""

from __future__ import annotations

OK = 0
FAILED = 1  # a deploy or check failed
USAGE = 64
NO_AGENT = 69  # cannot reach the agent
SOFTWARE = 70  # internal error
LATER = 75  # try again
NOT_ALLOWED = 77
CONFIG = 78

INTERNAL_ERROR = "internal error (this is a bug in appagent; please report it)"


class Refused(Exception):
    """A request that ends with a code other than 0."""

    def __init__(self, code: int, text: str) -> None:
        """Take the exit code, and what a person reads."""
        super().__init__(text)
        self.code = code
        self.text = text
