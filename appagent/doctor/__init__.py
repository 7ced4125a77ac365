"""`appagent doctor`: what on this machine would get in the way.

- finding.py: what is said, and how bad it is
- apart.py: each check in a process of its own, with a deadline
- exam.py: which checks there are, and what they need of one another
- telling.py: text, JSON
- the checks: software, host, directives (the unit), limits, accounts, keeping, running;
  roots, apps, makefile, envs; shares, mounting, gluster
"""

from __future__ import annotations

import sys

from appagent.doctor.checks import CONFIGURATION, exam
from appagent.doctor.finding import Level
from appagent.doctor.output import as_json, as_text, sorted_out

__all__ = ["examine"]

OK, TROUBLE, CONFIG = 0, 1, 78


def examine(config: str | None, *, json_wanted: bool) -> int:
    """Check everything and say it. 0; 1 if something stops a deploy; 78 for the configuration."""
    findings = sorted_out(exam(config))
    sys.stdout.write(as_json(findings) if json_wanted else as_text(findings))
    problems = [finding for finding in findings if finding.level is Level.PROBLEM]
    if any(finding.about == CONFIGURATION for finding in problems):
        return CONFIG
    return TROUBLE if problems else OK
