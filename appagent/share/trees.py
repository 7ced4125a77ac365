"""The scanning thread: whole scans of the apps that are trees.

Scans are paid from an account that gets a tenth of the time (agenda.py). What does not wait for
it is the first look at an app, and a look that somebody triggered. Looks for those who only wait
come first as soon as the account has something.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable

from appagent.model import AppLook, Layout
from appagent.share import layouts, manifest, wire
from appagent.share.agenda import Account, Agenda, Jitter, Span
from appagent.share.disk import Disk
from appagent.share.layouts import Found
from appagent.share.marked import SAFETY
from appagent.share.marks import Unclear
from appagent.share.polling import Emit
from appagent.share.scan import SCHEME, SCHEMES, Scan, Scanner
from appagent.share.scene import QUICK, TREES, AppState, Away, Ground, Plain, RootState
from appagent.share.sight import in_words
from appagent.share.watched import Watched
from appagent.share.watchlist import Watchlist

_SOON = 0.5  # s until a look that was not believed is done again


class Trees:
    """Scans trees. `hand_over` takes an app that is none, `ring_root` a root in doubt."""

    def __init__(self, disk: Disk, watched: Watched) -> None:
        self.agenda: Agenda[AppState] = Agenda()
        self.watch = Watchlist()
        self.disk = disk
        self.hand_over: Callable[[AppState], None] = lambda _: None
        self.ring_root: Callable[[RootState], None] = lambda _: None
        self._ground = Ground(disk)
        self._watched = watched
        self._account = Account(time.monotonic())
        self._jitter = Jitter()
        self._said = ""  # what went wrong with the last manifest

    def put(self, app: AppState, due: float | Span) -> None:
        """Look at an app of ours then."""
        self.agenda.sooner(app, due)

    def turn(self, timeout: float, emit: Emit) -> None:
        """Scan one tree, or wait."""
        self.disk.pulse.rest()
        free_at = self._account.free_at(time.monotonic())
        app = self.agenda.take(timeout, free_at, _is_urgent)
        if app is None or app.dropped():
            return
        if app.owner != TREES:
            self.hand_over(app)
            return
        urgent = _is_urgent(app)
        began, worked = time.monotonic(), time.thread_time()
        hung = self.disk.pulse.hung
        app.begin(began)
        how = app.take_how("scan")
        due: Span | None
        try:
            due = self._look(app, began, how, emit)
        except Exception:  # noqa: BLE001 - of ours: it ends this look alone
            due = self._failed(app, app.told.fault(app.path, emit), began, how, emit)
        finally:
            self.disk.pulse.rest()
            if not urgent:
                now = time.monotonic()
                # A share pays with its time, but for that in which it hung: after a minute away it
                # would not be scanned for ten. A local disk has enough of it; what a scan takes
                # there is the processor.
                shared = now - began - (self.disk.pulse.hung - hung)
                self._account.pay(now, shared if app.root.on_share else time.thread_time() - worked)
        if due is not None and not app.dropped():
            self.agenda.sooner(app, due)

    def _look(self, app: AppState, began: float, how: str, emit: Emit) -> Span | None:
        """Look at one app; when to look again, None if it is not ours any more."""
        root = app.root
        again = self._jitter(began, root.spec.scan_interval)
        soon = again.sooner(began + _SOON)
        if not root.known:  # its apps are looked at afresh once it is back
            return None
        try:
            before = self._ground.of_root(root, self.watch)
            found, scan = self._as_before(app, began) or (self._found(app), None)
            if not app.sight.believes(found.layout, began):
                return soon
            if found.layout is not Layout.TREE:
                app.owner = QUICK
                self.hand_over(app)
                return None
            if scan is None:
                scan = self._scan(app, found, began)
            also = self._also(app, found.base, began, scan)
            # What is being removed looks smaller. What looks as before needs no listing for that:
            # the root is listed by itself.
            same = app.scan is not None and app.scan.release == scan.release
            listed = same or app.name in self.disk.names(root.path)
            self._ground.unmoved(before, self._ground.of_root(root, self.watch))
        except Away:
            self.ring_root(root)
            return again
        except (OSError, Unclear) as error:
            return self._failed(app, error, began, how, emit)
        if not listed:
            self.ring_root(root)
            return again
        changing = () if same or app.scan is None else scan.changed_since(app.scan)
        look = app.sight.saw(found, scan.release, began, how, also=also, changing=changing)
        self._push(look, app, emit)
        app.scan = scan
        self._keep(app, emit)
        added = self._watched.tree(app, found, scan, emit)
        every = again if added or scan.torn or not root.inotify else self._jitter(began, SAFETY)
        confirm = app.sight.confirm_at
        return every if confirm is None else every.sooner(confirm)

    def _failed(
        self, app: AppState, error: OSError | Unclear, began: float, how: str, emit: Emit
    ) -> Span:
        """Take a look that went wrong; when to look again."""
        self._push(app.sight.failed(error, began, how), app, emit)
        again = self._jitter(began, app.root.spec.scan_interval)
        return again.sooner(began + _SOON) if app.sight.doubtful else again

    def _found(self, app: AppState) -> Found:
        """See how it lies, as if it were seen for the first time."""
        app.plain = None
        allowed = self._ground.allowed(app.root)
        return layouts.look(self.disk, app.root.path, app.name, app.spec.layout, allowed)

    def _scan(self, app: AppState, found: Found, began: float) -> Scan:
        others = self._ground.mounted_below(app.root)
        scan = app.scanner.scan(self.disk, found.base, began, others, app.scan)
        app.plain = Plain.of(found, scan, self._ground.table, app.root.real)
        return scan

    def _as_before(self, app: AppState, began: float) -> tuple[Found, Scan] | None:
        """Scan a tree that still lies as it did; that spares a listing, the dearest operation."""
        plain = app.plain
        if (
            plain is None
            or app.sight.asked
            or (plain.table, plain.real) != (self._ground.table, app.root.real)
        ):
            return None
        status = self.disk.status(plain.found.base)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != plain.found.owner:
            return None
        scan = self._scan(app, plain.found, began)
        return (plain.found, scan) if scan.telling == plain.telling else None

    def _also(self, app: AppState, base: str, began: float, scan: Scan) -> str:
        """The id under the scheme and ignore lines that the applied one has."""
        also = app.spec.also
        if also is None:
            return ""
        if (also.scheme, also.ignore) == (SCHEME, app.spec.ignore):
            return scan.release
        if also.scheme in SCHEMES:
            older = Scanner(also.ignore, also.scheme)
            others = self._ground.mounted_below(app.root)
            return older.scan(self.disk, base, began, others, None).release
        layout = next((one for one in Layout if also.scheme == f"{one}.1"), None)
        if layout is None:
            return ""
        try:
            root = app.root
            allowed = self._ground.allowed(root)
            return layouts.look(self.disk, root.path, app.name, layout, allowed).release
        except Unclear:  # it does not lie like that any more
            return ""

    def _push(self, look: AppLook | None, app: AppState, emit: Emit) -> None:
        if look is not None and not app.dropped():
            emit("app", wire.look_body(look))

    def _keep(self, app: AppState, emit: Emit) -> None:
        """Keep the manifest of a tree that stood."""
        last, scan = app.sight.last, app.scan
        if last is None or scan is None or not self.watch.manifests or scan.torn:
            return
        if app.kept == scan.release or last.looked - last.since < app.sight.settle:
            return
        try:
            manifest.write(self.watch.manifests, app.name, scan)
        except OSError as error:
            said = f"{app.name}: what the release is made of cannot be kept: {in_words(error)}"
            if said != self._said:
                emit("log", {"level": "warning", "text": said})
            self._said = said
            return
        app.kept, self._said = scan.release, ""


def _is_urgent(app: AppState) -> bool:
    """Whether a scan does not wait for the account, nor is paid from it."""
    return app.scan is None or app.sight.urgent
