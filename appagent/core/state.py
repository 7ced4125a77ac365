"""What the core holds: a node, its roots, its apps. All of it can be printed.

`Record` (in model) is the part of an app that outlives the agent; everything else here is made
anew from looks after a start, which is why losing it costs a look and nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf

from appagent.model.applied import Hold, Record, Run
from appagent.model.events import Ended
from appagent.model.notices import Deploy
from appagent.model.seen import AppSeen, EnvSeen, RootSeen
from appagent.model.settings import RootSettings, Settings
from appagent.model.words import Now, Target, Version


@dataclass(frozen=True, slots=True)
class Backoff:
    """A step that did not succeed and is tried again, later each time."""

    version: Version
    target: Target
    attempts: int
    until: float  # mono
    line: str
    word: str  # what it is called in status: failed | refused | moved | lost | cancelled


@dataclass(frozen=True, slots=True)
class Churn:
    """How often a tree deployed lately, for the tree that writes into itself."""

    times: tuple[float, ...] = ()  # mono of recent deploys, but for an app's first one
    first: bool = False  # that one has begun
    level: int = 0  # how many waits there were
    said: int = 0  # the level that was told


@dataclass(frozen=True, slots=True)
class App:
    """One app on this node."""

    record: Record
    look: AppSeen | None = None
    own: Mapping[str, object] = field(default_factory=dict)
    own_error: str = ""
    listed: bool | None = None  # in the newest good listing of its root; None: none yet
    absent_since: float | None = None  # mono of the first good look without it
    settled: str = ""  # the newest release that was seen complete
    unsettled_since: Now | None = None
    waited: bool = False  # that it is not complete was told
    deploy: Deploy | None = None
    in_progress: bool = (
        False  # the step before succeeded in this deploy: the next may follow at once
    )
    backoff: Backoff | None = None
    permit: tuple[Target, Version] | None = None  # granted for this step
    permit_by: str = ""
    asking: tuple[Target, Version] | None = None  # asked for, no answer yet
    starting: Run | None = None  # its shim is being started; not recorded yet
    told: str = ""  # the id of the newest run whose begin was told
    missing: frozenset[Target] = frozenset()  # steps for which this version's Makefile has nothing
    missing_for: Version | None = None
    churn: Churn = Churn()
    superseded: int = 0  # deploys of a tree in a row that a newer one kept from their end
    force_unsettled: str = ""  # the release that is deployed though it never rested
    pinned: str = ""  # the release of a tree that comes to its end before a newer one counts
    asked: str = ""  # who asked for what the plan does now
    last: Ended | None = None  # the last run that did not succeed, until a deploy is done
    changed: tuple[str, ...] = ()  # the paths that the newest difference named
    blocked: str = ""  # the reason that was told last for waiting
    queued: bool = False  # has a step to begin, and waits for one of the `parallel_apps` places
    queued_since: float = inf  # mono; until it begins or has nothing to do
    processes: int | None = None  # of its own, when last counted; None: not since the last run
    exited: bool = False  # they have all ended by themselves
    exits: int = 0  # how often in a row
    exited_at: float = 0.0  # mono, the last time
    wake: float = inf  # mono: compare again then, whatever happens

    @property
    def name(self) -> str:
        """The app's name."""
        return self.record.app

    @property
    def run(self) -> Run | None:
        """The run that is under way, recorded or about to be."""
        return self.record.run or self.starting


@dataclass(frozen=True, slots=True)
class Root:
    """What is known of a root's state."""

    look: RootSeen | None = None  # newest
    known: bool = False
    why: str = "not looked at yet"
    since: float = 0.0  # mono: since when it is known, or unknown
    stuck: str = ""  # the watcher does not answer: why
    back: float = -inf  # mono: when it was last here again after it had been away


@dataclass(frozen=True, slots=True)
class Node:
    """Everything the core knows. `step` alone makes a new one."""

    settings: Settings
    boot: str
    apps: Mapping[str, App] = field(default_factory=dict)
    roots: Mapping[str, Root] = field(default_factory=dict)
    envs: Mapping[str, EnvSeen] = field(default_factory=dict)
    envs_stuck: Mapping[str, str] = field(default_factory=dict)
    mounted: frozenset[str] = frozenset()  # roots that were ever seen mounted
    hold: Hold | None = None  # on the whole node
    refused: Mapping[str, str] = field(default_factory=dict)  # path → why it is no app
    shutdown: bool = False  # the machine goes down
    stopping: bool = False
    runs: int = 0  # runs begun since the agent began; makes their ids unique
    configured: bool = True

    def root_settings(self, path: str) -> RootSettings | None:
        """The settings of a root, or None where the configuration has it no more."""
        return next((r for r in self.settings.roots if r.path == path), None)

    def busy(self) -> tuple[str, ...]:
        """The apps that hold a place (`parallel_apps`): those with a run under way but a check.

        A check mostly sleeps between its tries, and may do so for minutes.
        """
        runs = ((name, app.run) for name, app in self.apps.items())
        return tuple(name for name, run in runs if run and run.target is not Target.CHECK)

    def with_root(self, path: str, root: Root) -> Node:
        """The node with this root put in or replaced."""
        return replace(self, roots={**self.roots, path: root})
