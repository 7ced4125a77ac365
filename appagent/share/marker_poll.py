"""Polls of the apps that are not trees, and of directories that may become apps.

Such an app is polled by its markers (one or two operations) every `interval`, and inspected as a
whole when they changed, when a poll is requested, when inotify reports something, and now and then.
What turns out to be a tree is handed to the scanner.

Markers are polled for many apps of a root in one pass, and the mount is verified once before it and
once after it: if it changed, the pass is void, whatever it saw.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from appagent.model.words import Layout
from appagent.share.debounce import in_words
from appagent.share.layouts import Inspection, NoApp
from appagent.share.markers import NotDeployable, unchanged
from appagent.share.mount_guard import MountGuard, NotMounted
from appagent.share.observer import RETRY, Emit
from appagent.share.scheduler import Jitter, Window
from appagent.share.state import POLLER, SCANNER, AppState, RootState, Work
from appagent.share.watches import Watches

SAFETY = 60.0  # s between polls of what inotify watches
_MOST = 32  # apps whose markers are polled in one pass
_BUSY = 0.5  # of the time that polls of markers may take at most
_REMAINDER = 0.1  # of the bound on polls: for plain directories, however many apps there are


class MarkerPoll:
    """The poller's part for apps."""

    def __init__(self, guard: MountGuard, work: Work, watches: Watches) -> None:
        self.polled = 0  # apps whose markers are polled
        self.plain = 0  # directories that are not apps, and may become some
        self.interval = 0.0  # between polls of markers, as in force; 0: none are polled
        self.why = ""  # that is more than it should be
        self._disk = guard.disk
        self._guard = guard
        self._work = work
        self._watches = watches
        self._jitter = Jitter()
        self._cost = 0.0  # s that a poll of one app's markers takes, on average

    def request(self, app: AppState, *, urgent: bool = True) -> None:
        """Have an app polled now and reported in any case; an urgent scan waits for no budget."""
        app.debounce.urgent |= urgent
        app.debounce.requested = time.monotonic()
        app.how = app.how or "requested"
        self._work.app(app)

    def poll_due(self, first: AppState, emit: Emit) -> None:
        """Poll an app and others of its root that are due, by their markers if that will do."""
        root, schedule = first.root, self._work.poll
        more = schedule.more(lambda item: isinstance(item, AppState) and item.root is root, _MOST)
        apps = [app for app in (first, *more) if isinstance(app, AppState) and not app.dropped]
        if not root.known:  # its apps are polled anew once it is available again
            return
        try:
            mine = [app for app in apps if app.owner == POLLER]
            unchanged_apps = self._unchanged(root, mine)
            for app in apps:
                due = unchanged_apps.get(app)
                if due is not None:
                    schedule.sooner(app, due)
                elif self.inspect(app, emit):
                    self._work.app(app)
        except NotMounted:
            self._work.root(root)
            for app in apps:
                self._work.app(app, app.began + root.spec.interval)
        except BaseException:  # an internal error; the caller repeats the first poll only
            for app in apps:
                schedule.sooner(app, time.monotonic() + RETRY)
            raise

    def inspect(self, app: AppState, emit: Emit, *, listed: bool = True) -> bool:
        """Inspect the whole of an app; whether it is a tree, for the caller to hand over.

        `listed` is False while the listing that will name it has yet to be reported.
        """
        root = app.root
        if app.dropped or not root.known:
            return False
        if app.owner != POLLER:
            return True
        began = time.monotonic()
        app.begin(began, "poll")
        due: float | Window | None
        try:
            due = self._inspect(app, emit, listed=listed)
        except NotMounted:
            self._work.root(root)
            due = began + root.spec.interval
        except Exception:  # noqa: BLE001 - logged; it makes this app unknown, and nothing else
            due = self._failed(app, self._work.internal_error(app.path, emit), emit)
        if due is None:
            return True
        self._work.poll.sooner(app, due)
        return False

    def _unchanged(self, root: RootState, apps: Iterable[AppState]) -> dict[AppState, Window]:
        """Poll markers: the apps whose markers did not change, and when to poll them again.

        All others need an inspection. Raises NotMounted where their root has to be polled first.
        """
        found: dict[AppState, Window] = {}
        now = time.monotonic()
        apps = [
            app
            for app in apps
            if app.markers and not (app.how or app.debounce.requested) and now < app.whole.first
        ]
        if apps:
            mount = self._guard.of_root(root)
            for app in apps:
                app.began = now
                same = self._are_unchanged(app)
                ended = time.monotonic()
                self._cost += (ended - now - self._cost) / 16
                if same:
                    found[app] = self._next_poll(app, now)
                else:
                    app.markers = ()
                now = ended
            self._guard.unmoved(mount, self._guard.of_root(root))
        return found

    def _are_unchanged(self, app: AppState) -> bool:
        try:
            return unchanged(self._disk, app.markers)
        except Exception:  # noqa: BLE001 - the inspection that follows reports it
            return False

    def _inspect(self, app: AppState, emit: Emit, *, listed: bool) -> Window | None:
        """Inspect an app: when to poll it again, None if it is a tree."""
        root, spec, began = app.root, app.root.spec, app.began
        mount = self._guard.of_root(root)
        try:
            found = self._guard.inspect(root, app.name, app.spec.layout)
            self._guard.unmoved(mount, self._guard.of_root(root))
        except (OSError, NotDeployable) as error:
            self._guard.unmoved(mount, self._guard.of_root(root))
            return self._failed(app, error, emit)
        app.failing_since = None
        root.is_app(app.name)
        if app.name not in root.were_apps:
            root.were_apps.add(app.name)
            if listed and root.reported is not None:  # that listing did not name it
                names = tuple(sorted({*root.reported.names, app.name}))
                root.reported = replace(root.reported, names=names)
                emit(root.reported)
        if not app.debounce.believes(found.layout, began):
            return self._jitter(began, spec.interval)
        if found.layout is Layout.TREE:
            app.owner, app.markers, app.how = SCANNER, (), app.cause
            return None
        seen = app.debounce.saw(found, found.release, began, app.cause, also=_also(app, found))
        if seen is not None:
            emit(seen)
        app.markers = found.markers
        watches_added = self._watches.app(app, found.dirs, emit)
        slow = SAFETY if root.inotify else self._work.limits.whole
        soon = bool(found.incomplete) or watches_added
        app.whole = self._jitter(began, spec.scan_interval if soon else slow)
        return self._next_poll(app, began)

    def _failed(self, app: AppState, error: OSError | NotDeployable, emit: Emit) -> Window:
        """Take an inspection that failed: when to repeat it."""
        root, spec, began = app.root, app.root.spec, app.began
        app.markers = ()
        if app.name not in root.were_apps:
            app.failing_since = app.failing_since or began
            if began - app.failing_since > self._work.limits.unusable:
                root.is_no_app(app.name, "" if isinstance(error, NoApp) else in_words(error))
            return self._jitter(began, max(spec.scan_interval, self._plain_interval()))
        seen = app.debounce.failed(error, began, app.cause)
        if seen is not None:
            emit(seen)
        return self._jitter(began, spec.interval if app.debounce.doubtful else spec.scan_interval)

    def _plain_interval(self) -> float:
        """How often plain directories may be polled by what the apps leave of the bound (s)."""
        most = self._work.watchlist.polls_per_second
        if most <= 0:
            return 0.0
        taken = self.polled / self.interval if self.interval else 0.0
        return self.plain / max(most - taken, most * _REMAINDER)

    def _next_poll(self, app: AppState, began: float) -> Window:
        """After the interval in force, or when it is due to be confirmed."""
        usual, most = app.root.spec.interval, self._work.watchlist.polls_per_second
        interval = max(usual, self.polled * self._cost / _BUSY)
        if most > 0:
            interval = max(interval, self.polled / most)
        self.interval = interval if self.polled else 0.0
        self.why = ""
        if self.interval > usual:
            bounded = most > 0 and interval == self.polled / most
            bound = f"{most:g} polls per second" if bounded else "half the time"
            self.why = f"{self.polled} apps are polled, with at most {bound}"
        due = app.whole if app.root.inotify else self._jitter(began, interval)
        confirm = app.debounce.confirm_at
        if confirm is None:
            return due
        app.whole = app.whole.sooner(confirm)
        return due.sooner(confirm)


def _also(app: AppState, found: Inspection) -> str:
    also = app.spec.also
    return found.release if also and also.scheme == f"{found.layout}.1" else ""
