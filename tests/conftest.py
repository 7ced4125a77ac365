"""What all tests have in common: a failure that a second run healed is printed as well.

CI runs what failed once more (.ci/run). Without its words nobody could mend what fails at times.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

# How long one example takes says more of the machine than of the code.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the first failures of what was run again."""
    reports = terminalreporter.stats.get("rerun", [])
    if reports:
        terminalreporter.section("first failures of what was run again")
    for report in reports:
        terminalreporter.line(f"--- {report.nodeid} ({report.when})")
        terminalreporter.line(report.longreprtext)
