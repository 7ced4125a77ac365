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


def of(kind: type[T], items: Iterable[object]) -> list[T]:
    """Pick the items of one type."""
    return [item for item in items if isinstance(item, kind)]


def run(checks: Iterable[Check], deadline: float) -> list[object]:
    """Run all checks, for `deadline` seconds at most: what they yielded, in their order."""
    checks = list(checks)
    found: list[object] = []
    outcomes = run_all([Task(one.function, one.silence, one.deadline) for one in checks], deadline)
    for check, outcome in zip(checks, outcomes, strict=True):
        found += outcome.items
        if outcome.end is not End.DONE:
            found.append(_failure(check, outcome))
    return found


def _failure(check: Check, outcome: Outcome[object]) -> Finding:
    steps = of(Step, outcome.items)
    at = f" ({steps[-1].text})" if steps else ""
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
