"""The world that scripted nodes share: the files on the share, and time.

Nothing waits: what is to happen lies on a clock, and the world lets the next thing of any clock
happen. Every machine has a clock of its own, as its boot began it; time passes on all of them.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from appagent.core.ids import inode
from appagent.model.words import Layout, Now

if TYPE_CHECKING:
    from tests.unit.core_machine import Machine

SOON = 0.01  # s that the watcher or a shim takes
MOMENT = 0.001  # s; no change is made at the very moment of a poll
HOUR = 3600.0
ROOT = "/files/production"
SECOND = "/files/staging"
WALL = 1_700_000_000.0


class Clock:
    """A monotonic clock, the wall clock beside it, and what is to happen by them."""

    def __init__(self) -> None:
        self.mono = 1000.0
        self.ahead = WALL - self.mono  # of the wall clock
        self.later: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def now(self) -> Now:
        """The time. A wall clock that adds up small steps would lose them."""
        return Now(self.mono, self.mono + self.ahead)

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Have something happen at a time."""
        heapq.heappush(self.later, (when, next(self._count), what))

    def turn_to(self, when: float) -> None:
        """The clock shows this time."""
        self.mono = max(self.mono, when)

    def next_time(self) -> float:
        """When something is to happen next by this clock."""
        return self.later[0][0] if self.later else inf

    def next_happens(self) -> None:
        """Let the next thing happen by this clock."""
        when, _, what = heapq.heappop(self.later)
        self.turn_to(when)
        what()


@dataclass
class Files:
    """An app's files on the share, as they are."""

    root: str
    name: str
    layout: Layout
    release: str
    own: Mapping[str, object] = field(default_factory=dict)
    own_error: str = ""
    incomplete: str = ""
    changing: tuple[str, ...] = ()
    why: str = ""  # an error that every poll of it gives

    @property
    def place(self) -> str:
        """The directory that the release lies in."""
        app = f"{self.root}/{self.name}"
        return f"{app}/releases/{self.release}" if self.layout is Layout.SYMLINK else app


class Share:
    """What is on the share, for every node the same."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], Files] = {}
        self.refused: dict[str, dict[str, str]] = defaultdict(dict)
        self.envs: dict[str, tuple[str, str]] = {}  # path → (state, value or why)
        self.inodes: dict[str, int] = defaultdict(lambda: 7)  # of the directories of releases

    def names(self, root: str) -> tuple[str, ...]:
        """The apps in a root."""
        return tuple(sorted(name for path, name in self.files if path == root))

    def is_in(self, release: str, place: str) -> bool:
        """Whether this is the directory that a release was seen in, where its id has an inode."""
        number = inode(release)
        return number is None or number == self.inodes[place]


class World(Clock):
    """One share, and the machines that have it mounted."""

    def __init__(self) -> None:
        super().__init__()
        self.share = Share()
        self.machines: list[Machine] = []

    # --- time ------------------------------------------------------------------------------------

    def first(self) -> Clock:
        """The clock by which something happens next."""
        return min((self, *self.machines), key=lambda clock: clock.next_time() - clock.mono)

    def due(self, by: Clock | None = None) -> float:
        """When something happens next anywhere, as this clock will show it."""
        first, by = self.first(), by or self
        return first.next_time() if first is by else by.mono + first.next_time() - first.mono

    def turn(self, seconds: float) -> None:
        """Let time pass in which nothing happens."""
        for clock in (self, *self.machines):
            clock.turn_to(clock.mono + seconds)

    def happen(self) -> None:
        """Let the next thing happen."""
        first = self.first()
        seconds = first.next_time() - first.mono
        for clock in (self, *self.machines):
            if clock is not first:
                clock.turn_to(clock.mono + seconds)
        first.next_happens()

    def until(self, when: float, by: Clock | None = None) -> None:
        """Let time pass until this clock shows so much."""
        by = by or self
        while self.due(by) <= when:
            self.happen()
        self.turn(when - by.mono)
        by.turn_to(when)

    def after(self, seconds: float) -> None:
        """Let so much time pass."""
        self.until(self.mono + seconds)

    def rest(self, most: float = 2 * HOUR) -> None:
        """Let time pass until nothing is to happen any more."""
        end = self.mono + most
        while (due := self.due()) < inf:
            assert due <= end, f"no rest: {[one.shims.log[-10:] for one in self.machines]}"
            self.happen()

    # --- what happens on the share ---------------------------------------------------------------

    def push(  # noqa: PLR0913 - what a pusher can change
        self,
        app: str,
        release: str,
        layout: Layout | None = None,
        root: str = "",
        *,
        own: Mapping[str, object] | None = None,
        own_error: str = "",
        incomplete: str = "",
        changing: tuple[str, ...] = (),
        anew: bool = False,
    ) -> None:
        """Somebody deploys a release (its directory made anew), or changes a file of a tree."""
        known = (f for f in self.share.files.values() if f.name == app and root in ("", f.root))
        old = next(known, None)
        root = root or (old.root if old else ROOT)
        layout = layout or (old.layout if old else Layout.SYMLINK)
        own = own if own is not None else old.own if old else {}
        new = Files(root, app, layout, release, own, own_error, incomplete, changing)
        listed = (root, app) in self.share.files
        self.share.inodes[new.place] += anew
        self.turn(MOMENT)
        self.share.files[root, app] = new
        for machine in self.machines:
            if not listed and not machine.watcher.empty:
                machine.watcher.push_root(root)
            machine.watcher.push_app(root, app)

    def remove(self, *apps: str, root: str = "") -> None:
        """Apps are removed, all at once."""
        gone = [key for key in self.share.files if key[1] in apps and root in ("", key[0])]
        for key in gone:
            del self.share.files[key]
        for machine in self.machines:
            for key in gone:
                machine.watcher.seen.pop(key, None)
            for path in {root for root, _ in gone}:
                machine.watcher.push_root(path)

    def app_trouble(self, app: str, why: str) -> None:
        """An app cannot be polled; or, with "", it can."""
        for files in self.share.files.values():
            if files.name == app:
                files.why = why
                for machine in self.machines:
                    machine.watcher.push_app(files.root, app)

    def env(self, path: str, value: str = "", state: str = "present") -> None:
        """An env file has these values; or it is missing, broken or unknown."""
        self.share.envs[path] = (state, value)
        for machine in self.machines:
            machine.watcher.push_env(path)
