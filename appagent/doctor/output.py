"""How findings are shown: the worst first, each with what to do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from appagent.doctor.finding import Finding, Level
from appagent.host.text import one_line
from appagent.report.terminal import PLAIN, Screen
from appagent.report.text import count, wrap

_ORDER = tuple(Level)
_INDENT = " " * 9
_MOST = 4000


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Put the worst first and drop repetitions; findings of one level keep their order."""
    return sorted(dict.fromkeys(findings), key=lambda finding: _ORDER.index(finding.level))


def as_text(findings: Sequence[Finding], screen: Screen = PLAIN, *, verbose: bool = False) -> str:
    """For a person; what is ok only with `verbose`."""
    lines = []
    for finding in findings:
        if finding.level is Level.OK and not verbose:
            continue
        text = one_line(f"{finding.about}: {finding.text}", _MOST)
        level = f"{finding.level:8}"
        first, *rest = wrap(text, screen.columns, _INDENT, f"{level} ")
        lines += [screen.word(finding.level, level) + first[len(level) :], *rest]
        if finding.do:
            lines += wrap(one_line(finding.do), screen.columns, f"{_INDENT}   ", f"{_INDENT}-> ")
    return "\n".join([*lines, summary(findings, verbose=verbose)]) + "\n"


def summary(findings: Sequence[Finding], *, verbose: bool = False) -> str:
    """The last line."""
    numbers = {level: sum(finding.level is level for finding in findings) for level in Level}
    bad = [count(numbers[level], level) for level in _ORDER[:-1] if numbers[level]]
    text = f"{', '.join(bad) or 'no problems'}; {count(numbers[Level.OK], 'check')} ok"
    return text if verbose or not numbers[Level.OK] else f"{text} (doctor -v lists them)"


def as_json(findings: Sequence[Finding]) -> str:
    """For a program: a list of objects with level, about, text and do."""
    shown = [
        {key: one_line(str(value), _MOST) for key, value in asdict(finding).items()}
        for finding in findings
    ]
    return json.dumps(shown, indent=2, ensure_ascii=False) + "\n"
