"""A `Play`: one node in a world that a test scripts, with a clock of its own.

A test reads like a story:

    play = Play()
    play.push("web", "r1")
    assert play.rest() == ["install web r1", "start web r1", "check web r1"]

The play is the agent around the core, as the daemon is: it feeds events, carries out commands in
their order, keeps the records, and turns time. While it does so it judges each command by the
rules that must hold whatever the story is (`Rules`).
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from math import inf
from typing import Any

from appagent.core import reduce as core
from appagent.core.settings import settings_for
from appagent.core.state import App, Node
from appagent.core.summary import View, view
from appagent.model.applied import Hold, Record
from appagent.model.commands import (
    Answer,
    AskPermit,
    Begin,
    Command,
    Drop,
    End,
    PollNow,
    Proceed,
    Report,
    Rewatch,
    Save,
    SaveNodeHold,
    SaveRoots,
)
from appagent.model.events import (
    ALONE,
    Cancel,
    Configured,
    Ended,
    Event,
    Forget,
    HoldAsked,
    Permitted,
    ResumeAsked,
    Ticked,
    Trigger,
)
from appagent.model.notices import Notice
from appagent.model.settings import AppSettings, RootSettings, Settings
from appagent.model.words import Layout, Now, Outcome, Target
from appagent.state import codec
from tests.unit.core_rules import Rules
from tests.unit.core_world import SOON, Doing, FakeShare, FakeShims, Files

ROOT = "/files/production"
SECOND = "/files/staging"
WALL = 1_700_000_000.0
MOMENT = 0.001  # s; no change is made at the very moment of a look
HOUR = 3600.0


class Crash(Exception):
    """The agent is killed here."""


class Play:
    """One node, its share, its shims and its clock."""

    def __init__(self, *, roots: Iterable[RootSettings] = (), **changes: Any) -> None:  # noqa: ANN401 - fields of Settings, and of its defaults
        of_defaults = AppSettings.__dataclass_fields__.keys() & changes.keys()
        defaults = AppSettings(**{key: changes.pop(key) for key in of_defaults})
        self.settings = Settings(
            roots=tuple(roots) or (RootSettings(ROOT),), defaults=defaults, **changes
        )
        self.mono = 1000.0
        self.ahead = WALL - self.mono  # of the wall clock
        self.boots = 1
        self.count = itertools.count()
        self.later: list[tuple[float, int, Callable[[], None]]] = []
        self.share = FakeShare(self)
        self.share.roots = {root.path: "" for root in self.settings.roots}
        self.shims = FakeShims(self)
        self.permits = True  # whether a permit that is asked for is given
        self.disk: dict[str, Record] = {}
        self.disk_hold: Hold | None = None
        self.disk_mounted: frozenset[str] = frozenset()
        self.told: list[Notice] = []
        self.commands: list[Command] = []
        self.rules = Rules(self)
        self.crash_in = inf  # commands until the agent is killed
        self.alive = False
        self.start_agent()

    # --- the clock -------------------------------------------------------------------------------

    def now(self) -> Now:
        """The time. A wall clock that adds up small steps would lose them."""
        return Now(self.mono, self.mono + self.ahead)

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Have something happen at a time."""
        heapq.heappush(self.later, (when, next(self.count), what))

    def at_agent(self, when: float, event: Event) -> None:
        """Have the agent hear of something, if it is still the same one then."""
        agent = self.node_number
        self.at(when, lambda: self.feed(event) if agent == self.node_number else None)

    def turn_to(self, when: float) -> None:
        """The clock shows this time."""
        self.mono = max(self.mono, when)

    def next_time(self) -> float:
        """When something is to happen next."""
        wake = core.next_wake(self.node, self.now()) if self.alive else inf
        return min(self.later[0][0] if self.later else inf, wake)

    def happen(self) -> None:
        """Let the next thing happen."""
        if self.later and self.later[0][0] <= self.next_time():
            when, _, what = heapq.heappop(self.later)
            self.turn_to(when)
            what()
        else:
            self.turn_to(self.next_time())
            self.feed(Ticked())

    def after(self, seconds: float) -> list[str]:
        """Let so much time pass; the runs in it."""
        self.until(self.mono + seconds)
        return self.ran()

    def until(self, when: float) -> None:
        """Let time pass until then."""
        while self.next_time() <= when:
            self.happen()
        self.turn_to(when)

    def rest(self, most: float = 2 * HOUR) -> list[str]:
        """Let time pass until nothing is to happen any more; the runs until then."""
        end = self.mono + most
        while self.next_time() < inf:
            assert self.next_time() <= end, f"no rest: {self.shims.log[-10:]}"
            self.happen()
        return self.ran()

    def ran(self) -> list[str]:
        """The runs since this was asked last."""
        done, self.shims.log = self.shims.log, []
        return done

    # --- the agent -------------------------------------------------------------------------------

    node: Node
    node_number = 0

    def start_agent(self, lost: Iterable[str] = ()) -> None:
        """A new agent begins with what is on the disk."""
        self.node_number += 1
        self.turn_to(self.mono + 0.3)
        self.queue: deque[Event] = deque()
        self.feeding = False
        self.node = core.first(
            self.settings,
            f"boot-{self.boots}",
            dict(self.disk),
            lost=lost,
            mounted=self.disk_mounted,
            hold=self.disk_hold,
        )
        self.alive = True
        self.feed(Configured(self.settings))
        for record in list(self.disk.values()):
            if record.run is not None:
                self.shims.adopt(record.run)
        if self.alive:
            self.at(self.mono + SOON, self.share.push_all)

    def crash(self) -> None:
        """The agent is killed."""
        self.alive = False
        self.crash_in = inf
        self.node_number += 1
        self.shims.let_go()

    def restart(self, lost: Iterable[str] = ()) -> None:
        """The agent is killed, and started again."""
        self.crash()
        self.start_agent(lost)

    def reboot(self, down: float = 30.0) -> None:
        """The machine goes down and comes up: no process is left, and the clock begins anew.

        The results of runs that ended are on the disk, as are the records.
        """
        self.crash()
        self.later = []
        self.shims.shims = {id_: s for id_, s in self.shims.shims.items() if s.ended is not None}
        self.shims.running = {}
        self.boots += 1
        self.mono, self.ahead = 50.0, self.now().wall + down - 50.0
        self.start_agent()

    def feed(self, event: Event) -> None:
        """Give the agent an event; carry out what it decides."""
        if not self.alive:
            return
        self.queue.append(event)
        if self.feeding:
            return
        self.feeding = True
        try:
            while self.queue:
                event = self.queue.popleft()
                before, now = self.node, self.now()
                self.node, commands = core.step(before, event, now)
                self.rules.stepped(before, event, now, commands)
                for command in commands:
                    if self.crash_in <= 0:
                        raise Crash  # noqa: TRY301 - where it crashes is the point
                    self.crash_in -= 1
                    self.carry_out(command)
                self.rules.saved()
        except Crash:
            self.crash()
        finally:
            self.feeding = False

    def carry_out(self, command: Command) -> None:  # noqa: C901 - one case for each command
        """Do what the core decided."""
        self.commands.append(command)
        self.rules.judge(command)
        match command:
            case Save(record):
                self.disk[record.app] = codec.parse("r", Record, codec.dump("r", record))
            case Drop(app):
                self.disk.pop(app, None)
            case SaveRoots(mounted):
                self.disk_mounted = mounted
            case SaveNodeHold(hold):
                self.disk_hold = hold
            case AskPermit(app, target, version):
                if self.permits:
                    self.queue.append(Permitted(app, target, version, ALONE))
            case Begin(run):
                self.shims.begin(run)
            case Proceed(_, run_id):
                self.shims.go(run_id)
            case End(_, run_id, _):
                self.shims.end(run_id)
            case Report(notice):
                self.told.append(notice)
            case PollNow(root, app):
                self.at(self.mono + SOON, lambda: self.look_now(root, app))
            case Rewatch():
                self.at(self.mono + SOON, self.look_again)
            case Answer():
                pass

    def look_now(self, root: str, app: str) -> None:
        """The watcher is asked to look."""
        if app:
            self.share.push_app(root, app)
        else:
            self.share.push_root(root)

    def look_again(self) -> None:
        """The watcher has a new list: what it sees in another way now is pushed."""
        for (root, name), files in list(self.share.files.items()):
            signature = f"{self.share.ids(files)[0]} {files.incomplete}"
            if self.share.seen.get((root, name), ("", 0.0))[0] != signature:
                self.share.push_app(root, name)

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
        old = next(
            (f for f in self.share.files.values() if f.name == app and root in ("", f.root)), None
        )
        root = root or (old.root if old else self.settings.roots[0].path)
        layout = layout or (old.layout if old else Layout.SYMLINK)
        own = own if own is not None else old.own if old else {}
        new = Files(root, app, layout, release, own, own_error, incomplete, changing)
        known = (root, app) in self.share.files
        self.share.inodes[self.share.place(new)] += anew
        self.turn_to(self.mono + MOMENT)
        self.share.files[root, app] = new
        if not known and not self.share.empty:
            self.share.push_root(root)
        self.share.push_app(root, app)

    def remove(self, *apps: str, root: str = "") -> None:
        """Apps are removed, all at once."""
        gone = [key for key in self.share.files if key[1] in apps and root in ("", key[0])]
        for key in gone:
            del self.share.files[key]
            self.share.seen.pop(key, None)
        for path in {root for root, _ in gone}:
            self.share.push_root(path)

    def root_trouble(self, why: str, root: str = ROOT) -> None:
        """A root cannot be read any more; or, with "", it can."""
        self.share.roots[root] = why
        self.share.push_root(root)
        for path, name in list(self.share.files):
            if path == root and not why:
                self.share.seen.pop((path, name), None)
                self.share.push_app(path, name)

    def unmount(self) -> None:
        """The share is not mounted: what is there is an empty directory."""
        self.share.empty = True
        for root in self.share.roots:
            self.share.push_root(root)

    def mount(self) -> None:
        """It is mounted again."""
        self.share.empty = False
        self.share.push_all()

    def app_trouble(self, app: str, why: str) -> None:
        """An app cannot be looked at; or, with "", it can."""
        for files in self.share.files.values():
            if files.name == app:
                files.why = why
                self.share.push_app(files.root, app)

    def env(self, path: str, value: str = "", state: str = "present") -> None:
        """An env file has these values; or it is missing, broken or unknown."""
        self.share.envs[path] = (state, value)
        self.share.push_env(path)

    # --- what runs do ----------------------------------------------------------------------------

    def will(self, app: str, target: str, *outcomes: Outcome, **doing: Any) -> None:  # noqa: ANN401 - fields of Doing
        """The next runs of a target end like this."""
        for outcome in outcomes or (Outcome.OK,):
            self.shims.next[app, Target(target)].append(Doing(outcome, **doing))

    def always(self, app: str, target: str, outcome: Outcome = Outcome.OK, **doing: Any) -> None:  # noqa: ANN401 - fields of Doing
        """Every run of a target ends like this."""
        self.shims.next.pop((app, Target(target)), None)
        self.shims.usual[app, Target(target)] = Doing(outcome, **doing)

    def makefile(self, *targets: str) -> None:
        """Every Makefile has just these targets."""
        self.shims.targets = {Target(target) for target in targets}

    def not_started(self, app: str, why: str) -> None:
        """The shim that was to begin could not be started."""
        run = self.app(app).starting
        assert run is not None
        del self.shims.shims[run.id]
        self.feed(Ended(app, run.id, Outcome.FAILED, line=why))

    def permit(self, app: str) -> None:
        """What an app asks for is granted."""
        asked = self.app(app).asking
        assert asked is not None
        self.feed(Permitted(app, *asked, "a lease"))

    def permit_all(self) -> None:
        """Everything that is asked for is granted."""
        for name, app in self.node.apps.items():
            if app.asking is not None:
                self.feed(Permitted(name, *app.asking, "a lease"))

    # --- what people ask -------------------------------------------------------------------------

    def ask(self, event: Event) -> Answer:
        """Ask, and hear the answer."""
        before = len(self.commands)
        self.feed(event)
        answers = [c for c in self.commands[before:] if isinstance(c, Answer)]
        if not self.alive and not answers:
            return Answer(69, "no agent answers")
        assert len(answers) == 1, f"not one answer to {event}"
        return answers[0]

    def trigger(self, app: str, target: str = "") -> int:
        """`appagent trigger APP [TARGET]`; the exit code."""
        self.rules.start_asked |= {app} if target == "start" else set()
        return self.ask(Trigger(app, Target(target) if target else None, "ann")).code

    def cancel(self, app: str) -> int:
        """`appagent cancel APP`."""
        return self.ask(Cancel(app, "ann")).code

    def hold(self, app: str | None = None, seconds: float | None = None) -> int:
        """`appagent hold [APP] --why W [--for S]`."""
        until = None if seconds is None else self.now().wall + seconds
        return self.ask(HoldAsked(app, Hold("a freeze", until, "ann"))).code

    def resume(self, app: str | None = None) -> int:
        """`appagent resume [APP]`."""
        return self.ask(ResumeAsked(app, "ann")).code

    def forget(self, app: str) -> int:
        """`appagent forget APP`."""
        self.rules.start_asked.add(app)
        self.rules.forgotten.add(app)
        return self.ask(Forget(app, "ann")).code

    def configure(self, **changes: Any) -> None:  # noqa: ANN401 - as for Play()
        """Another configuration is in force."""
        of_defaults = AppSettings.__dataclass_fields__.keys() & changes.keys()
        defaults = replace(self.settings.defaults, **{k: changes.pop(k) for k in of_defaults})
        self.settings = replace(self.settings, defaults=defaults, **changes)
        for root in self.settings.roots:
            self.share.roots.setdefault(root.path, "")
        self.feed(Configured(self.settings))

    def times_of(self, target: str, seconds: float, app: str = "web") -> list[float]:
        """Let time pass; when runs of a target were let go in it."""
        start = len(self.shims.gone)
        self.after(seconds)
        word = f"{target} {app}"
        return [at for at, what in self.shims.gone[start:] if what == word]

    # --- what can be seen ------------------------------------------------------------------------

    def app(self, name: str = "web") -> App:
        """An app, as the core has it."""
        return self.node.apps[name]

    def settings_of(self, app: str, own: Mapping[str, object]) -> AppSettings:
        """The settings of an app."""
        return settings_for(self.settings, app, own)

    def view(self, app: str = "web") -> View:
        """What status says of an app."""
        return view(self.node, self.app(app), self.now())

    def word(self, app: str = "web") -> str:
        """What status calls an app."""
        return self.view(app).word

    def last_ended(self) -> Ended:
        """The newest result that a shim left."""
        return [s.ended for s in self.shims.shims.values() if s.ended is not None][-1]

    def notices(self, prefix: str = "", app: str = "") -> list[str]:
        """The kinds of the facts told so far."""
        mine = (f for f in self.told if not app or f.app == app)
        return [f.kind for f in mine if f.kind.startswith(prefix)]

    def text(self, kind: str) -> str:
        """The newest fact of this kind."""
        return next((f.text for f in reversed(self.told) if f.kind == kind), "")


def deployed(release: str = "r1", layout: Layout = Layout.SYMLINK, **changes: Any) -> Play:  # noqa: ANN401 - as for Play()
    """A play in which web runs a release."""
    play = Play(**changes)
    play.push("web", release, layout)
    assert play.rest() == [f"{step} web {release}" for step in ("install", "start", "check")]
    return play
