"""What the core holds: a node, its roots, its apps. All of it can be printed.

`Record` (in model) is the part of an app that outlives the agent; everything else is seen again
after a restart, so losing it costs no more than a scan. What has one lifetime is one value: it is
dropped or replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf

from appagent.core.settings import settings_for
from appagent.model.applied import Deploy, Hold, Record, Run
from appagent.model.events import Ended
from appagent.model.permit import Permit
from appagent.model.seen import AppSeen, EnvSeen, RootSeen
from appagent.model.settings import AppSettings, RootSettings, Settings
from appagent.model.words import Now, Target, Version


@dataclass(frozen=True, slots=True)
class Unsettled:
    """What is seen is not complete."""

    since: Now
    reported: bool = False  # that it took longer than `max_wait`


@dataclass(frozen=True, slots=True)
class Seen:
    """What the watcher reported of an app, and what follows from that alone."""

    latest: AppSeen | None = None
    own: Mapping[str, object] = field(default_factory=dict)  # settings in its own appagent.yaml
    own_error: str = ""
    listed: bool | None = None  # in the newest good listing of its root; None: none yet
    absent_since: float | None = None  # mono of the first good listing without it
    settled: str = ""  # the newest release that was seen complete
    unsettled: Unsettled | None = None
    changed: tuple[str, ...] = ()  # the paths that the newest difference named


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
class Asking:
    """A permit that was asked for: without an answer yet, or denied for some time."""

    step: Target
    version: Version
    why: str = ""  # it was denied
    retry_at: float = inf  # mono: ask again then


@dataclass(frozen=True, slots=True)
class Override:
    """Releases of a tree that are deployed although the tree does not rest."""

    force_unsettled: str = ""  # this one, though it was never seen complete
    pinned: str = ""  # this one, to its end, before a newer one counts


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is under way for an app. The end of it drops the whole value."""

    deploy: Deploy | None = None
    in_progress: bool = False  # the step before succeeded: the next may follow at once
    backoff: Backoff | None = None
    permit: Permit | None = None  # for the run that is under way, or begins now
    asking: Asking | None = None
    requested_by: str = ""  # the person who asked for what the plan does now
    override: Override = Override()

    def asks(self, step: Target, version: Version) -> bool:
        """Whether the permit for this step of this version was asked for."""
        asking = self.asking
        return asking is not None and (asking.step, asking.version) == (step, version)


@dataclass(frozen=True, slots=True)
class Churn:
    """How often a tree deployed lately, for the tree that writes into itself."""

    times: tuple[float, ...] = ()  # mono of recent deploys, but for an app's first one
    first: bool = False  # the first one began
    level: int = 0  # how many waits there were
    reported: int = 0  # the level that was reported
    superseded: int = 0  # deploys in a row that a newer release kept from their end


@dataclass(frozen=True, slots=True)
class Makefile:
    """What is known of the Makefile of one version."""

    version: Version | None = None
    missing: frozenset[Target] = frozenset()  # steps for which it has nothing

    def lacks(self, version: Version) -> frozenset[Target]:
        """The steps for which the Makefile of this version is known to have nothing."""
        return self.missing if self.version == version else frozenset()


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of an app, as they were counted."""

    count: int | None = None  # its own; None: not counted since the last run
    exited: bool = False  # all ended by themselves
    exits: int = 0  # how often in a row
    exited_at: float = 0.0  # mono, the last time


@dataclass(frozen=True, slots=True)
class Queue:
    """An app's turn for one of the `parallel_apps` slots."""

    waiting: bool = False  # a step could begin if a slot were free
    since: float = inf  # mono; until a run begins or there is nothing to do


@dataclass(frozen=True, slots=True)
class App:
    """One app on this node."""

    record: Record
    seen: Seen = Seen()
    attempt: Attempt = Attempt()
    makefile: Makefile = Makefile()
    processes: Processes = Processes()
    queue: Queue = Queue()
    churn: Churn = Churn()
    starting: Run | None = None  # its shim is being started; not recorded yet
    last_failed: Ended | None = None  # the last run that did not succeed, until a deploy is done
    run_reported: str = ""  # id of the newest run whose begin was reported
    wait_reported: str = ""  # the newest reason for waiting that was reported
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

    seen: RootSeen | None = None  # newest
    known: bool = False
    why: str = "not scanned yet"
    since: float = 0.0  # mono: since when it is known, or unknown
    stuck: str = ""  # the watcher does not answer: why
    back: float = -inf  # mono: when it was last available again after an outage


@dataclass(frozen=True, slots=True)
class Node:
    """Everything the core knows. Only `step` makes a new one."""

    settings: Settings
    boot: str
    apps: Mapping[str, App] = field(default_factory=dict)
    roots: Mapping[str, Root] = field(default_factory=dict)
    envs: Mapping[str, EnvSeen] = field(default_factory=dict)
    envs_stuck: Mapping[str, str] = field(default_factory=dict)
    mounted: frozenset[str] = frozenset()  # roots that were ever seen mounted
    hold: Hold | None = None  # on the whole node
    refused: Mapping[str, str] = field(default_factory=dict)  # path → why it is not an app
    shutdown: bool = False  # the machine goes down
    stopping: bool = False
    runs: int = 0  # ids made since the agent started; makes them unique

    def settings_of(self, app: App) -> AppSettings:
        """The settings of an app, merged."""
        return settings_for(self.settings, app.name, app.seen.own)

    def root_settings(self, path: str) -> RootSettings | None:
        """The settings of a root, or None if it is not in the configuration."""
        return next((r for r in self.settings.roots if r.path == path), None)

    def listing(self, path: str) -> RootSeen | None:
        """The newest listing of a root, if it can be trusted now."""
        root = self.roots.get(path)
        return root.seen if root is not None and root.known and not root.stuck else None

    def busy(self) -> tuple[str, ...]:
        """The apps that use a slot (`parallel_apps`): those with a run that is not a check.

        A check mostly sleeps between its tries, and may do so for minutes.
        """
        runs = ((name, app.run) for name, app in self.apps.items())
        return tuple(name for name, run in runs if run and run.target is not Target.CHECK)

    def with_root(self, path: str, root: Root) -> Node:
        """The node with this root put in or replaced."""
        return replace(self, roots={**self.roots, path: root})
