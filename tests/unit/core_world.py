"""What a `Play` happens in: the share and its watcher, and the shims with what their runs do.

Both are as like the real ones as the core can tell, and neither waits: they put what is to happen
later on the play's clock.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING

from appagent.core.ids import inode
from appagent.core.ignore import ignore_id
from appagent.core.release import short
from appagent.model.applied import Identity, Run
from appagent.model.events import (
    AppObserved,
    Ended,
    EnvObserved,
    RootObserved,
    ShimReady,
    StepFound,
    WatcherBack,
    WatcherStuck,
)
from appagent.model.seen import AppSeen, EnvSeen, RootSeen
from appagent.model.words import Layout, Outcome, Target
from appagent.shim import targets as makefile

if TYPE_CHECKING:
    from tests.unit.core_play import Play

SOON = 0.01  # s that the watcher or a shim takes


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
    why: str = ""  # an error that stands in the way of a look


class FakeShare:
    """The share as it is, and the watcher that tells the play's agent of it."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.files: dict[tuple[str, str], Files] = {}
        self.roots: dict[str, str] = {}  # root → what is wrong with it, or ""
        self.refused: dict[str, dict[str, str]] = defaultdict(dict)
        self.empty = False  # nothing is mounted there; else a README at least lies in a root
        self.envs: dict[str, tuple[str, str]] = {}  # path → (state, value or why)
        self.hangs = False
        self.seen: dict[tuple[str, str], tuple[str, float]] = {}  # what the watcher saw, since when
        self.inodes: dict[str, int] = defaultdict(lambda: 7)  # of the directories of releases

    def names(self, root: str) -> tuple[str, ...]:
        """The apps that a listing of the root shows."""
        return () if self.empty else tuple(sorted(n for r, n in self.files if r == root))

    def blind(self, root: str) -> bool:
        """Whether the watcher can see nothing there."""
        return self.hangs or bool(self.roots.get(root))

    # --- what the watcher pushes
    # ---------------------------------------------------------------------

    def push_all(self) -> None:
        """A new watcher, or one that is back: a look at everything."""
        self.seen.clear()
        for path in self.envs:
            self.push_env(path)
        for root in self.roots:
            self.push_root(root)
        for root, name in self.files:
            self.push_app(root, name)

    def push_root(self, root: str) -> None:
        """A look at a root."""
        if self.hangs:
            return
        why, names = self.roots[root], self.names(root)
        look = RootSeen(root, known=not why, why=why, looked=self.play.mono)
        if not why:
            look = RootSeen(
                root,
                known=True,
                names=names,
                empty=self.empty,
                refused=dict(self.refused[root]),
                looked=self.play.mono,
            )
        self.play.feed(RootObserved(look))

    def push_env(self, path: str) -> None:
        """A look at an env file."""
        if self.hangs:
            return
        state, text = self.envs[path]
        digest, why = (text, "") if state == "present" else ("", text)
        self.play.feed(EnvObserved(EnvSeen(path, state, digest, why, self.play.mono)))

    def push_app(self, root: str, name: str) -> None:
        """A look at an app; and another one once it stood for `settle`."""
        files = self.files.get((root, name))
        if files is None or self.blind(root) or self.empty:
            return
        mono, look = self.play.mono, self.look(files)
        self.play.feed(AppObserved(look, files.own, files.own_error))
        stood = look.since + self.play.settings_of(name, files.own).settle
        if look.known and look.layout is not Layout.SYMLINK and stood > mono:
            self.play.at(stood, lambda: self.push_stood(root, name, look.since))

    def push_stood(self, root: str, name: str, since: float) -> None:
        """It is still the same."""
        if self.seen.get((root, name), ("", inf))[1] == since:
            self.push_app(root, name)

    def look(self, files: Files) -> AppSeen:
        """What a look at an app gives now."""
        mono, key = self.play.mono, (files.root, files.name)
        if files.why:
            self.seen.pop(key, None)
            return AppSeen(files.root, files.name, known=False, why=files.why, looked=mono)
        release, also = self.ids(files)
        signature = f"{release} {files.incomplete}"
        if self.seen.get(key, ("", 0.0))[0] != signature:
            self.seen[key] = (signature, mono)
        return AppSeen(
            files.root,
            files.name,
            known=True,
            layout=files.layout,
            release=release,
            also=also,
            release_dir=self.place(files),
            owner=1000,
            since=self.seen[key][1],
            looked=mono,
            incomplete=files.incomplete,
            changing=files.changing,
            how="poll",
        )

    def place(self, files: Files) -> str:
        """The directory that the release lies in."""
        own = f"{files.root}/{files.name}"
        return f"{own}/releases/{files.release}" if files.layout is Layout.SYMLINK else own

    def is_in(self, release: str, place: str) -> bool:
        """Whether this is the directory that a release was seen in; its id tells where it can."""
        number = inode(release)
        return number is None or number == self.inodes[place]

    def ids(self, files: Files) -> tuple[str, str]:
        """The release's id, and the one under the ignore lines of what is installed."""
        if files.layout is Layout.SYMLINK:
            number = self.inodes[self.place(files)]
            return f"symlink.1:releases/{files.release}:{number}", ""
        if files.layout is Layout.GIT:
            return f"git.1:{files.release}", ""
        app = self.play.node.apps.get(files.name)
        own = app.own if app is not None else {}  # as the watcher was told; it reads no settings
        mine = self.play.settings_of(files.name, own).ignore
        old = app.record.ignore if app is not None and app.record.applied.installed else mine
        also = "" if old == mine else f"tree.1:{ignore_id(old)}:{files.release}"
        return f"tree.1:{ignore_id(mine)}:{files.release}", also

    # --- when it hangs ---------------------------------------------------------------------------

    def hang(self) -> None:
        """Nothing on the share answers any more."""
        self.hangs = True
        paths = (*self.roots, *self.envs)
        self.play.feed(WatcherStuck(paths, self.play.mono - 5.0, "the share does not answer"))

    def come_back(self) -> None:
        """It answers again."""
        self.hangs = False
        self.play.feed(WatcherBack((*self.roots, *self.envs)))
        self.push_all()


@dataclass
class Doing:
    """What a run does."""

    outcome: Outcome = Outcome.OK
    seconds: float = 0.5
    line: str = ""
    leaves: bool = False  # something runs on
    then: Callable[[], None] | None = None  # done as the run ends
    after: float = 0.0  # do `then` so long after the run began instead


@dataclass
class Shim:
    """The process around a run."""

    run: Run
    identity: Identity
    going: bool = False
    step: Target | None = None  # that it has found
    calls: tuple[Target, ...] = ()  # what make is called with for it
    stopped: bool = False  # the stop before a start is done
    ended: Ended | None = None  # the result file


class FakeShims:
    """Every shim, and the app's processes as they really are."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.shims: dict[str, Shim] = {}
        self.targets = {Target(t) for t in ("install", "start", "restart", "stop", "check")}
        self.makefiles: dict[str, set[Target]] = {}  # release → what its own has of these
        self.next: dict[tuple[str, Target], deque[Doing]] = defaultdict(deque)
        self.usual: dict[tuple[str, Target], Doing] = {}
        self.running: dict[str, str] = {}  # app → release it runs; "?": who knows
        self.emptied: set[str] = set()  # whose stop has ended all that ran, however it ended
        self.bare: set[str] = set()  # made by a Makefile that starts no process
        self.log: list[str] = []  # "target app release" of each run that ran something
        self.gone: list[tuple[float, str]] = []  # when which "target app" was let go
        self.slow = SOON  # s until a shim is there

    def living(self, app: str = "") -> Iterator[Shim]:
        """The shims that are there."""
        mine = (s for s in self.shims.values() if s.ended is None)
        return (s for s in mine if not app or s.run.app == app)

    def targets_of(self, release: str) -> set[Target]:
        """What the Makefile of a release has now."""
        return self.targets & self.makefiles.get(short(release), self.targets)

    def ask_make(self, run: Run) -> tuple[Target, ...]:
        """The targets that the Makefile of a run lacks now."""
        has = {str(target) for target in self.targets_of(run.version.release)}
        lacks = tuple(target for target in Target if not makefile.calls(target, has))
        if {Target.START, Target.RESTART} & set(lacks):
            self.bare.add(run.app)
        return lacks

    def begin(self, run: Run) -> None:
        """A shim is started; it says so, and waits."""
        identity = Identity(10_000 + len(self.shims), int(self.play.mono * 100))
        self.shims[run.id] = Shim(run, identity)
        self.play.at_agent(self.play.mono + self.slow, ShimReady(run.app, run.id, identity))

    def go(self, run_id: str) -> None:
        """Let it run."""
        shim = self.shims.get(run_id)
        if shim is None or shim.ended is not None or shim.going:
            return
        shim.going = True
        run = shim.run
        steps = [str(step) for step in run.steps]
        step, calls = makefile.first(steps, {str(t) for t in self.targets_of(run.version.release)})
        there = self.play.share.is_in(run.version.release, run.release_dir)
        if not there and run.target is Target.STOP:
            step, calls = "stop", ("stop",)  # the copy of its Makefile is left
        elif not there:
            self.gone.append((self.play.mono, f"{run.target} {run.app}"))
            moved = Doing(Outcome.MOVED, seconds=SOON)
            self.play.at(self.play.mono + SOON, lambda: self.over(run_id, moved.outcome, moved))
            return
        self.ask_make(run)
        shim.step, shim.calls = Target(step), tuple(map(Target, calls))
        if calls:
            found = StepFound(run.app, run_id, shim.step, shim.calls)
            self.play.at_agent(self.play.mono + SOON, found)
            self.call(shim, shim.calls[0])
        else:
            doing = Doing(Outcome.MISSING, seconds=SOON)
            self.gone.append((self.play.mono, f"{shim.step} {run.app}"))
            self.play.at(self.play.mono + SOON, lambda: self.over(run_id, doing.outcome, doing))

    def call(self, shim: Shim, target: Target) -> None:
        """Make is called for a target."""
        run = shim.run
        self.gone.append((self.play.mono, f"{target} {run.app}"))
        halves = len(shim.calls) > 1
        if halves and target not in self.targets_of(run.version.release):
            self.called(shim, target, Doing())
            return
        script = self.next[run.app, target]
        doing = script.popleft() if script else self.usual.get((run.app, target), Doing())
        if doing.outcome not in (Outcome.MOVED, Outcome.REFUSED, Outcome.BUSY):
            self.log.append(f"{target} {run.app} {run.version.release.split(':')[-1]}")
            if run.layout is Layout.SYMLINK:
                self.log[-1] = f"{target} {run.app} {run.release_dir.rpartition('/')[2]}"
            if target in (Target.START, Target.RESTART, Target.STOP):
                self.bare.discard(run.app)
                self.running[run.app] = "?"
                self.emptied.discard(run.app)
        if doing.after and doing.then is not None:
            self.play.at(self.play.mono + doing.after, doing.then)
        timeout = next(
            (later.timeout for later in run.then if later.target is shim.step), run.timeout
        )
        if doing.seconds > timeout:
            doing = replace(doing, outcome=Outcome.TIMEOUT, seconds=timeout)
        self.play.at(self.play.mono + doing.seconds, lambda: self.called(shim, target, doing))

    def called(self, shim: Shim, target: Target, doing: Doing) -> None:
        """Make has ended; a stop that is half of a restart is followed by the start."""
        if shim.ended is not None or shim.run.id not in self.shims:
            return
        if doing.outcome is Outcome.OK and target is Target.STOP and len(shim.calls) > 1:
            self.running.pop(shim.run.app, None)
            self.emptied.add(shim.run.app)
            shim.stopped = True
            self.call(shim, Target.START)
        else:
            self.over(shim.run.id, doing.outcome, doing)

    def over(self, run_id: str, outcome: Outcome, doing: Doing | None = None) -> None:
        """A run is over; its result is there whether or not an agent is."""
        shim = self.shims.get(run_id)
        if shim is None or shim.ended is not None:
            return
        run = shim.run
        # What a stop leaves is ended by its shim, and where there is no stop, that is all of it.
        ends = outcome in (Outcome.OK, Outcome.MISSING, Outcome.TIMEOUT)
        if ends and shim.step is Target.STOP:
            self.running.pop(run.app, None)
            self.emptied.add(run.app)
        elif outcome is Outcome.OK and shim.step in (Target.START, Target.RESTART):
            self.running[run.app] = run.version.release
        asked = outcome not in (Outcome.MOVED, Outcome.REFUSED, Outcome.BUSY, Outcome.LOST)
        lost = outcome is Outcome.LOST
        shim.ended = Ended(
            run.app,
            run_id,
            outcome,
            line=doing.line if doing is not None else "",
            seconds=0.5,
            lacks=self.ask_make(run) if asked else (),
            leaves=doing is not None and doing.leaves,
            step=None if lost else shim.step,
            stopped=shim.stopped and not lost,
            calls=() if lost else shim.calls,
        )
        self.play.at_agent(self.play.mono + SOON, shim.ended)
        if doing is not None and doing.then is not None and not doing.after:
            doing.then()

    def end(self, run_id: str) -> None:
        """TERM, grace, KILL."""
        shim = self.shims.get(run_id)
        moved_on = shim is not None and shim.step not in (None, shim.run.target)
        if moved_on and shim is not None and shim.step is not Target.INSTALL:
            return  # a begun start or stop always finishes or times out
        if shim is not None and shim.ended is None:
            self.play.at(self.play.mono + 0.1, lambda: self.over(run_id, Outcome.CANCELLED))

    def let_go(self) -> None:
        """The agent is gone: a shim that waits for the go exits, the others run on."""
        for shim in list(self.living()):
            if not shim.going:
                del self.shims[shim.run.id]

    def adopt(self, run: Run) -> None:
        """A new agent finds the run in its records."""
        shim = self.shims.get(run.id)
        if shim is None:
            self.play.feed(Ended(run.app, run.id, Outcome.LOST, line="no result", adopted=True))
        elif shim.ended is not None:
            self.play.feed(shim.ended)
