"""What the core decides, to be carried out in this order."""

from __future__ import annotations

from dataclasses import dataclass

from appagent.model.applied import Hold, Record, Run
from appagent.model.notices import Notice
from appagent.model.permit import Permit
from appagent.model.words import Target, Version


class Command:
    """One thing to do."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Save(Command):
    """Write the record to the disk before the next command is carried out."""

    record: Record


@dataclass(frozen=True, slots=True)
class Drop(Command):
    """Remove all that is kept about an app."""

    app: str


@dataclass(frozen=True, slots=True)
class SaveRoots(Command):
    """Remember which roots were ever seen mounted."""

    mounted: frozenset[str]


@dataclass(frozen=True, slots=True)
class SaveNodeHold(Command):
    """Remember the hold on the whole node."""

    hold: Hold | None


@dataclass(frozen=True, slots=True)
class AskPermit(Command):
    """Ask whether this step may begin."""

    app: str
    step: Target
    version: Version


@dataclass(frozen=True, slots=True)
class ReturnPermit(Command):
    """Give a permit back: its run is over, or does not begin now."""

    app: str
    permit: Permit


@dataclass(frozen=True, slots=True)
class Begin(Command):
    """Start the shim of a run; it waits until it may proceed."""

    run: Run


@dataclass(frozen=True, slots=True)
class Proceed(Command):
    """The identity of the shim is recorded: let it run make."""

    app: str
    run_id: str


@dataclass(frozen=True, slots=True)
class End(Command):
    """End a run: TERM, grace, KILL."""

    app: str
    run_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Report(Command):
    """Report what happened."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class PollNow(Command):
    """Have the watcher recheck one app, or a whole root (app "")."""

    root: str
    app: str


@dataclass(frozen=True, slots=True)
class Rewatch(Command):
    """Send the watchers their lists: what they have to watch has changed."""


@dataclass(frozen=True, slots=True)
class Answer(Command):
    """The answer to a request: an exit code and a line."""

    code: int
    text: str
