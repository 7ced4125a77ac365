"""How the findings are shown: the worst first, each with what to do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from appagent.doctor.finding import Finding, Level
from appagent.report.text import count, one_line

_ORDER = tuple(Level)
_WORDS = {Level.PROBLEM: "problem", Level.WARNING: "warning", Level.NOTE: "note"}
_INDENT = " " * 9


def sorted_out(findings: Iterable[Finding]) -> list[Finding]:
    """Put the worst first, and say nothing twice; what belongs together stays in its order."""
    once = dict.fromkeys(findings)
    return sorted(once, key=lambda finding: _ORDER.index(finding.level))


def as_text(findings: Sequence[Finding]) -> str:
    """For a person."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.level:8} {one_line(f'{finding.about}: {finding.text}', 4000)}")
        if finding.do:
            lines.append(f"{_INDENT}-> {one_line(finding.do)}")
    return "\n".join([*lines, summary(findings)]) + "\n"


def summary(findings: Sequence[Finding]) -> str:
    """The last line."""
    numbers = {level: sum(finding.level is level for finding in findings) for level in Level}
    parts = [count(numbers[level], word) for level, word in _WORDS.items() if numbers[level]]
    good = numbers[Level.OK]
    parts += [f"{good} fine"] if good else []
    return ", ".join(parts) or "nothing was found"


def as_json(findings: Sequence[Finding]) -> str:
    """For a program: a list, each with level, about, text and do."""
    shown = [
        {key: one_line(str(value), 4000) for key, value in asdict(finding).items()}
        for finding in findings
    ]
    return json.dumps(shown, indent=2, ensure_ascii=False) + "\n"
