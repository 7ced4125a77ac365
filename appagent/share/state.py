"""What a watcher watches: its roots and their apps, and what was seen of them.

An `AppState` belongs to one thread at a time: to the poller while the app is a symlink, a git work
tree or not yet known, to the scanner while it is a tree. `owner` names that thread; a thread that
finds that the app has become something else hands it over. Other threads may only mark it as
dropped, and set why it is due: `how` and the time of a recheck.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from appagent.core.names import MAKEFILES
from appagent.host.mounts import Mounts
from appagent.model.seen import RootSeen
from appagent.share.children import Children
from appagent.share.debounce import Debounce
from appagent.share.fault_log import FaultLog
from appagent.share.layouts import Inspection
from appagent.share.markers import Marker
from appagent.share.scheduler import Burst, Window
from appagent.share.signature import Scan, SignatureScanner
from appagent.share.watchlist import AppSpec, RootSpec

POLLER, SCANNER = "poller", "scanner"  # the threads

_MAKEFILES = frozenset(MAKEFILES)
_POLLS = 16, 0.008  # that events may cause at once, and s between them: as long as a commit takes
_SCANS = 4, 0.06


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
        self.faults = FaultLog()
        self._named: tuple[Children | None, int, tuple[str, ...]] = (None, 0, ())

    @property
    def path(self) -> str:
        """As it is configured."""
        return self.spec.path

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

    def __init__(self, root: RootState, name: str, spec: AppSpec) -> None:
        self.root = root
        self.name = name
        self.spec = spec
        self.debounce = Debounce(root.path, name, spec.settle)
        self.scanner = SignatureScanner(spec.ignore)
        self.owner = POLLER
        self.base = ""  # of a tree that inotify watches, with a slash behind it
        self._dropped = False
        self.how = ""  # why it is due: inotify, poll, scan or requested
        self.began = 0.0  # of the newest poll
        self._polls, self._scans = Burst(*_POLLS), Burst(*_SCANS)
        self.markers: tuple[Marker, ...] = ()
        self.whole = Window(0.0, 0.0)  # when unchanged markers are not enough any more
        self.scan: Scan | None = None
        self.plain_tree: PlainTree | None = None
        self.tried = False  # whether it was ever scanned, whatever came of it
        self.confirm: float | None = None  # when to scan again to see that a change stood
        self.put_off = False  # since its newest scan: it could not be paid
        self.scan_takes = 0.0  # s, the newest
        self.scan_price = 0.0  # s, what it cost its account
        self.scan_every = 0.0  # s, where that is much more than it should be; else 0
        self.failing_since: float | None = None  # since when something keeps it from being an app
        self.kept = ""  # release whose manifest is kept
        self.faults = FaultLog()

    @property
    def path(self) -> str:
        """Where it is, as the root is configured."""
        return f"{self.root.path.rstrip('/')}/{self.name}"

    def drop(self) -> None:
        """It is not watched any more; what is seen of it just now is not reported."""
        self._dropped = True

    def dropped(self) -> bool:
        """Whether it is not watched any more."""
        return self._dropped

    def begin(self, now: float) -> None:
        """An inspection or a scan begins."""
        self.began = now
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

    def take_how(self, otherwise: str) -> str:
        """What caused this poll; what happens from now on causes another one."""
        how, self.how = self.how, ""
        return how or otherwise
