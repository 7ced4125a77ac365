"""The words of appagent as types: what is seen, wanted, applied and run; events and commands.

Everything here is a value. Nothing here reads a clock, a file or another module of ours, so every
part may import it, and a test can build any situation by hand.

Times: `mono` is seconds of CLOCK_MONOTONIC (the same in every process of one boot), `wall` is
seconds since the epoch. Decisions use `mono`; only what must outlive a boot uses `wall`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Layout(StrEnum):
    """How an app's files lie on the share."""

    SYMLINK = "symlink"
    GIT = "git"
    TREE = "tree"


class Target(StrEnum):
    """A target of an app's Makefile that the agent may call."""

    BUILD = "build"
    INSTALL = "install"
    START = "start"
    RESTART = "restart"
    STOP = "stop"
    CHECK = "check"


class Outcome(StrEnum):
    """How a run ended."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    MISSING = "missing"  # the Makefile has no such target; nothing ran
    REFUSED = "refused"  # not trusted, or not runnable as configured; nothing ran
    MOVED = "moved"  # what was looked at is not there any more; nothing ran
    CANCELLED = "cancelled"  # ended by us: a newer release, a trigger or `cancel`
    LOST = "lost"  # no result was left: the machine or the shim went down


class Now(NamedTuple):
    """The time, as an argument."""

    mono: float
    wall: float


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """What makes a deploy: the release, and the id of the environment its targets get."""

    release: str
    conf: str

    def __str__(self) -> str:
        return f"{self.release}+{self.conf}" if self.conf else self.release


# --- settings ------------------------------------------------------------------------------------

DEFAULT_TIMEOUT: Mapping[Target, float] = {
    Target.BUILD: 1800.0,
    Target.INSTALL: 600.0,
    Target.START: 60.0,
    Target.RESTART: 60.0,
    Target.STOP: 30.0,
    Target.CHECK: 30.0,
}


@dataclass(frozen=True, slots=True)
class Rollout:
    """How a version goes over the fleet. `parallel` is a count, or a share of the live nodes."""

    first: int = 1
    parallel_count: int | None = None
    parallel_share: float | None = 1.0
    pause: float = 0.0
    halt_after: int = 1


@dataclass(frozen=True, slots=True)
class AppSettings:
    """The settings of one app, merged: defaults, then the app's own, then `apps.<name>`."""

    layout: Layout | None = None  # None: auto
    settle: float = 2.0
    max_wait: float = 600.0
    unsettled: str = "wait"  # wait | deploy
    gone_after: float = 60.0
    ignore: tuple[str, ...] = ()
    timeout: Mapping[Target, float] = field(default_factory=lambda: dict(DEFAULT_TIMEOUT))
    grace: float = 5.0
    retry_first: float = 2.0
    retry_max: float = 300.0
    on_failure: str = "previous"  # previous | leave
    install: str = "serial"  # serial | parallel
    rollout: Rollout = Rollout()
    on_shutdown: str = "leave"  # leave | stop
    on_exit: str = "report"  # report | start
    limits: Mapping[str, str] = field(default_factory=dict)  # memory, cpu, tasks


@dataclass(frozen=True, slots=True)
class RootSettings:
    """One directory on the share whose children are apps."""

    path: str
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    mount: str | None = None  # required | optional | None: required once it was seen mounted
    watch: str = "auto"  # auto | inotify | poll
    interval: float = 0.25
    scan_interval: float = 2.0
    run_as: str = "self"  # a user | self | owner
    trusted_owners: tuple[str, ...] = ()
    release_dirs: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()  # with {app}; a leading "-": it may be missing
    fleet: bool = True


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """One place that is told about facts."""

    url: str
    on: tuple[str, ...]  # failed, deployed, halted
    format: str = "json"  # json | slack


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration of a node, checked."""

    environment: str = ""
    node: str = ""
    roots: tuple[RootSettings, ...] = ()
    defaults: AppSettings = AppSettings()
    # Per app only what `apps.<name>` says, as AppSettings fields by name (rollout whole, timeout
    # as a partial mapping); config.settings_for merges.
    apps: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    parallel_apps: int = 2
    state_dir: str = "/var/lib/appagent"
    runtime_dir: str = "/run/appagent"
    log_level: str = "info"  # debug | info | warning | error
    log_format: str = "auto"  # auto | journal | json | console
    metrics_listen: str | None = None
    notify: tuple[NotifySettings, ...] = ()


# --- seen: what the eye pushes -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AppLook:
    """One all-or-nothing look at one app. Any error inside it makes the whole of it unknown."""

    root: str
    app: str
    known: bool  # False: `why` says what stood in the way
    why: str = ""
    layout: Layout | None = None
    release: str = ""  # with its scheme: "tree.1:<ignore>:<hash>", "git.1:<commit>", "symlink.1:…"
    also: str = ""  # the id under the scheme and ignore lines of the applied one, when asked for
    release_dir: str = ""  # absolute, resolved
    owner: int = -1  # uid that owns the app's directory
    since: float = 0.0  # mono: begin of the first look that saw just this
    looked: float = 0.0  # mono: begin of the newest look that saw just this
    incomplete: str = ""  # what says that it is half-written: ".deploying", ".git/index.lock"
    changing: tuple[str, ...] = ()  # paths that differed between this look and the one before
    settings: str | None = None  # text of the app's own appagent.yaml (bounded), if it has one
    how: str = ""  # inotify | poll | scan | asked: which look saw it first


@dataclass(frozen=True, slots=True)
class RootLook:
    """One look at a root: whether it can be trusted at all, and the names in it."""

    root: str
    known: bool
    why: str = ""
    names: tuple[str, ...] = ()  # children that are apps, before include/exclude
    empty: bool = False  # no entry of any kind
    refused: Mapping[str, str] = field(default_factory=dict)  # name → why it can be no app
    mounted: bool = False  # a filesystem of its own kind (a share) holds it
    fstype: str = ""
    looked: float = 0.0


@dataclass(frozen=True, slots=True)
class EnvLook:
    """One env file, read twice alike. `digest` is keyed with the node's secret."""

    path: str
    state: str  # present | missing | broken | unknown
    digest: str = ""
    why: str = ""  # for broken: "file:line: what is wrong"; for unknown: the error
    looked: float = 0.0


@dataclass(frozen=True, slots=True)
class Beat:
    """An eye's heartbeat, once a second."""

    at: float  # mono, now
    quick: float  # mono: when the quick thread was last between two operations
    scan: float  # mono: the same for the scanning thread
    busy: str = ""  # what the older of the two is doing: "listing /files/production"
    interval: float = 0.0  # between looks at the markers, as in force


# --- applied: what this node remembers -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Applied:
    """A field for each accomplishment. Beginning a step clears its own and those below."""

    installed: str = ""  # release
    running: Version | None = None
    good: Version | None = None
    up: str = ""  # boot in which it was last started; a stop clears it


@dataclass(frozen=True, slots=True)
class Identity:
    """A process, unmistakably: a pid is reused, a pid with its start time (clock ticks) is not."""

    pid: int
    started: int
    unit: str = ""  # the systemd scope it is in, if any
    boot: str = ""  # the boot it belongs to: after another, the same numbers mean another process


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a target, as it was decided."""

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


@dataclass(frozen=True, slots=True)
class Failure:
    """A version that failed here while the same was seen; it is not tried blindly again."""

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


@dataclass(frozen=True, slots=True)
class Record:
    """All that is kept about one app on the local disk."""

    app: str
    root: str
    applied: Applied = Applied()
    layout: Layout | None = None
    release_dir: str = ""  # of the installed release
    built: tuple[str, ...] = ()  # releases whose build was done by this node, newest last
    ignore: tuple[str, ...] = ()  # the lines that went into the installed id
    last_good: Version | None = None
    last_good_dir: str = ""
    failures: tuple[Failure, ...] = ()
    failed_for: Version | None = None  # the failures count while just this is seen
    stopped: bool = False  # by a person, until start or resume
    populated: bool = False  # it has had processes of its own since it was started
    hold: Hold | None = None
    run: Run | None = None  # the one that is under way


# --- what happened -------------------------------------------------------------------------------


class Level(StrEnum):
    """How loud a fact is."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened; the only thing that reports are made of.

    kind is a dotted word: deploy.seen deploy.settled deploy.began deploy.done deploy.failed
    deploy.superseded run.began run.ended app.new app.gone app.unknown app.known app.waiting
    app.refused app.held app.resumed app.stopped root.unknown root.known eye.stuck eye.back
    eye.died config.loaded config.refused agent.ready agent.stopping store.failed …
    """

    kind: str
    at: Now
    text: str  # one line for a person
    app: str = ""
    level: Level = Level.INFO
    # Plain values by lower-case name: release, previous, target, run_id, deploy_id, reason,
    # outcome, exit_code, duration_ms, tail, path … The journal gets them upper-case.
    fields: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deploy:
    """From the first difference to good."""

    id: str
    version: Version
    previous: str
    how: str  # which look, which event
    seen: Now
    settled: Now | None = None
    begun: Now | None = None


# --- events: what goes into the core -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Looked:
    """The eye saw an app. `own` is what its appagent.yaml says; `own_error` what is wrong there."""

    look: AppLook
    own: Mapping[str, object] = field(default_factory=dict)
    own_error: str = ""


@dataclass(frozen=True, slots=True)
class RootLooked:
    """The eye looked at a root."""

    look: RootLook


@dataclass(frozen=True, slots=True)
class EnvLooked:
    """The eye read an env file."""

    look: EnvLook


@dataclass(frozen=True, slots=True)
class EyeStuck:
    """The eye for these roots and env files does not answer; `since` is mono."""

    paths: tuple[str, ...]
    since: float
    why: str


@dataclass(frozen=True, slots=True)
class EyeBack:
    """It answers again; fresh looks follow."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Permitted:
    """A step may begin. `by` says who allowed it: "alone", a lease."""

    app: str
    target: Target
    version: Version
    by: str


@dataclass(frozen=True, slots=True)
class Began:
    """The shim of a run is there and waits for the go."""

    app: str
    run_id: str
    identity: Identity


@dataclass(frozen=True, slots=True)
class Ended:
    """A run is over: by its result file, or because nothing of it is left."""

    app: str
    run_id: str
    outcome: Outcome
    exit_code: int | None = None
    seconds: float = 0.0
    line: str = ""  # one line: what went wrong, or a warning-free ""
    tail: str = ""  # last output of a run that failed
    warnings: tuple[str, ...] = ()
    adopted: bool = False
    lacks: tuple[Target, ...] = ()  # targets that the Makefile was found not to have


@dataclass(frozen=True, slots=True)
class Trigger:
    """A person wants it now. Without a target: look, clear what stands in the way, deploy."""

    app: str
    target: Target | None
    by: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """A person ends a running build or install, or a backoff."""

    app: str
    by: str


@dataclass(frozen=True, slots=True)
class HoldAsked:
    """A person holds an app, or the node (app None)."""

    app: str | None
    hold: Hold


@dataclass(frozen=True, slots=True)
class ResumeAsked:
    """A person ends a hold, and a stop."""

    app: str | None
    by: str


@dataclass(frozen=True, slots=True)
class Forget:
    """A person says that an app is really gone."""

    app: str
    by: str


@dataclass(frozen=True, slots=True)
class Configured:
    """A configuration is in force."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class Alive:
    """An app has so many processes of its own now."""

    app: str
    processes: int


@dataclass(frozen=True, slots=True)
class ShuttingDown:
    """The machine goes down, not only the agent."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """The agent is going down: begin nothing more."""


Event = (
    Looked
    | RootLooked
    | EnvLooked
    | EyeStuck
    | EyeBack
    | Ticked
    | Permitted
    | Began
    | Ended
    | Trigger
    | Cancel
    | HoldAsked
    | ResumeAsked
    | Forget
    | Configured
    | Alive
    | ShuttingDown
    | Stopping
)


# --- commands: what the core wants done, in this order -------------------------------------------


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
    target: Target
    version: Version


@dataclass(frozen=True, slots=True)
class Begin:
    """Start the shim of a run; it waits for the go."""

    run: Run


@dataclass(frozen=True, slots=True)
class Go:
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
class Tell:
    """Report a fact."""

    fact: Fact


@dataclass(frozen=True, slots=True)
class LookNow:
    """Ask the eye for a look at one app, or at all of a root (app "")."""

    root: str
    app: str


@dataclass(frozen=True, slots=True)
class Rewatch:
    """What the eyes are to watch has changed: send them their lists."""


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
    | Begin
    | Go
    | End
    | Tell
    | LookNow
    | Rewatch
    | Answer
)
