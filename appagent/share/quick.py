"""The quick thread: roots, the marks of symlink and git apps, env files, what is mounted.

Theory of operation. A root is listed every `interval`; the listing alone says which apps there
are. A new name is looked at before the listing is told, so that a listing names apps and not
directories. An app that is no tree is looked at by its marks (one or two operations) every
`interval`, and as a whole when they do not stand, when somebody asks, when inotify rings, and now
and then. Trees are handed to the scanning thread. While a root is away its apps are not looked at;
once it is back all of them are told afresh.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from appagent.core.names import is_hidden, managed, why_no_app
from appagent.model import Layout, RootLook
from appagent.share import layouts, marks, wire
from appagent.share.agenda import Agenda, Jitter
from appagent.share.disk import DIR, LINK, Disk, Entry
from appagent.share.envlook import EnvState
from appagent.share.layouts import Found, NoMakefile
from appagent.share.marks import Unclear
from appagent.share.mounts import Mount
from appagent.share.polling import Emit
from appagent.share.scene import QUICK, TREES, AppState, Away, Ground, RootState
from appagent.share.sight import CONFIRM, in_words, passes
from appagent.share.trees import SAFETY, Trees
from appagent.share.watched import Watched
from appagent.share.watchlist import RootSpec, Watchlist

_WHOLE = 10.0  # s between whole looks at an app whose marks stand
_ROOT_LOCAL = 5.0  # s between listings of a root that inotify watches
_MOUNTS = 1.0  # s between questions whether something was mounted
_BUSY = 0.5  # of the time that looks at marks may take at most


class MountsState:
    """What is mounted: looked at so that a mount rings everything."""

    text = ""


Item = RootState | AppState | EnvState | MountsState


class Quick:
    """Looks at everything but trees."""

    def __init__(self, disk: Disk, trees: Trees, watched: Watched) -> None:
        self.agenda: Agenda[Item] = Agenda()
        self.interval = 0.0  # between looks at the marks, as in force; 0: none are polled
        self.disk = disk
        self._watch = Watchlist()
        self._roots: dict[str, RootState] = {}
        self._envs: dict[str, EnvState] = {}
        self._mounts = MountsState()
        self._ground = Ground(disk)
        self._trees = trees
        self._watched = watched
        self._inbox: deque[Callable[[Emit], None]] = deque()
        self._jitter = Jitter()
        self._cost = 0.0  # s that a look at marks takes, on average
        self._polled = 0  # apps whose marks are
        self._held: list[tuple[str, wire.Body]] | None = None
        self._trees_held: list[AppState] = []
        trees.hand_over = lambda app: self.agenda.sooner(app, 0.0)
        trees.ring_root = lambda root: self.agenda.sooner(root, 0.0)
        watched.ring_root = self._ring_root
        watched.ring_app = self._ring_app

    def post(self, task: Callable[[Emit], None]) -> None:
        """Have something done by the quick thread, before its next look."""
        self._inbox.append(task)
        self.agenda.wake()

    def turn(self, timeout: float, emit: Emit) -> None:
        """Look at one thing, or wait."""
        self.disk.pulse.rest()
        while self._inbox:
            self._inbox.popleft()(emit)
            self.disk.pulse.rest()
        item = self.agenda.take(timeout)
        if isinstance(item, RootState):
            self._root(item, emit)
        elif isinstance(item, AppState):
            self._app(item, emit)
        elif isinstance(item, EnvState):
            self._env(item, emit)
        elif item is not None:
            self._look_at_mounts(item)
        self.disk.pulse.rest()

    # --- what is asked -------------------------------------------------------------------------

    def look(self, path: str, name: str) -> None:
        """Look now: at one app, or at a root and all that is in it."""
        root = self._roots.get(path)
        if root is None:
            return
        if not name:
            self._ask_root(root)
            for env in self._envs.values():
                env.asked = True
                self.agenda.sooner(env, 0.0)
        elif (app := root.apps.get(name)) is not None:
            self._ask(app)
        else:
            root.asked = True
            self.agenda.sooner(root, 0.0)

    def _ask_root(self, root: RootState) -> None:
        root.asked = True
        self.agenda.sooner(root, 0.0)
        for app in root.apps.values():
            self._ask(app)

    def _ask(self, app: AppState) -> None:
        app.sight.asked = True
        app.how = app.how or "asked"
        self._due(app, 0.0)

    def _due(self, app: AppState, due: float) -> None:
        if app.owner == TREES:
            self._trees.put(app, due)
        else:
            self.agenda.sooner(app, due)

    def _ring_root(self, root: RootState) -> None:
        root.how = "inotify"
        self.agenda.sooner(root, root.began + root.spec.interval)

    def _ring_app(self, app: AppState) -> None:
        app.how = app.how or "inotify"
        spec = app.root.spec
        gap = spec.scan_interval if app.owner == TREES else spec.interval
        self._due(app, app.began + gap)

    # --- what is to be watched -----------------------------------------------------------------

    def set_watch(self, watch: Watchlist) -> None:
        """Watch this from now on; what is watched already goes on as it is."""
        self._watch = self._trees.watch = watch
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
            self.agenda.sooner(root, 0.0)
        for path in [path for path in self._envs if path not in watch.env]:
            self.agenda.drop(self._envs.pop(path))
        for path in watch.env:
            if path not in self._envs:
                self._envs[path] = EnvState(path)
                self.agenda.sooner(self._envs[path], 0.0)
        self.agenda.sooner(self._mounts, time.monotonic())

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
                app.sight.settle = new.settle
                self._ask(app)

    def _drop_root(self, root: RootState) -> None:
        self.agenda.drop(root)
        for app in list(root.apps.values()):
            self._drop(app)
        self._watched.drop_root(root)

    def _drop(self, app: AppState) -> None:
        app.drop()
        app.root.apps.pop(app.name, None)
        self.agenda.drop(app)
        self._trees.agenda.drop(app)
        self._watched.drop(app)

    # --- mounts and env files ------------------------------------------------------------------

    def _look_at_mounts(self, state: MountsState) -> None:
        text = self._ground.mounts().text
        if text != state.text:
            state.text = text
            for root in self._roots.values():
                self.agenda.sooner(root, 0.0)
            for env in self._envs.values():
                self.agenda.sooner(env, 0.0)
        self.agenda.sooner(state, time.monotonic() + _MOUNTS)

    def _env(self, env: EnvState, emit: Emit) -> None:
        began = time.monotonic()
        roots = list(self._roots.values())
        look, again = env.look(self.disk, self._ground, self._watch, roots, began)
        if look is not None:
            emit("env", wire.look_body(look))
        pace = min((root.spec.scan_interval for root in roots), default=2.0)
        self.agenda.sooner(env, began + (again or self._jitter(pace)))

    # --- roots ---------------------------------------------------------------------------------

    def _root(self, root: RootState, emit: Emit) -> None:
        if self._roots.get(root.path) is not root:
            return
        began = root.began = time.monotonic()
        how, root.how = root.how, ""
        interval = root.spec.interval
        root.real = self._ground.real(root.path)
        mount = None
        try:
            mount = self._ground.of_root(root, self._watch)
            entries = self.disk.names(root.path)
            self._ground.unmoved(mount, self._ground.of_root(root, self._watch))
        except (OSError, Away) as error:
            self._root_failed(root, error, mount, began, emit)
            self.agenda.sooner(root, began + self._jitter(max(interval, 0.5)))
            return
        root.bad_since = None
        back = root.pushed is not None and not root.pushed.known
        root.known = True
        again = self._watched.root(root, mount, emit)
        refused, children = _sort_out(entries)
        self._update(root, children, how)
        look = RootLook(
            root=root.path,
            known=True,
            empty=not entries,
            refused=refused,
            mounted=mount.is_share,
            fstype=mount.fstype,
            looked=began,
        )
        self._push_root(root, look, children, emit)
        if back:
            for app in root.apps.values():
                self._ask(app)
        self._polled = sum(
            app.owner == QUICK
            for other in self._roots.values()
            if not other.inotify
            for app in other.apps.values()
        )
        local = root.inotify and not again
        self.agenda.sooner(root, began + self._jitter(_ROOT_LOCAL if local else interval))

    def _root_failed(
        self,
        root: RootState,
        error: OSError | Away,
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
        why = in_words(error) if isinstance(error, OSError) else str(error)
        self._watched.lost(root, why, emit)
        look = RootLook(
            root=root.path,
            known=False,
            why=why,
            mounted=mount is not None and mount.is_share,
            fstype=mount.fstype if mount else "",
            looked=began,
        )
        self._push_root(root, look, [], emit)

    def _update(self, root: RootState, children: list[str], how: str) -> None:
        """Have a state for each child that this node runs, and none for others."""
        spec = root.spec
        mine = {name for name in children if managed(name, spec.include, spec.exclude)}
        for name, app in list(root.apps.items()):
            if name not in mine:
                self._drop(app)
        self._held = []  # what is seen of new apps is told after the listing that names them
        for name in children:
            if name in mine and name not in root.apps:
                app = root.apps[name] = AppState(root, name, spec.spec(name))
                app.how = how
                self._app(app, self._hold)

    def _hold(self, kind: str, body: wire.Body) -> None:
        if self._held is not None:
            self._held.append((kind, body))

    def _push_root(
        self, root: RootState, look: RootLook, children: list[str], emit: Emit
    ) -> None:
        spec = root.spec
        names = tuple(
            name
            for name in sorted(children)
            if name in root.were_apps or not managed(name, spec.include, spec.exclude)
        )
        look = replace(look, names=names)
        pushed = root.pushed
        if root.asked or pushed is None or _told(pushed) != _told(look):
            root.asked = False
            root.pushed = look
            emit("root", wire.look_body(look))
        held, self._held = self._held or [], None
        for kind, body in held:
            emit(kind, body)
        trees, self._trees_held = self._trees_held, []
        for app in trees:
            self._trees.put(app, 0.0)

    def _name(self, root: RootState, name: str, emit: Emit) -> None:
        """A directory that was listed already turns out to be an app."""
        if root.pushed is not None:
            names = tuple(sorted({*root.pushed.names, name}))
            root.pushed = replace(root.pushed, names=names)
            emit("root", wire.look_body(root.pushed))

    # --- apps ----------------------------------------------------------------------------------

    def _app(self, app: AppState, emit: Emit) -> None:
        root = app.root
        if app.dropped() or not root.known:
            return
        if app.owner != QUICK:
            self._trees.put(app, 0.0)
            return
        began = app.began = time.monotonic()
        rung = bool(app.how)
        how = app.take_how("poll")
        try:
            mount = self._ground.of_root(root, self._watch)
            if app.marks and not rung and not app.sight.asked and began < app.whole_at:
                standing = self._marks_stand(app)
                self._ground.unmoved(mount, self._ground.of_root(root, self._watch))
                if standing:
                    self._again(app, began)
                    return
            due = self._whole(app, began, how, mount, emit)
        except Away:
            self.agenda.sooner(root, 0.0)
            due = began + root.spec.interval
        if due is not None:
            self.agenda.sooner(app, due)

    def _marks_stand(self, app: AppState) -> bool:
        began = time.monotonic()
        try:
            return marks.stand(self.disk, app.marks)
        except OSError:
            return False  # the whole look says what it is
        finally:
            took = time.monotonic() - began
            self._cost += (took - self._cost) / 16

    def _whole(
        self, app: AppState, began: float, how: str, mount: Mount, emit: Emit
    ) -> float | None:
        """Look at all of an app; when to look again, None if it is not ours any more."""
        root, spec = app.root, app.root.spec
        soon = began + self._jitter(spec.interval if app.sight.last else spec.scan_interval)
        try:
            allowed = self._ground.allowed(root)
            found = layouts.look(self.disk, root.path, app.name, app.spec.layout, allowed)
            also = self._also(app, found)
            self._ground.unmoved(mount, self._ground.of_root(root, self._watch))
        except (OSError, Unclear) as error:
            self._ground.unmoved(mount, self._ground.of_root(root, self._watch))
            app.marks = ()
            if isinstance(error, NoMakefile) and app.name not in root.were_apps:
                return began + self._jitter(spec.scan_interval)  # a directory like any other
            look = app.sight.failed(error, began, how)
            if look is not None and app.name in root.were_apps:
                emit("app", wire.look_body(look))
            return soon if app.sight.doubtful else began + self._jitter(spec.scan_interval)
        if app.name not in root.were_apps:
            root.were_apps.add(app.name)
            if self._held is None:  # else the listing that names it is about to be told
                self._name(root, app.name, emit)
        if not app.sight.believes(found.layout, began):
            return soon
        if found.layout is Layout.TREE:
            app.owner, app.marks = TREES, ()
            app.how = how
            if self._held is None:
                self._trees.put(app, 0.0)
            else:
                self._trees_held.append(app)
            return None
        look = app.sight.saw(found, found.release, began, how, also=also)
        if look is not None:
            emit("app", wire.look_body(look))
        app.marks = found.marks
        added = self._watched.app(app, found, emit)
        slow = SAFETY if root.inotify else _WHOLE
        app.whole_at = began + self._jitter(
            spec.scan_interval if found.incomplete or added else slow
        )
        self._again(app, began)
        return None

    def _again(self, app: AppState, began: float) -> None:
        """Look again after the interval in force, or when it is to be seen that it stood."""
        spec = app.root.spec
        interval = max(spec.interval, self._polled * self._cost / _BUSY)
        if self._watch.looks_per_second > 0:
            interval = max(interval, self._polled / self._watch.looks_per_second)
        self.interval = interval if self._polled else 0.0
        due = app.whole_at if app.root.inotify else began + self._jitter(interval)
        confirm = app.sight.confirm_at
        if confirm is not None:
            app.whole_at = min(app.whole_at, confirm)
            due = min(due, confirm)
        self.agenda.sooner(app, due)

    def _also(self, app: AppState, found: Found) -> str:
        also = app.spec.also
        return found.release if also and also.scheme == f"{found.layout}.1" else ""


def _sort_out(entries: list[Entry]) -> tuple[dict[str, str], list[str]]:
    """Part what may be apps from what cannot be, with the reason; files are neither."""
    refused, children = {}, []
    for name, kind in entries:
        if kind not in (DIR, LINK) or is_hidden(name):
            continue
        why = why_no_app(name)
        if why:
            refused[name] = why
        else:
            children.append(name)
    return refused, children


def _told(look: RootLook) -> tuple[object, ...]:
    """What of a look at a root is news when it changes."""
    return (
        look.known,
        look.why,
        look.names,
        look.empty,
        dict(look.refused),
        look.mounted,
        look.fstype,
    )
