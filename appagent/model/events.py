"""What goes into the core. An event does not decide what to do, only what to compare again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from appagent.model.applied import Hold, Identity
from appagent.model.permit import Permit
from appagent.model.seen import AppSeen, EnvSeen, RootSeen
from appagent.model.settings import Settings
from appagent.model.words import Outcome, Target, Version


@dataclass(frozen=True, slots=True)
class AppObserved:
    """An app was seen. `own` are the settings in its appagent.yaml; `own_error` is their error."""

    seen: AppSeen
    own: Mapping[str, object] = field(default_factory=dict)
    own_error: str = ""


@dataclass(frozen=True, slots=True)
class RootObserved:
    """A root was listed."""

    seen: RootSeen


@dataclass(frozen=True, slots=True)
class EnvObserved:
    """An env file was read."""

    seen: EnvSeen


@dataclass(frozen=True, slots=True)
class WatcherStuck:
    """The watcher for these roots and env files does not answer; `since` is mono."""

    paths: tuple[str, ...]
    since: float
    why: str


@dataclass(frozen=True, slots=True)
class WatcherBack:
    """It answers again; everything is scanned anew and follows."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class PermitGranted:
    """A step may begin."""

    app: str
    permit: Permit


@dataclass(frozen=True, slots=True)
class PermitDenied:
    """A step may not begin; ask again at `again` (mono)."""

    app: str
    step: Target
    version: Version
    why: str
    again: float


@dataclass(frozen=True, slots=True)
class ShimReady:
    """The shim of a run is ready and waits until it may proceed."""

    app: str
    run_id: str
    identity: Identity


@dataclass(frozen=True, slots=True)
class StepFound:
    """The shim of a run knows the targets, and calls make now for the first step that is there."""

    app: str
    run_id: str
    step: Target
    calls: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """A run is over: by its result, or because no process of it is left."""

    app: str
    run_id: str
    outcome: Outcome
    exit_code: int | None = None
    seconds: float = 0.0
    line: str = ""  # one line: what went wrong, or a warning-free ""
    tail: str = ""  # last output of a run that failed
    warnings: tuple[str, ...] = ()
    adopted: bool = False
    lacks: tuple[Target, ...] = ()  # targets that the Makefile does not have
    leaves: bool = False  # something that it started keeps running
    step: Target | None = None  # that it reached, if any
    stopped: bool = False  # the step is a restart whose stop was done
    calls: tuple[Target, ...] = ()  # what make was called with


@dataclass(frozen=True, slots=True)
class Trigger:
    """A person wants it now. Without a target: recheck, clear what blocks the app, deploy."""

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
    """A person confirms that an app is removed."""

    app: str
    by: str


@dataclass(frozen=True, slots=True)
class Configured:
    """A configuration is in force."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class Alive:
    """The processes that an app has of its own now."""

    app: str
    processes: int


@dataclass(frozen=True, slots=True)
class ShuttingDown:
    """The machine shuts down, not only the agent."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """The agent stops: begin nothing more."""


Event = (
    AppObserved
    | RootObserved
    | EnvObserved
    | WatcherStuck
    | WatcherBack
    | Ticked
    | PermitGranted
    | PermitDenied
    | ShimReady
    | StepFound
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
