"""`appagent doctor`: what on this machine would break a deploy.

- checks.py: which checks there are; runner.py: each in a process of its own, with a deadline
- finding.py: what a check finds; output.py: text, JSON
- the checks: machine, unit (the service), users, state_dirs, agent; roots, apps;
  shares, mount_options, gluster; programs.py: what they ask
"""

from __future__ import annotations

import sys

from appagent.doctor.checks import CONFIGURATION, run_checks
from appagent.doctor.finding import Level
from appagent.doctor.output import as_json, as_text, in_order
from appagent.report.terminal import screen_of

__all__ = ["examine"]

OK, TROUBLE, CONFIG = 0, 1, 78


def examine(config: str | None, *, json_wanted: bool = False, verbose: bool = False) -> int:
    """Check everything and print it. 1 for a problem, 78 for one of the configuration."""
    findings = in_order(run_checks(config))
    if json_wanted:
        sys.stdout.write(as_json(findings))
    else:
        sys.stdout.write(as_text(findings, screen_of(sys.stdout), verbose=verbose))
    problems = [finding for finding in findings if finding.level is Level.PROBLEM]
    if any(finding.about == CONFIGURATION for finding in problems):
        return CONFIG
    return TROUBLE if problems else OK
