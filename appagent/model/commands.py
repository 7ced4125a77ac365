"""What the core wants done, to be carried out in this order."""

from __future__ import annotations

from dataclasses import dataclass

from appagent.model.applied import Hold, Record, Run
from appagent.model.notices import Notice
from appagent.model.permit import Permit
from appagent.model.words import Target, Version


@dataclass(frozen=True, slots=True)
class Save:
    """Put the record on the disk before the next command is carried out."""

    record: Record


@dataclass(frozen=True, slots=True)
class Drop:
    """Remove all that is kept about an app."""

    app: str


@dataclass(frozen=True, slots=True)
class SaveRoots:
    """Remember which roots were ever seen mounted."""

    mounted: frozenset[str]


@dataclass(frozen=True, slots=True)
class SaveNodeHold:
    """Remember the hold on the whole node."""

    hold: Hold | None


@dataclass(frozen=True, slots=True)
class AskPermit:
    """Ask whether this step may begin."""

    app: str
    step: Target
    version: Version


@dataclass(frozen=True, slots=True)
class ReturnPermit:
    """Give a permit back: its run is over, or does not begin now."""

    app: str
    permit: Permit


@dataclass(frozen=True, slots=True)
class Begin:
    """Start the shim of a run; it waits for the go."""

    run: Run


@dataclass(frozen=True, slots=True)
class Proceed:
    """Its identity is recorded: let it run."""

    app: str
    run_id: str


@dataclass(frozen=True, slots=True)
class End:
    """End a run: TERM, grace, KILL."""

    app: str
    run_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """Report what happened."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class PollNow:
    """Ask the watcher for a look at one app, or at all of a root (app "")."""

    root: str
    app: str


@dataclass(frozen=True, slots=True)
class Rewatch:
    """What the watchers are to watch has changed: send them their lists."""


@dataclass(frozen=True, slots=True)
class Answer:
    """To the person who asked: an exit code and a line."""

    code: int
    text: str


Command = (
    Save
    | Drop
    | SaveRoots
    | SaveNodeHold
    | AskPermit
    | ReturnPermit
    | Begin
    | Proceed
    | End
    | Report
    | PollNow
    | Rewatch
    | Answer
)
