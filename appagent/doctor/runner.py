"""Runs checks at the same time, each in a process of its own with a deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from appagent.doctor.finding import Finding, Level, Step
from appagent.host.isolate import End, Outcome, Task, run_all

T = TypeVar("T")


class Check(NamedTuple):
    """What to check, and what it means when it hangs."""

    about: str
    function: Callable[[], Iterable[object]]  # yields findings, steps, and values for other checks
    silence: float = 5.0  # s until the next item
    deadline: float = 11.0  # s altogether
    on_hang: Level = Level.WARNING
    do: str = ""


class Results(NamedTuple):
    """The findings, in the order of the checks, and the values."""

    findings: list[Finding]
    values: list[object]

    def of(self, kind: type[T]) -> list[T]:
        """The values of one type."""
        return [value for value in self.values if isinstance(value, kind)]


def run(checks: Iterable[Check], deadline: float) -> Results:
    """Run all checks, for `deadline` seconds at most."""
    checks = list(checks)
    results = Results([], [])
    outcomes = run_all([Task(one.function, one.silence, one.deadline) for one in checks], deadline)
    for check, outcome in zip(checks, outcomes, strict=True):
        for item in outcome.items:
            if isinstance(item, Finding):
                results.findings.append(item)
            else:
                results.values.append(item)
        if outcome.end is not End.DONE:
            results.findings.append(_failure(check, outcome))
    return results


def _failure(check: Check, outcome: Outcome[object]) -> Finding:
    steps = [item.text for item in outcome.items if isinstance(item, Step)]
    at = f" ({steps[-1]})" if steps else ""
    if outcome.end is End.HUNG:
        text = f"does not answer: nothing for {outcome.seconds:.0f} s{at}"
        return Finding(check.on_hang, check.about, text, check.do)
    if outcome.end is End.LATE:
        text = f"not finished after {outcome.seconds:.0f} s{at}"
        do = "run doctor again when the machine is less busy"
    elif outcome.end is End.FAILED:
        text = f"internal error (this is a bug in appagent; please report it): {outcome.error}"
        do = "report this line"
    else:
        text, do = f"the check was killed{at}", "run doctor again"
    return Finding(Level.WARNING, check.about, text, do)
