"""The quick thread: roots, the marks of symlink and git apps, env files, what is mounted.

Theory of operation. A root is listed every `interval`; the listing alone says which apps there
are. A new name is looked at before the listing is told, so that a listing names apps and not
directories. While a root is away its apps are not looked at; once it is back all of them are told
afresh. How an app is looked at stands in marked.py and, for trees, in trees.py.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from appagent.host.mounts import Mount
from appagent.model.seen import RootSeen
from appagent.share import protocol
from appagent.share.children import Children, children
from appagent.share.debounce import CONFIRM, in_words, passes
from appagent.share.disk import Disk
from appagent.share.env_file import EnvDir, EnvState
from appagent.share.env_files import Envs
from appagent.share.marker_poll import MarkerPoll
from appagent.share.markers import NotDeployable
from appagent.share.observer import FAULT, Emit
from appagent.share.scanner import Scanner
from appagent.share.scheduler import Jitter, Schedule, Window
from appagent.share.state import POLLER, SCANNER, AppState, MountGuard, NotMounted, RootState
from appagent.share.watches import Watches
from appagent.share.watchlist import RootSpec, Watchlist

_MOST = 32  # apps whose marks are looked at in one pass
_ROOT_LOCAL = 5.0  # s between listings of a root that inotify watches
_PLAIN = 10  # directories without a Makefile that are named
_PAUSE = 5  # a root is listed for those who wait no more often than a fifth of the time allows
_MOUNTS = 1.0  # s between questions whether something was mounted, and counts of what is polled


class MountsState:
    """What is mounted: looked at so that a mount rings everything."""

    text = ""


Item = RootState | AppState | EnvState | EnvDir | MountsState


class Poller:
    """Looks at everything but trees."""

    def __init__(self, disk: Disk, trees: Scanner, watched: Watches) -> None:
        self.schedule: Schedule[Item] = Schedule()
        self.disk = disk
        self._watch = Watchlist()
        self._roots: dict[str, RootState] = {}
        self._mounts = MountsState()
        self._guard = MountGuard(disk)
        self._envs = Envs(disk, self._guard, self.schedule.sooner, self.schedule.drop)
        self._trees = trees
        self._watched = watched
        self._inbox: deque[Callable[[Emit], None]] = deque()
        self._jitter = Jitter()
        self._held: list[tuple[str, protocol.Body]] | None = None
        self._trees_held: list[AppState] = []
        self._marked = MarkerPoll(disk, watched, self._to_trees, self._name)
        trees.hand_over = lambda app: self.schedule.sooner(app, 0.0)
        trees.ring_root = lambda root: self.schedule.sooner(root, 0.0)
        watched.ring_root = self._ring_root
        watched.ring_app = self._ring_app

    @property
    def interval(self) -> float:
        """Between looks at marks, as in force."""
        return self._marked.interval

    @property
    def why(self) -> str:
        """Why that is more than it should be; "" if it is not."""
        return self._marked.why

    def post(self, task: Callable[[Emit], None]) -> None:
        """Have something done by the quick thread, before its next look."""
        self._inbox.append(task)
        self.schedule.wake()

    def turn(self, timeout: float, emit: Emit) -> None:
        """Look at one thing, or wait."""
        self.disk.pulse.rest()
        while self._inbox:
            self._inbox.popleft()(emit)
            self.disk.pulse.rest()
        item = self.schedule.take(timeout)
        if item is None:
            return
        try:
            self._look_at(item, emit)
        except BaseException:  # of ours: it is said, and the look is done again
            self.schedule.sooner(item, time.monotonic() + FAULT)
            self._release(emit)
            raise
        finally:
            self.disk.pulse.rest()

    def _look_at(self, item: Item, emit: Emit) -> None:
        if isinstance(item, RootState):
            self._root(item, emit)
        elif isinstance(item, AppState):
            self._apps(item, emit)
        elif isinstance(item, EnvState):
            self._envs.look(item, emit)
        elif isinstance(item, EnvDir):
            self._envs.look_through(item)
        else:
            self._look_at_mounts(item)

    # --- what is asked -------------------------------------------------------------------------

    def look(self, path: str, name: str) -> None:
        """Look now: at one app, or at a root and all that is in it."""
        root = self._roots.get(path)
        if root is None:
            return
        if not name:
            self._ask_root(root)
            self._envs.ask()
        elif (app := root.apps.get(name)) is not None:
            self._ask(app)
        else:
            root.requested = True
            self.schedule.sooner(root, 0.0)

    def recheck(self, roots: list[str], apps: list[list[str]], env: list[str]) -> None:
        """Look anew at just these, for somebody who waits; what is seen is told in any case."""
        for path in roots:
            root = self._roots.get(path)
            if root is not None:
                root.requested = True
                self.schedule.sooner(root, root.began + root.took * _PAUSE)
        for path, name in apps:
            root = self._roots.get(path)
            app = root.apps.get(name) if root is not None else None
            if app is not None:
                self._ask(app, urgent=False)
        self._envs.ask(env)

    def _ask_root(self, root: RootState) -> None:
        root.requested = True
        self.schedule.sooner(root, 0.0)
        for app in root.apps.values():
            self._ask(app)

    def _ask(self, app: AppState, *, urgent: bool = True) -> None:
        app.debounce.urgent |= urgent
        app.debounce.requested = time.monotonic()
        app.how = app.how or "asked"
        self._due(app, 0.0)

    def _due(self, app: AppState, due: float | Window) -> None:
        if app.owner == SCANNER:
            self._trees.put(app, due)
        else:
            self.schedule.sooner(app, due)

    def _ring_root(self, root: RootState) -> None:
        root.how = "inotify"
        self.schedule.sooner(root, root.burst.due(time.monotonic(), root.spec.interval))

    def _ring_app(self, app: AppState) -> None:
        app.how = app.how or "inotify"
        self._due(app, app.due_after_event(time.monotonic()))

    # --- what is to be watched -----------------------------------------------------------------

    def set_watch(self, watch: Watchlist) -> None:
        """Watch this from now on; what is watched already goes on as it is."""
        self._watch = self._trees.watch = self._marked.watch = watch
        specs = {spec.path: spec for spec in watch.roots}
        for path in [path for path in self._roots if path not in specs]:
            self._drop_root(self._roots.pop(path))
        for path, spec in specs.items():
            root = self._roots.get(path)
            if root is None:
                self._roots[path] = root = RootState(spec)
            elif root.spec != spec:
                self._change_root(root, spec)
            root.were_apps.update(spec.known)
            self.schedule.sooner(root, 0.0)
        self._envs.set_watch(watch, list(self._roots.values()))
        self.schedule.sooner(self._mounts, time.monotonic())

    def _change_root(self, root: RootState, spec: RootSpec) -> None:
        if root.spec.watch != spec.watch:
            self._watched.drop_root(root)
            root.no_inotify = ""
        root.spec = spec
        for name, app in list(root.apps.items()):
            old, new = app.spec, spec.spec(name)
            if (old.layout, old.ignore) != (new.layout, new.ignore):
                self._drop(app)  # what was seen of it means something else now
            elif old != new:
                app.spec = new
                app.debounce.settle = new.settle
                self._ask(app)

    def _drop_root(self, root: RootState) -> None:
        self.schedule.drop(root)
        for app in list(root.apps.values()):
            self._drop(app)
        self._watched.drop_root(root)

    def _drop(self, app: AppState) -> None:
        app.drop()
        app.root.apps.pop(app.name, None)
        self.schedule.drop(app)
        self._trees.drop(app)
        self._watched.drop(app)

    # --- mounts and env files ------------------------------------------------------------------

    def _look_at_mounts(self, state: MountsState) -> None:
        roots = self._roots.values()
        self._marked.polled = sum(root.polled() for root in roots if not root.inotify)
        self._marked.plain = sum(len(root.apps.keys() - root.were_apps) for root in roots)
        text = self._guard.mounts().text
        if text != state.text:
            state.text = text
            for root in self._roots.values():
                self.schedule.sooner(root, 0.0)
            self._envs.ring()
        self.schedule.sooner(state, self._jitter(time.monotonic(), _MOUNTS))

    # --- roots ---------------------------------------------------------------------------------

    def _root(self, root: RootState, emit: Emit) -> None:
        if self._roots.get(root.path) is not root:
            return
        began = root.began = time.monotonic()
        root.burst.spend(began, root.spec.interval)
        try:
            self._list(root, began, emit)
        except Exception:  # noqa: BLE001 - of ours: it ends this look alone
            self._root_failed(root, root.faults.report(root.path, emit), None, began, emit)
            self.schedule.sooner(root, began + FAULT)

    def _list(self, root: RootState, began: float, emit: Emit) -> None:
        how, root.how = root.how, ""
        interval = root.spec.interval
        root.real = self._guard.real(root.path)
        mount = None
        try:
            mount = self._guard.of_root(root, self._watch)
            entries = self.disk.names(root.path)
            inode = 0 if mount.is_share else self.disk.status(root.real).st_ino
            self._guard.unmoved(mount, self._guard.of_root(root, self._watch))
        except (OSError, NotMounted, NotDeployable) as error:
            self._root_failed(root, error, mount, began, emit)
            self.schedule.sooner(root, self._jitter(began, max(interval, 0.5)))
            return
        root.bad_since = None
        back = root.pushed is not None and not root.pushed.known
        root.known, root.on_share = True, mount.is_share
        again = self._watched.root(root, mount, inode, emit)
        found = root.children = children(entries, root.spec, root.children)
        self._update(root, found, how)
        look = RootSeen(
            root=root.path,
            known=True,
            names=root.names(found),
            empty=not entries,
            refused={**root.odd, **found.refused},
            plain=tuple(sorted(root.plain)[:_PLAIN]),
            plain_count=len(root.plain),
            mounted=mount.is_share,
            fstype=mount.fstype,
            looked=began,
        )
        root.took = time.monotonic() - began
        self._push_root(root, look, emit)
        if back:
            for app in root.apps.values():
                self._ask(app)
        local = root.inotify and not again
        self.schedule.sooner(root, self._jitter(began, _ROOT_LOCAL if local else interval))

    def _root_failed(
        self,
        root: RootState,
        error: OSError | NotMounted | NotDeployable,
        mount: Mount | None,
        began: float,
        emit: Emit,
    ) -> None:
        """A root that cannot be listed is unknown: at once, or after 2 s if it may pass."""
        if root.known and isinstance(error, OSError) and passes(error):
            root.bad_since = root.bad_since or began
            if began - root.bad_since <= CONFIRM:
                return
        root.known = False
        why = str(error) if isinstance(error, NotMounted) else in_words(error)
        self._watched.lost(root, why, emit)
        look = RootSeen(
            root=root.path,
            known=False,
            why=why,
            mounted=mount is not None and mount.is_share,
            fstype=mount.fstype if mount else "",
            looked=began,
        )
        self._push_root(root, look, emit)

    def _update(self, root: RootState, found: Children, how: str) -> None:
        """Have a state for each child that this node runs, and none for others.

        What was no app so far is looked at again for whoever asked: it may have become one.
        """
        for name in root.apps.keys() - found.mine:
            self._drop(root.apps[name])
            root.is_app(name)
        known = root.apps.keys() & found.mine
        self._held = []  # what is seen of new apps is told after the listing that names them
        for name in sorted(found.mine - root.apps.keys()):
            app = root.apps[name] = AppState(root, name, root.spec.spec(name))
            app.how = how
            self._app(app, self._hold)
        if root.requested:
            for name in sorted(found.mine & known - root.were_apps):
                self._app(root.apps[name], self._hold)

    def _hold(self, kind: str, body: protocol.Body) -> None:
        if self._held is not None:
            self._held.append((kind, body))

    def _push_root(self, root: RootState, look: RootSeen, emit: Emit) -> None:
        pushed = root.pushed
        if root.requested or pushed is None or _told(pushed) != _told(look):
            root.requested = False
            root.pushed = look
            emit("root", protocol.seen_body(look))
        self._release(emit)

    def _release(self, emit: Emit) -> None:
        """Tell what had to wait for a listing to be told."""
        held, self._held = self._held or [], None
        for kind, body in held:
            emit(kind, body)
        trees, self._trees_held = self._trees_held, []
        for app in trees:
            self._trees.put(app, 0.0)

    def _name(self, root: RootState, name: str, emit: Emit) -> None:
        """A directory turns out to be an app. If it is not new, the listing did not name it."""
        root.were_apps.add(name)
        if self._held is None and root.pushed is not None:
            names = tuple(sorted({*root.pushed.names, name}))
            root.pushed = replace(root.pushed, names=names)
            emit("root", protocol.seen_body(root.pushed))

    # --- apps ----------------------------------------------------------------------------------

    def _apps(self, first: AppState, emit: Emit) -> None:
        """Look at an app and at others of its root that are due, by their marks if that will do."""
        root = first.root
        more = self.schedule.more(
            lambda item: isinstance(item, AppState) and item.root is root, _MOST
        )
        apps = [app for app in (first, *more) if isinstance(app, AppState) and not app.dropped()]
        if not root.known:
            return
        try:
            mine = [app for app in apps if app.owner == POLLER]
            standing = self._marked.standing(root, mine)
            for app in apps:
                due = standing.get(app)
                if due is None:
                    self._app(app, emit)
                else:
                    self.schedule.sooner(app, due)
        except NotMounted:
            self.schedule.sooner(root, 0.0)
            for app in apps:
                self._due(app, app.began + root.spec.interval)
        except BaseException:  # of ours: as in `turn`, which knows of the first alone
            for app in apps:
                self.schedule.sooner(app, time.monotonic() + FAULT)
            raise

    def _app(self, app: AppState, emit: Emit) -> None:
        root = app.root
        if app.dropped() or not root.known:
            return
        if app.owner != POLLER:
            self._trees.put(app, 0.0)
            return
        due: float | Window | None
        try:
            due = self._marked.look(app, emit)
        except NotMounted:
            self.schedule.sooner(root, 0.0)
            due = app.began + root.spec.interval
        if due is not None:
            self.schedule.sooner(app, due)

    def _to_trees(self, app: AppState) -> None:
        """Hand an app over, after the listing that names it is told."""
        if self._held is None:
            self._trees.put(app, 0.0)
        else:
            self._trees_held.append(app)


def _told(look: RootSeen) -> tuple[object, ...]:
    """What of a look at a root is news when it changes."""
    return (
        look.known,
        look.why,
        look.names,
        look.empty,
        dict(look.refused),
        look.plain,
        look.plain_count,
        look.mounted,
        look.fstype,
    )
