"""The watcher of one machine: what it sees of the share, and what it pushes to the agent."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from appagent.core.ignore import ignore_id
from appagent.model.events import (
    AppObserved,
    WatcherBack,
    WatcherStuck,
)
from appagent.model.seen import AppSeen, EnvSeen, RootSeen
from appagent.model.words import Layout
from tests.unit.core_world import Files

if TYPE_CHECKING:
    from tests.unit.core_machine import Machine


class FakeWatcher:
    """What one machine can see of the share, and what it has seen."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.share = machine.share
        self.roots = {root.path: "" for root in machine.settings.roots}  # what is wrong, or ""
        self.empty = False  # nothing is mounted there; else a README at least lies in a root
        self.hangs = False
        self.seen: dict[tuple[str, str], tuple[str, float]] = {}  # what it saw, since when

    def blind(self, root: str) -> bool:
        """Whether it can see nothing there."""
        return self.hangs or bool(self.roots.get(root))

    # --- what it pushes --------------------------------------------------------------------------

    def push_all(self) -> None:
        """A new watcher, or one that is back: everything is polled."""
        self.seen.clear()
        for path in self.share.envs:
            self.push_env(path)
        for root in self.roots:
            self.push_root(root)
        for root, name in self.share.files:
            self.push_app(root, name)

    def push_root(self, root: str) -> None:
        """A root is listed."""
        if self.hangs or root not in self.roots:
            return
        why, now = self.roots[root], self.machine.mono
        seen = RootSeen(root, known=not why, why=why, at=now)
        if not why:
            seen = RootSeen(
                root,
                known=True,
                names=() if self.empty else self.share.names(root),
                empty=self.empty,
                refused=dict(self.share.refused[root]),
                at=now,
            )
        self.machine.feed(seen)

    def push_env(self, path: str) -> None:
        """An env file is read."""
        if self.hangs:
            return
        state, text = self.share.envs[path]
        digest, why = (text, "") if state == "present" else ("", text)
        self.machine.feed(EnvSeen(path, state, digest, why, self.machine.mono))

    def push_app(self, root: str, name: str) -> None:
        """An app is polled; and again once it stood for `settle`."""
        files = self.share.files.get((root, name))
        if files is None or root not in self.roots or self.blind(root) or self.empty:
            return
        mono, seen = self.machine.mono, self.poll(files)
        self.machine.feed(AppObserved(seen, files.own, files.own_error))
        stood = seen.since + self.machine.settings_of(name, files.own).settle
        if seen.known and seen.layout is not Layout.SYMLINK and stood > mono:
            self.machine.at(stood, lambda: self.push_stood(root, name, seen.since))

    def push_stood(self, root: str, name: str, since: float) -> None:
        """It is still the same."""
        if self.seen.get((root, name), ("", inf))[1] == since:
            self.push_app(root, name)

    def recheck(self, root: str, app: str) -> None:
        """The agent asks for a poll now."""
        if app:
            self.push_app(root, app)
        else:
            self.push_root(root)

    def rewatch(self) -> None:
        """The agent has a new list: what is seen in another way now is pushed."""
        for (root, name), files in list(self.share.files.items()):
            if self.seen.get((root, name), ("", 0.0))[0] != self.signature(files):
                self.push_app(root, name)

    def poll(self, files: Files) -> AppSeen:
        """What is seen of an app now."""
        mono, key = self.machine.mono, (files.root, files.name)
        if files.why:
            self.seen.pop(key, None)
            return AppSeen(files.root, files.name, known=False, why=files.why, at=mono)
        release, also = self.ids(files)
        if self.seen.get(key, ("", 0.0))[0] != self.signature(files):
            self.seen[key] = (self.signature(files), mono)
        return AppSeen(
            files.root,
            files.name,
            known=True,
            layout=files.layout,
            release=release,
            also=also,
            release_dir=files.place,
            owner=1000,
            since=self.seen[key][1],
            at=mono,
            incomplete=files.incomplete,
            changing=files.changing,
            how="poll",
        )

    def signature(self, files: Files) -> str:
        """What differs where an app changed."""
        return f"{self.ids(files)[0]} {files.incomplete}"

    def ids(self, files: Files) -> tuple[str, str]:
        """The release's id, and the one under the ignore lines of what is installed."""
        if files.layout is Layout.SYMLINK:
            return f"symlink.1:releases/{files.release}:{self.share.inodes[files.place]}", ""
        if files.layout is Layout.GIT:
            return f"git.1:{files.release}", ""
        app = self.machine.node.apps.get(files.name)
        # As the watcher was told; it reads no settings.
        own = app.seen.own if app is not None else {}
        mine = self.machine.settings_of(files.name, own).ignore
        old = app.record.ignore if app is not None and app.record.applied.installed else mine
        also = "" if old == mine else f"tree.1:{ignore_id(old)}:{files.release}"
        return f"tree.1:{ignore_id(mine)}:{files.release}", also

    # --- when it cannot see ----------------------------------------------------------------------

    def trouble(self, root: str, why: str) -> None:
        """A root cannot be read any more; or, with "", it can."""
        self.roots[root] = why
        self.push_root(root)
        for path, name in list(self.share.files):
            if path == root and not why:
                self.seen.pop((path, name), None)
                self.push_app(path, name)

    def hang(self) -> None:
        """Nothing on the share answers any more."""
        self.hangs = True
        paths = (*self.roots, *self.share.envs)
        self.machine.feed(WatcherStuck(paths, self.machine.mono - 5.0, "the share does not answer"))

    def come_back(self) -> None:
        """It answers again."""
        self.hangs = False
        self.machine.feed(WatcherBack((*self.roots, *self.share.envs)))
        self.push_all()
