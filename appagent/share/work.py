"""What the threads of a watcher share: the watchlist in force, and what each has to do and when."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from appagent.share.scheduler import Schedule, Window
from appagent.share.state import SCANNER, AppState, RootState
from appagent.share.watchlist import Watchlist


class Work:
    """Any thread may put something on either schedule; each thread takes from its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.watchlist = Watchlist()
        self.poll: Schedule[object] = Schedule()
        self.scan: Schedule[AppState] = Schedule(clock)
        self.dropped: deque[AppState] = deque()  # their accounts are for the scanner to close

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
        app.drop()
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
