"""What a watcher watches as it stands: its roots, their apps, and the ground they lie on.

An `AppState` belongs to one thread at a time: to the quick one while the app is a symlink, a git
work tree or not yet told, to the scanning one while it is a tree. `owner` says whose it is; who
finds that the app has become something else hands it over. What other threads may set is only
that it is dropped, and what rings: `how` and `requested`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from appagent.core.names import MAKEFILES
from appagent.host.mounts import Mount, Mounts, real
from appagent.model.seen import RootSeen
from appagent.model.words import Layout
from appagent.share.children import Children
from appagent.share.debounce import Debounce
from appagent.share.disk import Disk
from appagent.share.fault_log import FaultLog
from appagent.share.layouts import Inspection, inspect
from appagent.share.markers import Marker
from appagent.share.scheduler import Burst, Window
from appagent.share.signature import Scan, SignatureScanner
from appagent.share.watchlist import AppSpec, RootSpec, Watchlist

POLLER, SCANNER = "quick", "scan"

_MAKEFILES = frozenset(MAKEFILES)
_POLLS = 16, 0.008  # that events may cause at once, and s between them: as long as a commit takes
_SCANS = 4, 0.06


class Plain(NamedTuple):
    """How a tree was found that is no link and has, of the telling names, only Makefiles.

    As long as a scan finds the same telling names, another look would find just the same.
    """

    found: Inspection
    telling: Mapping[str, bool]
    table: Mounts  # with the next one: where it was allowed to lie
    real: str

    @classmethod
    def of(cls, found: Inspection, scan: Scan, table: Mounts, real: str) -> Plain | None:
        """Tell whether it is one, by a look and the scan after it: what lies between may differ."""
        telling = scan.telling
        if found.markers or found.incomplete or found.settings is not None:
            return None
        if not telling.keys() <= _MAKEFILES or all(telling.values()):
            return None
        return cls(found, telling, table, real)


class NotMounted(Exception):
    """What is to be looked at is not there to be looked at: not mounted, or mounted anew."""


class RootState:
    """A root, and what was seen of it."""

    def __init__(self, spec: RootSpec) -> None:
        self.spec = spec
        self.real = spec.path  # without the symlinks that are on the local disk
        self.children: Children | None = None  # by the newest good listing
        self.apps: dict[str, AppState] = {}
        self.were_apps: set[str] = set()  # without a Makefile they are unknown, not no apps
        self.plain: set[str] = set()  # directories like any other, without a Makefile
        self.odd: dict[str, str] = {}  # what else would be apps, and what stands in the way
        self.known = False
        self.pushed: RootSeen | None = None
        self.requested = False
        self.how = ""  # what rang
        self.began = 0.0
        self.took = 0.0  # s of the newest listing and the looks that it led to
        self.bad_since: float | None = None
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
        self.odd.pop(name, None)
        self.plain.discard(name)

    def is_no_app(self, name: str, why: str) -> None:
        """A child is no app: what stands in the way, or "" for a directory like any other."""
        self.is_app(name)
        if why:
            self.odd[name] = why
        else:
            self.plain.add(name)

    def polled(self) -> int:
        """How many of its apps are looked at by their marks; plain directories are no apps."""
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
        self.how = ""  # what rang
        self.began = 0.0  # of the newest look
        self._polls, self._scans = Burst(*_POLLS), Burst(*_SCANS)
        self.markers: tuple[Marker, ...] = ()
        self.whole = Window(0.0, 0.0)  # when marks that stand are not enough any more
        self.scan: Scan | None = None
        self.plain: Plain | None = None
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
        """It is watched no more; who looks at it just now tells nobody."""
        self._dropped = True

    def dropped(self) -> bool:
        """Whether it is watched no more."""
        return self._dropped

    def begin(self, now: float) -> None:
        """A whole look begins."""
        self.began = now
        self._burst.spend(now, self._pace)

    def due_after_event(self, now: float) -> Window:
        """When to look because of an event that comes now."""
        return self._burst.due(now, self._pace)

    @property
    def _burst(self) -> Burst:
        return self._scans if self.owner == SCANNER else self._polls

    @property
    def _pace(self) -> float:
        spec = self.root.spec
        return spec.scan_interval if self.owner == SCANNER else spec.interval

    def take_how(self, otherwise: str) -> str:
        """What made this look happen; what rings from now on makes another one."""
        how, self.how = self.how, ""
        return how or otherwise


class MountGuard:
    """Whether a path lies where it should, asked before and after every look."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._mounts = Mounts("")

    @property
    def table(self) -> Mounts:
        """What was mounted when it was last asked for."""
        return self._mounts

    def mounts(self) -> Mounts:
        """What is mounted now."""
        text = self._disk.mountinfo()
        if text is not self._mounts.text and text != self._mounts.text:
            self._mounts = Mounts(text)
        return self._mounts

    def real(self, path: str) -> str:
        """Resolve the local part of a path."""
        return real(path, self.mounts(), self._link)

    def of_root(self, root: RootState, watch: Watchlist) -> Mount:
        """Give the mount that a root lies on. Raises Away if it is not the right one."""
        mount = self.mounts().holding(root.real)
        self.own(mount, root.path, watch)
        its_own = mount.point == root.real and not root.spec.was_share
        if root.spec.must_mount and not mount.is_share and not its_own:
            raise NotMounted(
                f"{root.path} is not mounted: it lies on {mount.fstype or 'nothing'} "
                f"at {mount.point}"
            )
        return mount

    def own(self, mount: Mount, path: str, watch: Watchlist) -> None:
        """Refuse what another watcher has to look at, now or soon."""
        if watch.share is None or watch.share == (mount.point if mount.is_share else ""):
            return
        if mount.is_share:
            raise NotMounted(
                f"{mount.fstype} is mounted on {mount.point} now; its watcher is being started"
            )
        raise NotMounted(f"{path} is not mounted any more: {watch.share} is away")

    @staticmethod
    def unmoved(before: Mount, after: Mount) -> None:
        """Refuse a look during which something was mounted."""
        if before != after:
            raise NotMounted(f"{after.point} was mounted anew during the look")
        if after.fstype == "autofs":  # the look should have mounted what it stands for
            raise NotMounted(f"{after.point}: nothing is mounted there, only the automounter")

    def inspect(self, root: RootState, app: str, layout: Layout | None) -> Inspection:
        """Look at an app of a root; this goes by the table that the guard before it has read."""
        rule = AllowedPaths(self._mounts, self._mounts.holding(root.real))
        return inspect(self._disk, root.path, app, layout, rule, others=self.others(root))

    def others(self, root: RootState) -> tuple[str, ...]:
        """The directories beside a root that its apps' files may lie in, and their real paths."""
        dirs = root.spec.release_dirs
        return (root.real, *dirs, *map(self.real, dirs))

    def mounted_below(self, root: RootState) -> frozenset[str]:
        """The mount points inside a root, as the root is configured."""
        points = self._mounts.below(root.real)
        if not points:
            return points
        cut = len(root.real.rstrip("/"))
        return frozenset(root.path.rstrip("/") + point[cut:] for point in points)

    def _link(self, path: str) -> str | None:
        try:
            return self._disk.link(path)
        except OSError:  # no link, or nothing that we may see
            return None


class AllowedPaths:
    """A link may lead anywhere but onto another share: that one hangs when it likes."""

    def __init__(self, mounts: Mounts, own: Mount) -> None:
        self._mounts = mounts
        self._own = own

    def __call__(self, path: str) -> str:
        """Say why a path must not be touched; "" if it may."""
        mount = self._mounts.holding(path)
        if not mount.is_share or mount.point == self._own.point:
            return ""
        return f"leads to another share, {mount.point}"
