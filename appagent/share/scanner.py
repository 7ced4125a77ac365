"""The scanner thread: whole scans of the apps that are trees.

A tree pays for its scans from a budget of its own (budget.py). What does not wait for that, and
comes before all others, is the first scan of an app and one that was triggered; the one that
confirms a change, just `settle` after it was seen, and one that somebody waits for, as long as not
too much is owed. All of them are paid. A long scan lets short ones in between two directories, so
a large tree holds up nobody.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from typing import NamedTuple

from appagent.model.seen import AppSeen
from appagent.model.words import Layout
from appagent.share import manifest
from appagent.share.budget import SHARE, Budget, price
from appagent.share.debounce import in_words
from appagent.share.disk import Disk
from appagent.share.layouts import Inspection
from appagent.share.marker_poll import SAFETY
from appagent.share.markers import NotDeployable
from appagent.share.mount_guard import MountGuard, NotMounted
from appagent.share.observer import Emit
from appagent.share.protocol import LogLine
from appagent.share.scheduler import Jitter, Window
from appagent.share.signature import SCHEME, Scan, SignatureScanner
from appagent.share.state import POLLER, SCANNER, AppState, PlainTree, Work
from appagent.share.watches import Watches

_SOON = 0.5  # s until a scan that was not believed is repeated
_SHORT = 1.0  # s that a scan may take, as the last one did, to be let in between
_LONG = 0.25  # s for which a scan lets nobody in
_OWED = 8  # scans that a tree may owe and still have a change confirmed in time
_SLOWER = 1.5  # times its interval: from then on a tree counts as scanned too seldom


class _Cost(NamedTuple):
    """What scanning took, in seconds: of the share's time, and of the processor's."""

    shared: float
    processor: float

    def since(self, other: _Cost) -> _Cost:
        return _Cost(self.shared - other.shared, self.processor - other.processor)

    def added_to(self, other: _Cost) -> _Cost:
        return _Cost(self.shared + other.shared, self.processor + other.processor)


class Scanner:
    """Scans trees."""

    def __init__(
        self,
        disk: Disk,
        work: Work,
        watches: Watches,
        share: float = SHARE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self.disk = disk
        self._work = work
        self._guard = MountGuard(disk, work)
        self._watches = watches
        self._budget = Budget(clock(), share)
        self._scanned: list[AppState] = []  # now: a long one, and one that was let in between
        self._let_in_at = 0.0  # when others were last let in
        self._inner = _Cost(0.0, 0.0)  # of all that was let in
        self._emit: Emit = lambda _message: None
        self.slow: tuple[AppState, ...] = ()  # scanned too seldom; any thread may read it
        self._jitter = Jitter()
        self._manifest_error = ""  # what went wrong with the last manifest

    def turn(self, timeout: float, emit: Emit) -> None:
        """Scan one tree, or wait."""
        self.disk.pulse.rest()
        while self._work.dropped:
            self._drop_budget(self._work.dropped.popleft())
        self._emit = emit
        app = self._work.scan.take(timeout, self._rank)
        if app is not None:
            self._let_in_at = self._clock()
            self._turn_of(app)

    def _let_others_in(self) -> None:
        """Between two directories of a long scan: scan others that are due and take less."""
        if len(self._scanned) > 1 or self._clock() - self._let_in_at < _LONG:
            return
        self._let_in_at = self._clock()  # each of them once
        while (app := self._work.scan.take(0.0, self._rank)) is not None:
            self._turn_of(app)
        self._let_in_at = self._clock()

    def _rank(self, app: AppState) -> int | None:
        """In which order trees are scanned that are due: 0 waits for nothing, None not now."""
        if self._scanned and (
            app in self._scanned or app.began >= self._let_in_at or app.scan_takes > _SHORT
        ):
            return None
        if not app.tried or app.debounce.urgent:
            return 0
        # What keeps changing, or is waited for again and again, is in time only now and then.
        awaited = app.debounce.requested or (
            app.confirm is not None and self._clock() >= app.confirm
        )
        return 0 if awaited and not self._budget.owes(app, _OWED * app.scan_price) else 1

    def _turn_of(self, app: AppState) -> None:
        """Scan an app, if it can be paid."""
        if app.dropped:
            return
        if app.owner != SCANNER:
            self._drop_budget(app)
            self._work.app(app)
            return
        now = self._clock()
        free_at = self._budget.free_at(app, now)
        if free_at > now and self._rank(app) != 0:
            self._slower(app, free_at - app.began)
            app.put_off = True
            confirm = app.confirm if app.confirm is not None and app.confirm > now else free_at
            self._work.scan.sooner(app, Window(free_at, free_at).sooner(Window(confirm, confirm)))
            return
        if not app.put_off:
            self._slower(app, 0.0)
        app.put_off = False
        due = self._paid_scan(app, now)
        if due is not None and not app.dropped:
            self._work.scan.sooner(app, due)

    def _paid_scan(self, app: AppState, began: float) -> Window | None:
        before, inner = self._cost(), self._inner
        app.begin(began, "scan")
        app.tried = True
        self._scanned.append(app)
        try:
            return self._scan_app(app, began)
        except Exception:  # noqa: BLE001 - logged; it makes this app unknown, and nothing else
            return self._failed(app, self._work.internal_error(app.path, self._emit))
        finally:
            self._scanned.pop()
            self.disk.pulse.rest()
            whole = self._cost().since(before)
            own = whole.since(self._inner.since(inner))
            self._inner = whole.added_to(inner)
            # A local disk has time enough; what a scan takes there is the processor.
            shared = own.shared if app.root.on_share else 0.0
            app.scan_takes = max(0.0, shared or own.processor)
            directories = len(app.scan.blocks) if app.scan and app.root.on_share else 0
            app.scan_price = price(own.processor, shared, directories)
            if app.owner == SCANNER and not app.dropped:
                self._budget.pay(app, self._clock(), app.scan_price)

    def _cost(self) -> _Cost:
        """What scanning took so far, from some moment on."""
        # Without the time in which a share hung: after a minute away it would not be scanned for
        # ten.
        return _Cost(self._clock() - self.disk.pulse.hung, time.thread_time())

    def _slower(self, app: AppState, every: float) -> None:
        """Note how seldom an app is scanned, for the beat."""
        app.scan_every = every if every > app.root.spec.scan_interval * _SLOWER else 0.0
        if bool(app.scan_every) != (app in self.slow):
            others = [one for one in self.slow if one is not app]
            self.slow = (*others, app) if app.scan_every else tuple(others)

    def _drop_budget(self, app: AppState) -> None:
        """Forget what an app owes that is not scanned any more."""
        self._budget.drop(app)
        self._slower(app, 0.0)
        app.tried, app.confirm = False, None

    def _scan_app(self, app: AppState, began: float) -> Window | None:
        """Scan one app: when to scan it again, None if it is not a tree any more."""
        root = app.root
        next_scan = self._jitter(began, root.spec.scan_interval)
        soon = next_scan.sooner(began + _SOON)
        if not root.known:  # its apps are scanned anew once it is available again
            return None
        try:
            before = self._guard.of_root(root)
            found, scan = self._as_before(app, began) or (self._found(app), None)
            if not app.debounce.believes(found.layout, began):
                return soon
            if found.layout is not Layout.TREE:
                self._drop_budget(app)
                app.owner = POLLER
                self._work.app(app)
                return None
            if scan is None:
                scan = self._scan(app, found, began)
            also = self._also(app, found.base, began, scan)
            # What is being removed seems smaller. A tree that is as before needs no listing for
            # that: the root is listed by itself.
            same = app.scan is not None and app.scan.release == scan.release
            listed = same or app.name in self.disk.names(root.path)
            self._guard.unmoved(before, self._guard.of_root(root))
        except NotMounted:
            self._work.root(root)
            return next_scan
        except (OSError, NotDeployable) as error:
            return self._failed(app, error)
        if not listed:
            self._work.root(root)
            return next_scan
        changing = () if same or app.scan is None else scan.changed_since(app.scan)
        seen = app.debounce.saw(found, scan.release, began, app.cause, also=also, changing=changing)
        self._report(seen, app)
        app.scan = scan
        self._keep(app)
        added = self._watches.tree(app, found, scan, self._emit)
        every = next_scan if added or scan.torn or not root.inotify else self._jitter(began, SAFETY)
        confirm = app.confirm = app.debounce.confirm_at
        if confirm is None or every.last < confirm:
            return every
        return Window(confirm, confirm)  # a moment earlier it would be too early, and no use

    def _failed(self, app: AppState, error: OSError | NotDeployable) -> Window:
        """Take a scan that failed: when to scan again."""
        app.confirm = None
        began = app.began
        self._report(app.debounce.failed(error, began, app.cause), app)
        next_scan = self._jitter(began, app.root.spec.scan_interval)
        return next_scan.sooner(began + _SOON) if app.debounce.doubtful else next_scan

    def _found(self, app: AppState) -> Inspection:
        """Inspect it, as if it were seen for the first time."""
        app.plain_tree = None
        return self._guard.inspect(app.root, app.name, app.spec.layout)

    def _scan(self, app: AppState, found: Inspection, began: float) -> Scan:
        others, table = self._guard.mounted_below(app.root), self._guard.table
        scan = app.scanner.scan(
            self.disk, found.base, began, others, app.scan, between=self._let_others_in
        )
        app.plain_tree = PlainTree.of(found, scan, table, app.root.real)
        return scan

    def _as_before(self, app: AppState, began: float) -> tuple[Inspection, Scan] | None:
        """Scan a tree that still lies as it did; that spares a listing, the dearest operation."""
        plain = app.plain_tree
        if (
            plain is None
            or app.debounce.requested
            or (plain.table, plain.real) != (self._guard.table, app.root.real)
        ):
            return None
        status = self.disk.status(plain.found.base)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != plain.found.owner:
            return None
        scan = self._scan(app, plain.found, began)
        return (plain.found, scan) if scan.key_names == plain.key_names else None

    def _also(self, app: AppState, base: str, began: float, scan: Scan) -> str:
        """The id under the scheme and ignore lines that the applied one has."""
        also = app.spec.also
        if also is None:
            return ""
        if (also.scheme, also.ignore) == (self._work.scheme, app.spec.ignore):
            return scan.release
        if also.scheme in (SCHEME, self._work.scheme):  # an upgrade asks for the older one too
            older = SignatureScanner(also.ignore, also.scheme)
            others = self._guard.mounted_below(app.root)
            return older.scan(self.disk, base, began, others, None).release
        layout = next((one for one in Layout if also.scheme == f"{one}.1"), None)
        if layout is None:
            return ""
        try:
            return self._guard.inspect(app.root, app.name, layout).release
        except NotDeployable:  # it does not lie like that any more
            return ""

    def _report(self, seen: AppSeen | None, app: AppState) -> None:
        if seen is not None and not app.dropped:
            self._emit(seen)

    def _keep(self, app: AppState) -> None:
        """Keep the manifest of a tree that settled."""
        last, scan = app.debounce.last, app.scan
        if last is None or scan is None or not self._work.watchlist.manifests or scan.torn:
            return
        if app.kept == scan.release or last.at - last.since < app.debounce.settle:
            return
        try:
            manifest.write(self._work.watchlist.manifests, app.name, scan)
        except OSError as error:
            text = f"{app.name}: what the release is made of cannot be kept: {in_words(error)}"
            if text != self._manifest_error:
                self._emit(LogLine("warning", text))
            self._manifest_error = text
            return
        app.kept, self._manifest_error = scan.release, ""
