"""One machine of a scripted world: its clock, disk, watcher and shims, and the agent on it.

The agent is the loop around the core, as the daemon is: it feeds events, carries out commands in
their order, keeps the records, and turns time. While it does so it judges each command by the
rules that must hold whatever the story is (`Rules`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from math import inf

from appagent.core import reduce as core
from appagent.core.settings import settings_for
from appagent.core.state import Node
from appagent.daemon.permits import LocalPermits
from appagent.model import codec, commands
from appagent.model.applied import Hold, Record
from appagent.model.events import Configured, PermitGranted, Ticked
from appagent.model.notices import Notice
from appagent.model.permit import Permit
from appagent.model.settings import AppSettings, Settings
from appagent.model.words import Event, Target, Version
from tests.unit.core_rules import Rules
from tests.unit.core_shims import FakeShims
from tests.unit.core_watcher import FakeWatcher
from tests.unit.core_world import SOON, Clock, World


class Crash(Exception):
    """The agent is killed here."""


class Machine(Clock):
    """One machine in a world, with its agent running."""

    node: Node

    def __init__(self, settings: Settings, world: World) -> None:
        super().__init__()
        self.ahead = world.now().wall - self.mono
        self.settings = settings
        self.world = world
        self.share = world.share
        self.boots = 1
        self.agents = 0  # that were started so far
        self.watcher = FakeWatcher(self)
        self.shims = FakeShims(self)
        self.permits = True  # whether a permit that is asked for is given
        self.disk: dict[str, Record] = {}
        self.disk_hold: Hold | None = None
        self.disk_mounted: frozenset[str] = frozenset()
        self.reported: list[Notice] = []
        self.commands: list[commands.Command] = []
        self.rules = Rules(self)
        self.crash_in = inf  # commands until the agent is killed
        self.alive = False
        world.machines.append(self)
        self.start_agent()

    # --- time ------------------------------------------------------------------------------------

    def at_agent(self, when: float, event: Event) -> None:
        """Have the agent learn of something, if it is still the same one then."""
        agent = self.agents
        self.at(when, lambda: self.feed(event) if agent == self.agents else None)

    def next_time(self) -> float:
        """When something is to happen next here: an event, or the agent's wake."""
        wake = core.next_wake(self.node, self.now()) if self.alive else inf
        return min(super().next_time(), wake)

    def next_happens(self) -> None:
        """Let the next thing happen here."""
        when = self.next_time()
        if super().next_time() <= when:
            super().next_happens()
        else:
            self.turn_to(when)
            self.feed(Ticked())

    # --- the agent -------------------------------------------------------------------------------

    def start_agent(self, lost: Iterable[str] = ()) -> None:
        """A new agent begins with what is on the disk."""
        self.agents += 1
        self.world.turn(0.3)
        self.queue: deque[Event] = deque()
        self.feeding = False
        self.giver = LocalPermits()
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
            self.at(self.mono + SOON, self.watcher.push_all)

    def crash(self) -> None:
        """The agent is killed."""
        self.alive = False
        self.crash_in = inf
        self.agents += 1
        self.shims.let_go()

    def restart(self, lost: Iterable[str] = ()) -> None:
        """The agent is killed, and started again."""
        self.crash()
        self.start_agent(lost)

    def reboot(self, down: float = 30.0) -> None:
        """The machine goes down and comes up: no process is left, and its clock begins anew.

        The results of runs that ended are on the disk, as are the records.
        """
        self.crash()
        self.later = []
        self.shims.shims = {id_: s for id_, s in self.shims.shims.items() if s.ended is not None}
        self.shims.running = {}
        self.boots += 1
        up = self.now().wall + down
        self.world.after(down)
        self.later = []  # what the share did meanwhile is seen after the boot
        self.mono, self.ahead = 50.0, up - 50.0
        self.start_agent()

    def grant(self, app: str, step: Target, version: Version, until: float = inf) -> None:
        """Others permit a step, whether it was asked for or not."""
        permit = Permit(step, version, "a lease", until)
        self.giver.held.add((app, permit))
        self.feed(PermitGranted(app, permit))

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
                self.node, decided = core.step(before, event, now)
                self.rules.stepped(before, event, now, decided)
                for command in decided:
                    if self.crash_in <= 0:
                        raise Crash  # noqa: TRY301 - where it crashes is the point
                    self.crash_in -= 1
                    self.carry_out(command)
                self.rules.saved()
        except Crash:
            self.crash()
        finally:
            self.feeding = False

    def carry_out(self, command: commands.Command) -> None:  # noqa: C901, PLR0912 - one case for each command
        """Do what the core decided."""
        self.commands.append(command)
        self.rules.judge(command)
        match command:
            case commands.Save(record):
                self.disk[record.app] = codec.parse("r", Record, codec.dump("r", record))
            case commands.Drop(app):
                self.disk.pop(app, None)
            case commands.SaveRoots(mounted):
                self.disk_mounted = mounted
            case commands.SaveNodeHold(hold):
                self.disk_hold = hold
            case commands.AskPermit():
                if self.permits:
                    self.queue.append(self.giver.ask(command))
            case commands.ReturnPermit(app, permit):
                assert (app, permit) in self.giver.held, f"{app}: gives back what it has not got"
                self.giver.give_back(app, permit)
            case commands.Begin(run):
                self.shims.begin(run)
            case commands.Proceed(_, run_id):
                self.shims.go(run_id)
            case commands.End(_, run_id, _):
                self.shims.end(run_id)
            case commands.Report(notice):
                self.reported.append(notice)
            case commands.PollNow(root, app):
                self.at(self.mono + SOON, lambda: self.watcher.recheck(root, app))
            case commands.Rewatch():
                self.at(self.mono + SOON, self.watcher.rewatch)
            case commands.Answer():
                pass

    def settings_of(self, app: str, own: Mapping[str, object]) -> AppSettings:
        """The settings of an app."""
        return settings_for(self.settings, app, own)
