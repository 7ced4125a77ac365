"""The shims of a machine, what their runs do, and the processes that these leave.

As the real ones they go on without an agent, and end with a result that the next agent finds.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from appagent.core.release import short
from appagent.model.applied import Identity, Run
from appagent.model.events import Ended, ShimReady, StepFound
from appagent.model.words import NOTHING_RAN, Layout, Outcome, Target
from appagent.shim import targets as makefile
from tests.unit.core_world import SOON

if TYPE_CHECKING:
    from tests.unit.core_machine import Machine


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

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
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
        """A shim is started; it reports that it is ready, and waits."""
        identity = Identity(10_000 + len(self.shims), int(self.machine.mono * 100))
        self.shims[run.id] = Shim(run, identity)
        self.machine.at_agent(self.machine.mono + self.slow, ShimReady(run.app, run.id, identity))

    def go(self, run_id: str) -> None:
        """Let it run."""
        shim = self.shims.get(run_id)
        if shim is None or shim.ended is not None or shim.going:
            return
        shim.going = True
        run = shim.run
        steps = [str(step) for step in run.steps]
        step, calls = makefile.first(steps, {str(t) for t in self.targets_of(run.version.release)})
        there = self.machine.share.is_in(run.version.release, run.release_dir)
        if not there and run.target is Target.STOP:
            step, calls = "stop", ("stop",)  # the copy of its Makefile is left
        elif not there:
            self.gone.append((self.machine.mono, f"{run.target} {run.app}"))
            moved = Doing(Outcome.MOVED, seconds=SOON)
            self.machine.at(
                self.machine.mono + SOON, lambda: self.over(run_id, moved.outcome, moved)
            )
            return
        self.ask_make(run)
        shim.step, shim.calls = Target(step), tuple(map(Target, calls))
        if calls:
            self.call(shim, shim.calls[0])
        else:
            doing = Doing(Outcome.MISSING, seconds=SOON)
            self.gone.append((self.machine.mono, f"{shim.step} {run.app}"))
            self.machine.at(
                self.machine.mono + SOON, lambda: self.over(run_id, doing.outcome, doing)
            )

    def call(self, shim: Shim, target: Target) -> None:
        """Make is called for a target."""
        run = shim.run
        self.gone.append((self.machine.mono, f"{target} {run.app}"))
        halves = len(shim.calls) > 1
        if halves and target not in self.targets_of(run.version.release):
            self.called(shim, target, Doing())
            return
        script = self.next[run.app, target]
        doing = script.popleft() if script else self.usual.get((run.app, target), Doing())
        if doing.outcome in NOTHING_RAN:
            shim.calls = ()
        else:
            if shim.step is not None and target is shim.calls[0]:
                found = StepFound(run.app, run.id, shim.step, shim.calls)
                self.machine.at_agent(self.machine.mono + SOON, found)
            self.log.append(f"{target} {run.app} {run.version.release.split(':')[-1]}")
            if run.layout is Layout.SYMLINK:
                self.log[-1] = f"{target} {run.app} {run.release_dir.rpartition('/')[2]}"
            if target in (Target.START, Target.RESTART, Target.STOP):
                self.bare.discard(run.app)
                self.running[run.app] = "?"
                self.emptied.discard(run.app)
        if doing.after and doing.then is not None:
            self.machine.at(self.machine.mono + doing.after, doing.then)
        timeout = next(
            (later.timeout for later in run.then if later.target is shim.step), run.timeout
        )
        if doing.seconds > timeout:
            doing = replace(doing, outcome=Outcome.TIMEOUT, seconds=timeout)
        self.machine.at(self.machine.mono + doing.seconds, lambda: self.called(shim, target, doing))

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
        # The shim ends what a stop has left; without a stop target that is every process.
        ends = outcome in (Outcome.OK, Outcome.MISSING, Outcome.TIMEOUT)
        if ends and shim.step is Target.STOP:
            self.running.pop(run.app, None)
            self.emptied.add(run.app)
        elif outcome is Outcome.OK and shim.step in (Target.START, Target.RESTART):
            self.running[run.app] = run.version.release
        asked = outcome is Outcome.MISSING or outcome not in {*NOTHING_RAN, Outcome.LOST}
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
        self.machine.at_agent(self.machine.mono + SOON, shim.ended)
        if doing is not None and doing.then is not None and not doing.after:
            doing.then()

    def end(self, run_id: str) -> None:
        """TERM, grace, KILL."""
        shim = self.shims.get(run_id)
        moved_on = shim is not None and shim.step not in (None, shim.run.target)
        if moved_on and shim is not None and shim.step is not Target.INSTALL:
            return  # a start or stop that has begun always finishes or times out
        if shim is not None and shim.ended is None:
            self.machine.at(self.machine.mono + 0.1, lambda: self.over(run_id, Outcome.CANCELLED))

    def let_go(self) -> None:
        """The agent is gone: a shim that waits for the go exits, the others run on."""
        for shim in list(self.living()):
            if not shim.going:
                del self.shims[shim.run.id]

    def adopt(self, run: Run) -> None:
        """A new agent finds the run in its records."""
        shim = self.shims.get(run.id)
        if shim is None:
            self.machine.feed(Ended(run.app, run.id, Outcome.LOST, line="no result", adopted=True))
        elif shim.ended is not None:
            self.machine.feed(shim.ended)
