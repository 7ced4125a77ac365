"""Looks at the apps that are no trees, and at directories that may become apps.

Such an app is looked at by its marks (one or two operations) every `interval`, and as a whole when
they do not stand, when somebody asks, when inotify rings, and now and then. What turns out to be a
tree is handed to the scanning thread.

Marks are looked at for many apps of a root in one pass, with one question before it and one behind
it whether the root still lies where it should: if not, the pass is void, whatever it saw.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from appagent.model.words import Layout
from appagent.share import protocol
from appagent.share.debounce import in_words
from appagent.share.disk import Disk
from appagent.share.layouts import Inspection, NoApp
from appagent.share.markers import NotDeployable, unchanged
from appagent.share.observer import Emit
from appagent.share.scheduler import Jitter, Window
from appagent.share.state import SCANNER, AppState, MountGuard, NotMounted, RootState
from appagent.share.watches import Watches
from appagent.share.watchlist import Watchlist

SAFETY = 60.0  # s between looks at what inotify watches
_WHOLE = 10.0  # s between whole looks at an app whose marks stand
_BUSY = 0.5  # of the time that looks at marks may take at most
_LEFT = 0.1  # of the bound on looks: for plain directories, however many apps there are
_ODD = 10.0  # s after which what keeps a directory from being an app is told


class MarkerPoll:
    """The quick thread's looks at apps; each says when the next one is due."""

    def __init__(
        self,
        disk: Disk,
        watched: Watches,
        to_trees: Callable[[AppState], None],
        tell_name: Callable[[RootState, str, Emit], None],
    ) -> None:
        self.watch = Watchlist()
        self.polled = 0  # apps whose marks are polled
        self.plain = 0  # directories that are no apps, and may become some
        self.interval = 0.0  # between looks at marks, as in force; 0: none are polled
        self.why = ""  # that is more than it should be
        self._disk = disk
        self._guard = MountGuard(disk)
        self._watched = watched
        self._to_trees = to_trees
        self._tell_name = tell_name
        self._jitter = Jitter()
        self._cost = 0.0  # s that a look at marks takes, on average

    def standing(self, root: RootState, apps: Iterable[AppState]) -> dict[AppState, Window]:
        """Look at marks: the apps whose marks stand, and when to look at them again.

        All others need a whole look. Raises Away where their root has to be looked at first.
        """
        found: dict[AppState, Window] = {}
        now = time.monotonic()
        apps = [app for app in apps if self._enough(app, now)]
        if apps:
            mount = self._guard.of_root(root, self.watch)
            for app in apps:
                app.began = now
                stand = self._stand(app)
                ended = time.monotonic()
                self._cost += (ended - now - self._cost) / 16
                if stand:
                    found[app] = self._again(app, now)
                else:
                    app.markers = ()
                now = ended
            self._guard.unmoved(mount, self._guard.of_root(root, self.watch))
        return found

    @staticmethod
    def _enough(app: AppState, now: float) -> bool:
        """Whether a look at the marks is enough, if they stand."""
        return (
            bool(app.markers)
            and not app.how
            and not app.debounce.requested
            and now < app.whole.first
        )

    def _stand(self, app: AppState) -> bool:
        try:
            return unchanged(self._disk, app.markers)
        except Exception:  # noqa: BLE001 - the whole look says what it is
            return False

    def look(self, app: AppState, emit: Emit) -> Window | None:
        """Look at all of an app; when to look again, None if it is not the quick thread's any more.

        Raises Away where its root has to be looked at first.
        """
        began = time.monotonic()
        app.begin(began)
        how = app.take_how("poll")
        try:
            return self._look(app, began, how, emit)
        except NotMounted:
            raise
        except Exception:  # noqa: BLE001 - of ours: it ends this look alone
            return self._failed(app, app.faults.report(app.path, emit), began, how, emit)

    def _look(self, app: AppState, began: float, how: str, emit: Emit) -> Window | None:
        root, spec = app.root, app.root.spec
        mount = self._guard.of_root(root, self.watch)
        try:
            found = self._guard.inspect(root, app.name, app.spec.layout)
            self._guard.unmoved(mount, self._guard.of_root(root, self.watch))
        except (OSError, NotDeployable) as error:
            self._guard.unmoved(mount, self._guard.of_root(root, self.watch))
            return self._failed(app, error, began, how, emit)
        app.failing_since = None
        root.is_app(app.name)
        if app.name not in root.were_apps:
            self._tell_name(root, app.name, emit)
        if not app.debounce.believes(found.layout, began):
            return self._jitter(began, spec.interval)
        if found.layout is Layout.TREE:
            app.owner, app.markers, app.how = SCANNER, (), how
            self._to_trees(app)
            return None
        look = app.debounce.saw(found, found.release, began, how, also=_also(app, found))
        if look is not None:
            emit("app", protocol.seen_body(look))
        app.markers = found.markers
        added = self._watched.app(app, found, emit)
        slow = SAFETY if root.inotify else _WHOLE
        soon = bool(found.incomplete) or added
        app.whole = self._jitter(began, spec.scan_interval if soon else slow)
        return self._again(app, began)

    def _failed(
        self, app: AppState, error: OSError | NotDeployable, began: float, how: str, emit: Emit
    ) -> Window:
        """Take a look that went wrong; when to look again."""
        spec = app.root.spec
        app.markers = ()
        if app.name in app.root.were_apps:
            look = app.debounce.failed(error, began, how)
            if look is not None:
                emit("app", protocol.seen_body(look))
        else:
            app.failing_since = app.failing_since or began
            if began - app.failing_since > _ODD:
                app.root.is_no_app(app.name, "" if isinstance(error, NoApp) else in_words(error))
        if app.name not in app.root.were_apps:
            return self._jitter(began, max(spec.scan_interval, self._plain_interval()))
        return self._jitter(began, spec.interval if app.debounce.doubtful else spec.scan_interval)

    def _plain_interval(self) -> float:
        """How often plain directories may be looked at by what the apps leave of the bound."""
        most = self.watch.looks_per_second
        if most <= 0:
            return 0.0
        taken = self.polled / self.interval if self.interval else 0.0
        return self.plain / max(most - taken, most * _LEFT)

    def _again(self, app: AppState, began: float) -> Window:
        """After the interval in force, or when it is to be seen that it stood."""
        usual, most = app.root.spec.interval, self.watch.looks_per_second
        interval = max(usual, self.polled * self._cost / _BUSY)
        if most > 0:
            interval = max(interval, self.polled / most)
        self.interval = interval if self.polled else 0.0
        self.why = ""
        if self.interval > usual:
            bounded = most > 0 and interval == self.polled / most
            bound = f"{most:g} looks a second" if bounded else "half the time"
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
