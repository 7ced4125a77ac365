"""What goes into the core, beside `RootSeen` and `EnvSeen` as they come from a watcher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from appagent.model.applied import Hold, Identity
from appagent.model.permit import Permit
from appagent.model.seen import AppSeen
from appagent.model.settings import Settings
from appagent.model.words import Event, Outcome, Target, Version


@dataclass(frozen=True, slots=True)
class AppObserved(Event):
    """An app was seen. `own` are the settings in its appagent.yaml; `own_error` is their error."""

    seen: AppSeen
    own: Mapping[str, object] = field(default_factory=dict)
    own_error: str = ""


@dataclass(frozen=True, slots=True)
class WatcherStuck(Event):
    """The watcher for these roots and env files does not answer; `since` is mono."""

    paths: tuple[str, ...]
    since: float
    why: str


@dataclass(frozen=True, slots=True)
class WatcherBack(Event):
    """It answers again; everything is scanned anew and follows."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ticked(Event):
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class PermitGranted(Event):
    """A step may begin."""

    app: str
    permit: Permit


@dataclass(frozen=True, slots=True)
class PermitDenied(Event):
    """A step may not begin; ask again at `retry_at` (mono)."""

    app: str
    step: Target
    version: Version
    why: str
    retry_at: float


@dataclass(frozen=True, slots=True)
class ShimReady(Event):
    """The shim of a run is ready and waits until it may proceed."""

    app: str
    run_id: str
    identity: Identity


@dataclass(frozen=True, slots=True)
class StepFound(Event):
    """The shim of a run knows the targets, and calls make now for the first step that is there."""

    app: str
    run_id: str
    step: Target
    calls: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Ended(Event):
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
class Trigger(Event):
    """A person wants it now. Without a target: recheck, clear what blocks the app, deploy."""

    app: str
    target: Target | None
    by: str


@dataclass(frozen=True, slots=True)
class Cancel(Event):
    """A person ends a running build or install, or a backoff."""

    app: str
    by: str


@dataclass(frozen=True, slots=True)
class HoldAsked(Event):
    """A person holds an app, or the node (app None)."""

    app: str | None
    hold: Hold


@dataclass(frozen=True, slots=True)
class ResumeAsked(Event):
    """A person ends a hold, and a stop."""

    app: str | None
    by: str


@dataclass(frozen=True, slots=True)
class Forget(Event):
    """A person confirms that an app is removed."""

    app: str
    by: str


@dataclass(frozen=True, slots=True)
class Configured(Event):
    """A configuration is in force."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class Alive(Event):
    """The processes that an app has of its own now."""

    app: str
    processes: int


@dataclass(frozen=True, slots=True)
class ShuttingDown(Event):
    """The machine shuts down, not only the agent."""


@dataclass(frozen=True, slots=True)
class Stopping(Event):
    """The agent stops: begin nothing more."""
