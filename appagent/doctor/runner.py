"""Runs checks at the same time, each in a process of its own with a deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from appagent.doctor.finding import Doing, Finding, Known, Level, Said
from appagent.host.isolate import End, Outcome, Task, run_all


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to check, and what it means when it hangs."""

    about: str
    look: Callable[[], Iterable[Said]]
    patience: float = 5.0  # s until the next finding or step
    most: float = 11.0  # s altogether
    hung: Level = Level.WARNING
    do: str = ""  # what to do when it hangs


@dataclass(slots=True)
class Found:
    """What the checks found."""

    findings: list[Finding] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)

    def of(self, key: str) -> list[object]:
        """Everything that was found out under one key."""
        return [known.value for known in self.known if known.key == key]


def carry_out(checks: Iterable[Check], deadline: float) -> Found:
    """Run all checks for `deadline` seconds at most; the findings in the order of the checks."""
    checks = list(checks)
    found = Found()
    outcomes = run_all([Task(one.look, one.patience, one.most) for one in checks], deadline)
    for check, outcome in zip(checks, outcomes, strict=True):
        found.findings += [item for item in outcome.items if isinstance(item, Finding)]
        found.known += [item for item in outcome.items if isinstance(item, Known)]
        if outcome.end is not End.DONE:
            found.findings.append(_failure(check, outcome))
    return found


def _failure(check: Check, outcome: Outcome[Said]) -> Finding:
    steps = [item.text for item in outcome.items if isinstance(item, Doing)]
    at = f" ({steps[-1]})" if steps else ""
    if outcome.end is End.HUNG:
        text = f"does not answer: nothing for {outcome.seconds:.0f} s{at}"
        return Finding(check.hung, check.about, text, check.do)
    if outcome.end is End.LATE:
        text = f"not all could be looked at in {outcome.seconds:.0f} s{at}"
        do = "run doctor again when it is calm"
    elif outcome.end is End.FAILED:
        text = f"internal error (this is a bug in appagent; please report it): {outcome.error}"
        do = "report it, with this line"
    else:
        text, do = f"the check itself was ended from outside{at}", "run doctor again"
    return Finding(Level.WARNING, check.about, text, do)
