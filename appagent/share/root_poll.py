"""Polls of roots: which apps there are.

A root is listed every `interval`; only its listing decides which apps there are. A new name is
inspected before the listing is reported, so that a listing names apps and not directories, and what
was seen of new apps is reported after the listing that names them. While a root is unavailable its
apps are not polled; once it is available again all of them are reported anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from operator import attrgetter

from appagent.host.mounts import Mount
from appagent.model.seen import RootSeen
from appagent.share.debounce import in_words, passes
from appagent.share.marker_poll import MarkerPoll
from appagent.share.markers import NotDeployable
from appagent.share.mount_guard import MountGuard, NotMounted
from appagent.share.observer import RETRY, Emit
from appagent.share.protocol import Message
from appagent.share.scheduler import Jitter
from appagent.share.state import AppState, Children, RootState, Work
from appagent.share.watches import Watches

_INTERVAL_INOTIFY = 5.0  # s between listings of a root that inotify watches
_PLAIN = 10  # directories without a Makefile that are named

# All but the time: what is reported when it changes.
_CONTENT = attrgetter(
    "known", "why", "names", "empty", "refused", "plain", "plain_count", "mounted", "fstype"
)


class RootPoll:
    """Lists roots, and makes and drops the states of their apps."""

    def __init__(
        self,
        guard: MountGuard,
        work: Work,
        watches: Watches,
        apps: MarkerPoll,
        drop: Callable[[AppState], None],
    ) -> None:
        self._disk = guard.disk
        self._guard = guard
        self._work = work
        self._watches = watches
        self._apps = apps
        self._drop = drop
        self._jitter = Jitter()

    def poll(self, root: RootState, emit: Emit) -> None:
        """List a root; an internal error makes the root unknown and ends this poll alone."""
        began = root.began = time.monotonic()
        root.burst.spend(began, root.spec.interval)
        try:
            self._list(root, began, emit)
        except Exception:  # noqa: BLE001 - logged, and reported as the reason
            self._failed(root, self._work.internal_error(root.path, emit), None, began, emit)
            self._work.root(root, began + RETRY)

    def _list(self, root: RootState, began: float, emit: Emit) -> None:
        how, root.how = root.how, ""
        interval = root.spec.interval
        root.real = self._guard.real(root.path)
        mount = None
        try:
            mount = self._guard.of_root(root)
            entries = self._disk.names(root.path)
            inode = 0 if mount.is_share else self._disk.status(root.real).st_ino
            self._guard.unmoved(mount, self._guard.of_root(root))
        except (OSError, NotMounted, NotDeployable) as error:
            self._failed(root, error, mount, began, emit)
            self._work.root(root, self._jitter(began, max(interval, 0.5)))
            return
        root.failing_since = None
        recovered = root.reported is not None and not root.reported.known
        root.known, root.on_share = True, mount.is_share
        watches_added = self._watches.root(root, mount, inode, emit)
        found = root.listed(entries)
        messages, trees = self._inspect_new(root, found, how)
        seen = RootSeen(
            root=root.path,
            known=True,
            names=root.names(found),
            empty=not entries,
            refused={**root.unusable, **found.refused},
            plain=tuple(sorted(root.plain)[:_PLAIN]),
            plain_count=len(root.plain),
            mounted=mount.is_share,
            fstype=mount.fstype,
            at=began,
        )
        root.took = time.monotonic() - began
        self._report(root, seen, emit)
        for message in messages:
            emit(message)
        for app in trees:
            self._work.app(app)
        for app in root.apps.values() if recovered else ():
            self._apps.request(app)
        every = _INTERVAL_INOTIFY if root.inotify and not watches_added else interval
        self._work.root(root, self._jitter(began, every))

    def _inspect_new(
        self, root: RootState, found: Children, how: str
    ) -> tuple[list[Message], list[AppState]]:
        """Have a state for each child that this node runs; what was seen of new ones, and trees.

        A directory that was not an app so far is inspected again for a requested poll: it may have
        become one.
        """
        for name in root.apps.keys() - found.mine:
            self._drop(root.apps[name])
            root.is_app(name)
        known = root.apps.keys() & found.mine
        new = sorted(found.mine - known)
        for name in new:
            root.apps[name] = AppState(
                root,
                name,
                root.spec.spec(name),
                confirm=self._work.limits.confirm,
                scheme=self._work.scheme,
            )
            root.apps[name].how = how
        if root.requested:
            new += sorted(found.mine & known - root.were_apps)
        messages: list[Message] = []
        apps = [root.apps[name] for name in new]
        trees = [app for app in apps if self._apps.inspect(app, messages.append, listed=False)]
        return messages, trees

    def _failed(
        self,
        root: RootState,
        error: OSError | NotMounted | NotDeployable,
        mount: Mount | None,
        began: float,
        emit: Emit,
    ) -> None:
        """Report a root that cannot be listed as unknown: at once, or after 2 s if it may pass."""
        if root.known and isinstance(error, OSError) and passes(error):
            root.failing_since = root.failing_since or began
            if began - root.failing_since <= self._work.limits.confirm:
                return
        root.known = False
        why = str(error) if isinstance(error, NotMounted) else in_words(error)
        self._watches.lost(root, why, emit)
        seen = RootSeen(
            root=root.path,
            known=False,
            why=why,
            mounted=mount is not None and mount.is_share,
            fstype=mount.fstype if mount else "",
            at=began,
        )
        self._report(root, seen, emit)

    def _report(self, root: RootState, seen: RootSeen, emit: Emit) -> None:
        reported = root.reported
        if root.requested or reported is None or _CONTENT(reported) != _CONTENT(seen):
            root.requested = False
            root.reported = seen
            emit(seen)
