"""What goes into the core. No event says what to do; it says what to look at again."""

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
    """The watcher saw an app. `own` is what its appagent.yaml says; `own_error` its error."""

    seen: AppSeen
    own: Mapping[str, object] = field(default_factory=dict)
    own_error: str = ""


@dataclass(frozen=True, slots=True)
class RootObserved:
    """The watcher looked at a root."""

    seen: RootSeen


@dataclass(frozen=True, slots=True)
class EnvObserved:
    """The watcher read an env file."""

    seen: EnvSeen


@dataclass(frozen=True, slots=True)
class WatcherStuck:
    """The watcher for these roots and env files does not answer; `since` is mono."""

    paths: tuple[str, ...]
    since: float
    why: str


@dataclass(frozen=True, slots=True)
class WatcherBack:
    """It answers again; fresh looks follow."""

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
    """The shim of a run is there and waits for the go."""

    app: str
    run_id: str
    identity: Identity


@dataclass(frozen=True, slots=True)
class StepFound:
    """The shim of a run has asked make, and calls it now for the first step that is there."""

    app: str
    run_id: str
    step: Target
    calls: tuple[Target, ...]


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
    leaves: bool = False  # what it has started runs on
    step: Target | None = None  # that it came to, if it came to any
    stopped: bool = False  # the step is a restart whose stop was done
    calls: tuple[Target, ...] = ()  # what make was called with


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
