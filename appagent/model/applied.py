"""What this node remembers of an app, and the run that is under way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from appagent.model.words import Layout, Location, Now, Outcome, Target, Version


@dataclass(frozen=True, slots=True)
class Applied:
    """A field for each accomplishment. Beginning a step clears its field and those below.

    What was started successfully and what may have processes are two things: a start that failed,
    or that is to be repeated, leaves something to stop.
    """

    installed: str = ""  # release
    running: Version | None = None
    healthy: Version | None = None
    up: str = ""  # boot in which it was last started well; a stop that succeeded clears it
    serving: str = ""  # release of that start; any later step but an install clears it
    may_run: str = ""  # boot in which a start or restart last began; a stop clears it likewise


@dataclass(frozen=True, slots=True)
class Identity:
    """A process, unmistakably: a pid is reused, a pid with its start time (clock ticks) is not."""

    pid: int
    started: int
    unit: str = ""  # the systemd scope it is in, if any
    boot: str = ""  # the boot it belongs to: after another, the same numbers mean another process


class Later(NamedTuple):
    """A step that a run continues with if the Makefile lacks the ones before it."""

    target: Target
    timeout: float


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a target, as it was decided.

    Which targets a Makefile has is found out by the run itself. If it lacks `target`, the run
    continues with the next one of `then` that it has: a missing target needs no run of its own.
    """

    id: str
    app: str
    root: str
    target: Target
    version: Version
    previous: str  # release that ran before, or ""
    layout: Layout
    release_dir: str
    reason: str  # why, in a few words: "new release", "retry 2", "asked by root", "reboot"
    deploy: str  # id of the deploy it belongs to, or ""
    timeout: float
    grace: float
    began: Now
    identity: Identity | None = None
    cancelled: str = ""  # why the agent asked it to end
    requested: Target | None = None  # by a person meanwhile: taken back once this run is over
    then: tuple[Later, ...] = ()

    @property
    def location(self) -> Location:
        """Where the release lies that it is about."""
        return Location(self.version.release, self.release_dir, self.layout)

    @property
    def boot(self) -> str:
        """The boot in which it was, or "" if its shim is not known."""
        return self.identity.boot if self.identity is not None else ""

    @property
    def steps(self) -> tuple[Target, ...]:
        """The steps that it may come to, in order."""
        return (self.target, *(later.target for later in self.then))

    @property
    def longest(self) -> float:
        """Seconds that it may take before it is ended: finding out, and then one step."""
        return self.timeout + max((later.timeout for later in self.then), default=0.0)


@dataclass(frozen=True, slots=True)
class Failure:
    """A version that failed here, and is not retried while the same version is seen."""

    version: Version
    target: Target
    outcome: Outcome
    line: str
    at: float  # wall


@dataclass(frozen=True, slots=True)
class Hold:
    """Deploy nothing new."""

    why: str
    until: float | None = None  # wall; None: until resume
    by: str = ""

    def over(self, now: Now) -> bool:
        """Whether it has expired."""
        return self.until is not None and self.until <= now.wall


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A version whose deploy a person ended; the agent does not begin it again by itself."""

    version: Version
    by: str


@dataclass(frozen=True, slots=True)
class Deploy:
    """From the first difference to healthy."""

    id: str
    version: Version
    previous: str
    how: str  # which event showed it
    seen: Now
    settled: Now | None = None
    began: Now | None = None
    boot: str = ""  # in which it began; in another one its times say nothing


@dataclass(frozen=True, slots=True)
class Record:
    """All that is kept about one app on the local disk."""

    app: str
    root: str
    applied: Applied = Applied()
    ran: Location | None = None  # of which a start or restart began last; where a stop runs
    built: tuple[str, ...] = ()  # releases whose build was done by this node, newest last
    ignore: tuple[str, ...] = ()  # the lines that went into the installed id
    last_good: Version | None = None
    last_good_at: Location | None = None  # None: no rollback to it is possible
    failures: tuple[Failure, ...] = ()
    failed_for: Version | None = None  # the failures count while just this is seen
    cancelled: Cancelled | None = None  # what a person ended, while just that is seen
    stopped: bool = False  # by a person, until start or resume
    mass_removal: bool = False  # it was removed together with too many others: unknown
    forgotten: bool = False  # a person confirmed that it is removed
    populated: bool = False  # it has had processes of its own since it was started
    hold: Hold | None = None
    run: Run | None = None  # the one that is under way
    ended: str = ""  # id of the newest run that is over
    ended_shim: Identity | None = None  # … and its process
    deploy: Deploy | None = None  # the one that began: the next agent continues it

    def has_failed(self, version: Version) -> bool:
        """Whether a version failed here while the same one was seen."""
        return any(failure.version == version for failure in self.failures)
