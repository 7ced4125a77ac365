"""What a watcher watches: its roots and their apps, what was seen of them, and what is due.

An `AppState` belongs to one thread at a time: to the poller while the app is a symlink, a git work
tree or not yet known, to the scanner while it is a tree. `owner` names that thread; a thread that
finds that the app has become something else hands it over. Other threads may only mark it as
dropped, and set why it is due: `how` and the time of a recheck.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from appagent.core.names import MAKEFILES, is_hidden, managed, why_no_app
from appagent.host.mounts import Mounts
from appagent.model.seen import RootSeen
from appagent.share.debounce import CONFIRM, Debounce
from appagent.share.disk import DIR, LINK
from appagent.share.layouts import Inspection
from appagent.share.markers import Marker, NotDeployable
from appagent.share.observer import Emit
from appagent.share.protocol import LogLine
from appagent.share.scheduler import Burst, Schedule, Window
from appagent.share.signature import SCHEME, Scan, SignatureScanner
from appagent.share.watchlist import AppSpec, RootSpec, Watchlist

POLLER, SCANNER = "poller", "scanner"  # the threads

_MAKEFILES = frozenset(MAKEFILES)
_POLLS = 16, 0.008  # that events may cause at once, and s between them: as long as a commit takes
_SCANS = 4, 0.06
_LONGEST = 200  # characters of an internal error's own text


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a watcher doubts what it sees; in seconds."""

    confirm: float = CONFIRM  # after which an error is believed
    whole: float = 10.0  # between inspections of an app whose markers do not change
    unusable: float = 10.0  # after which what keeps a directory from being an app is reported
    reread_share: float = 1.0  # until the second read of an env file
    reread_local: float = 0.25


@dataclass(frozen=True, slots=True)
class Children:
    """A listing of a root, sorted. Files and hidden directories are in none of these."""

    entries: Mapping[str, str]
    spec: RootSpec
    mine: frozenset[str]  # by include and exclude; polled
    others: frozenset[str]  # left out by them; only named
    refused: Mapping[str, str]  # name → why it cannot be an app

    @classmethod
    def of(cls, entries: Mapping[str, str], spec: RootSpec) -> Children:
        """Sort a listing."""
        mine: set[str] = set()
        others: set[str] = set()
        refused = {}
        for name, kind in entries.items():
            if kind not in (DIR, LINK) or is_hidden(name):
                continue
            why = why_no_app(name)
            if why:
                refused[name] = why
            else:
                (mine if managed(name, spec.include, spec.exclude) else others).add(name)
        return cls(entries, spec, frozenset(mine), frozenset(others), refused)


class PlainTree(NamedTuple):
    """The inspection of a tree that is not a link and has, of the key names, only Makefiles.

    As long as a scan finds the same key names, another inspection would find just the same.
    """

    found: Inspection
    key_names: Mapping[str, bool]
    table: Mounts  # with the next one: where it was allowed to lie
    real: str

    @classmethod
    def of(cls, found: Inspection, scan: Scan, table: Mounts, real: str) -> PlainTree | None:
        """Return it if it is one, by an inspection and the scan after it."""
        key_names = scan.key_names
        if found.markers or found.incomplete or found.settings is not None:
            return None
        if not key_names.keys() <= _MAKEFILES or all(key_names.values()):
            return None
        return cls(found, key_names, table, real)


class RootState:
    """A root, and what was seen of it."""

    def __init__(self, spec: RootSpec) -> None:
        self.spec = spec
        self.real = spec.path  # without the symlinks that are on the local disk
        self.children: Children | None = None  # by the newest good listing
        self.apps: dict[str, AppState] = {}
        self.were_apps: set[str] = set()  # without a Makefile they are unknown
        self.plain: set[str] = set()  # directories without a Makefile
        self.unusable: dict[str, str] = {}  # what would be apps, and what prevents it
        self.known = False
        self.reported: RootSeen | None = None
        self.requested = False
        self.how = ""  # why it is due: inotify, poll, scan or requested
        self.began = 0.0
        self.took = 0.0  # s of the newest listing and the inspections that it caused
        self.failing_since: float | None = None
        self.on_share = False
        self.inotify = False  # watched by it now
        self.burst = Burst(*_POLLS)
        self.inode = 0  # of what is watched; only on local disks
        self.no_inotify = ""  # why it cannot be
        self._named: tuple[Children | None, int, tuple[str, ...]] = (None, 0, ())

    @property
    def path(self) -> str:
        """As it is configured."""
        return self.spec.path

    def listed(self, entries: Mapping[str, str]) -> Children:
        """Take a listing; one that is like the one before is not sorted again."""
        old = self.children
        if old is None or entries != old.entries or self.spec != old.spec:
            self.children = old = Children.of(entries, self.spec)
        return old

    def names(self, found: Children) -> tuple[str, ...]:
        """Give the children that are apps, whoever runs them."""
        known = len(self.were_apps)  # they only get more
        if self._named[0] is not found or self._named[1] != known:
            named = tuple(sorted((found.mine & self.were_apps) | found.others))
            self._named = (found, known, named)
        return self._named[2]

    def is_app(self, name: str) -> None:
        """A child is an app, or is not there any more."""
        self.unusable.pop(name, None)
        self.plain.discard(name)

    def is_no_app(self, name: str, why: str) -> None:
        """A child is not an app: what prevents it, or "" for a plain directory."""
        self.is_app(name)
        if why:
            self.unusable[name] = why
        else:
            self.plain.add(name)

    def polled(self) -> int:
        """How many of its apps are polled by their markers; plain directories are not apps."""
        apps = self.apps.items()
        return sum([app.owner == POLLER and name in self.were_apps for name, app in apps])


class AppState:
    """A child of a root that may be an app, and what was seen of it."""

    def __init__(
        self,
        root: RootState,
        name: str,
        spec: AppSpec,
        *,
        confirm: float = CONFIRM,
        scheme: str = SCHEME,
    ) -> None:
        self.root = root
        self.name = name
        self.spec = spec
        self.debounce = Debounce(root.path, name, spec.settle, confirm)
        self.scanner = SignatureScanner(spec.ignore, scheme)
        self.owner = POLLER
        self.base = ""  # of a tree that inotify watches, with a slash behind it
        self.dropped = False  # not watched any more; what is seen of it now is not reported
        self.how = ""  # why it is due: inotify, poll, scan or requested
        self.began = 0.0  # of the newest poll
        self.cause = ""  # of the newest poll: as `how`
        self._polls, self._scans = Burst(*_POLLS), Burst(*_SCANS)
        self.markers: tuple[Marker, ...] = ()
        self.whole = Window(0.0, 0.0)  # when unchanged markers are not enough any more
        self.scan: Scan | None = None
        self.plain_tree: PlainTree | None = None
        self.tried = False  # whether it was ever scanned, whatever came of it
        self.confirm: float | None = None  # when to scan again to see that a change stood
        self.put_off = False  # since its newest scan: it could not be paid
        self.scan_takes = 0.0  # s, the newest
        self.scan_price = 0.0  # s, what it cost its budget
        self.scan_every = 0.0  # s, where that is much more than it should be; else 0
        self.failing_since: float | None = None  # since when something keeps it from being an app
        self.kept = ""  # release whose manifest is kept

    @property
    def path(self) -> str:
        """Where it is, as the root is configured."""
        return f"{self.root.path.rstrip('/')}/{self.name}"

    def begin(self, now: float, otherwise: str) -> None:
        """An inspection or a scan begins; what happens from now on causes another one."""
        self.began = now
        self.cause, self.how = self.how or otherwise, ""
        self._burst.spend(now, self._pace)

    def due_after_event(self, now: float) -> Window:
        """When to poll because of an event that comes now."""
        return self._burst.due(now, self._pace)

    @property
    def _burst(self) -> Burst:
        return self._scans if self.owner == SCANNER else self._polls

    @property
    def _pace(self) -> float:
        spec = self.root.spec
        return spec.scan_interval if self.owner == SCANNER else spec.interval


class Work:
    """What the threads of a watcher share: the watchlist in force, and what is due.

    Any thread may put something on either schedule; each thread takes from its own.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        limits: Limits = Limits(),
        scheme: str = SCHEME,
    ) -> None:
        self.limits = limits
        self.scheme = scheme  # of the signatures that are made
        self.watchlist = Watchlist()
        self.poll: Schedule[object] = Schedule()
        self.scan: Schedule[AppState] = Schedule(clock)
        self.dropped: deque[AppState] = deque()  # their budgets are for the scanner to drop
        self._logged: set[tuple[str, str, str, int | None]] = set()

    def app(self, app: AppState, due: float | Window = 0.0) -> None:
        """Have an app polled or scanned by then, by the thread that it belongs to."""
        if app.owner == SCANNER:
            self.scan.sooner(app, due)
        else:
            self.poll.sooner(app, due)

    def root(self, root: RootState, due: float | Window = 0.0) -> None:
        """Have a root listed by then."""
        self.poll.sooner(root, due)

    def drop(self, app: AppState) -> None:
        """Do nothing more for an app."""
        app.dropped = True
        self.poll.drop(app)
        self.scan.drop(app)
        self.dropped.append(app)

    def root_changed(self, root: RootState) -> None:
        """Inotify reports something in a root."""
        root.how = "inotify"
        self.poll.sooner(root, root.burst.due(time.monotonic(), root.spec.interval))

    def app_changed(self, app: AppState) -> None:
        """Inotify reports something in an app."""
        app.how = app.how or "inotify"
        self.app(app, app.due_after_event(time.monotonic()))

    def internal_error(self, what: str, emit: Emit) -> NotDeployable:
        """Log the exception that is being handled, once for each origin; the reason to report.

        It makes one app, env file or root unknown. Everything else is polled as usual.
        """
        kind, error, trace = sys.exc_info()
        name = kind.__name__ if kind else "?"
        detail = f"{name}: {' '.join(str(error).split())[:_LONGEST]}".removesuffix(": ")
        reason = NotDeployable(
            f"internal error (this is a bug in appagent; please report it): {detail}"
        )
        last = traceback.extract_tb(trace)[-1:]
        origin = (what, name, last[0].filename if last else "", last[0].lineno if last else 0)
        if origin not in self._logged:
            self._logged.add(origin)
            emit(LogLine("error", f"{what}: {reason}\n{traceback.format_exc()}"))
        return reason
