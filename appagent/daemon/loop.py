"""The daemon: wires the parts to the core, in one loop.

Theory of operation. Everything that happens becomes an event; `feed` gives it to `core.step` and
carries out the commands in their order. That is the only place where the node changes, and there
is no await in it, so a decision is never interleaved with another. Tasks around it only turn I/O
into events: the watchers' looks, the end of a run, a person's request, a timer.

The daemon touches the local disk, /proc, sockets and its children. It never touches a share and
never asks a name service, because both may hang: the watchers and the shims do that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.trsock import TransportSocket
from collections import deque
from collections.abc import Iterable
from typing import Unpack

from appagent import __version__, config
from appagent.core import reduce as core
from appagent.daemon import hangup
from appagent.daemon.api import Verbs
from appagent.daemon.cleanup import GoneApps
from appagent.daemon.control import Control
from appagent.daemon.permits import LocalPermits
from appagent.daemon.recovery import recover
from appagent.daemon.reload import reload
from appagent.daemon.runner import Runner
from appagent.daemon.shutdown import stop_apps
from appagent.daemon.unreported import Unreported, safe
from appagent.daemon.watchers import Watchers
from appagent.host import boot, clock
from appagent.model.applied import Run
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
    ReturnPermit,
    Rewatch,
    Save,
    SaveNodeHold,
    SaveRoots,
)
from appagent.model.events import (
    Configured,
    Ended,
    Event,
    ShimReady,
    Stopping,
    Ticked,
)
from appagent.model.exit_codes import INTERNAL_ERROR, LATER, SOFTWARE
from appagent.model.notices import Fields, Level, Notice, NoticeKind, Reporter, notice
from appagent.model.settings import Settings
from appagent.model.words import Now, Outcome
from appagent.report.history import History
from appagent.report.log import Log
from appagent.report.sd_notify import Service
from appagent.report.sinks import JournalOutput
from appagent.report.status import status_line
from appagent.run import lockfile
from appagent.run.launch import Places
from appagent.shim.failpoint import hit
from appagent.state.store import Store

HOUSEKEEPING = 60.0  # s
COUNT = 3.0  # s between two looks at which apps have processes
NEVER_LESS = 0.02  # s between two ticks, however often time matters


class Agent:
    """One daemon on one app server."""

    def __init__(self, loaded: config.Loaded, path: str | None, store: Store, log: Log) -> None:
        """Put the parts together; nothing runs yet."""
        self.settings: Settings = loaded.settings
        self.config_path = path
        self.config_files = loaded.files
        self.config_refused = ""
        self.store, self.log = store, log
        self.service = Service()
        self.since = clock.now()
        found = store.load()
        this_boot = boot.boot()
        self.places = places = Places(self.settings.state_dir, self.settings.runtime_dir)
        recovered = recover(places, this_boot, found.records, found.lost)
        self.node = core.first(
            self.settings,
            this_boot,
            found.records,
            lost=recovered.may_run,
            unrecorded=recovered.runs,
            mounted=found.mounted,
            hold=found.hold,
        )
        self.secret = found.secret
        self.first_notices = [*found.notices, *recovered.notices]
        self.history = History(self.settings.state_dir, log.report)
        self.reporters: list[Reporter] = [log, self.history]
        self.unreported = Unreported(places, self.history)
        self.watchers = Watchers(self)
        self.permits = LocalPermits()
        self.runner = Runner(self, places, journal=isinstance(log.output, JournalOutput))
        self.control = Control(
            f"{self.settings.runtime_dir}/control.sock", Verbs(self).table(), log.fault
        )
        self.events: deque[Event] = deque()
        self.feeding = False
        self.answer = Answer(SOFTWARE, "the core gave no answer")
        self.timer: asyncio.TimerHandle | None = None
        self.changed = asyncio.Event()
        self.over = asyncio.Event()
        self.code = 0
        self.gone = GoneApps(self.watchers.manifests, places.logs)

    # --- the one way in --------------------------------------------------------------------------

    def now(self) -> Now:
        """The time."""
        return clock.now()

    def feed(self, event: Event) -> None:
        """Give an event to the core and carry out what it decides. Never interleaved."""
        self.events.append(event)
        if self.feeding:
            return
        self.feeding = True
        try:
            while self.events:
                self.node, commands = core.step(self.node, self.events.popleft(), self.now())
                for command in commands:
                    self.carry_out(command)
        except Exception:
            self.fault("the core or a command failed")
            raise
        finally:
            self.feeding = False
        self.arm()
        self.changed.set()
        self.changed = asyncio.Event()

    def fault(self, text: str, error: BaseException | None = None) -> None:
        """A fault of ours: say all of it in the log and end; the apps and their runs go on."""
        self.log.fault(f"{INTERNAL_ERROR}: {text}; the agent ends and is started again", error)
        self.code = SOFTWARE
        self.over.set()

    def ask(self, event: Event) -> Answer:
        """Feed a person's request; the core's answer to it."""
        self.answer = Answer(SOFTWARE, "the core gave no answer")
        self.feed(event)
        return self.answer

    async def change(self, most: float) -> None:
        """Wait until something changed, at most `most` seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.changed.wait(), most)

    def arm(self) -> None:
        """Wake up when time alone may matter."""
        if self.timer is not None:
            self.timer.cancel()
        now = self.now()
        wait = core.next_wake(self.node, now) - now.mono
        self.timer = None
        if wait != float("inf") and not self.over.is_set():
            loop = asyncio.get_running_loop()
            self.timer = loop.call_later(max(NEVER_LESS, wait), self.feed, Ticked())

    # --- the ways out ----------------------------------------------------------------------------

    def carry_out(self, command: Command) -> None:  # noqa: C901 - one case for each command
        """Do one thing that the core decided. What it leads to comes back as an event."""
        match command:
            case Save(record):
                self.report(self.store.save(record))
                self.hit("saved", record.app)
            case Drop(app):
                self.report(self.store.drop(app))
                lockfile.remove(self.places.lock(app))
                self.gone.drop(app)
                self.watchers.own.drop(app)
            case SaveRoots(mounted):
                self.report(self.store.save_roots(mounted))
            case SaveNodeHold(hold):
                self.report(self.store.save_node_hold(hold))
            case AskPermit():
                self.events.append(self.permits.ask(command))
            case ReturnPermit(app, permit):
                self.permits.give_back(app, permit)
            case Begin(run):
                self.runner.begin(run)
            case Proceed(app, run_id):
                self.runner.spawner.proceed(run_id)
                self.hit("went", app)
            case End(_, run_id, why):
                self.runner.spawner.end(run_id, why)
            case Report():
                self.report([command.notice])
            case PollNow(root, app):
                self.watchers.poll_now(root, app)
            case Rewatch():
                self.watchers.rewatch_soon()
            case Answer():
                self.answer = command

    def report(self, notices: Iterable[Notice]) -> None:
        """Give notices to all reporters."""
        for each in notices:
            for reporter in self.reporters:
                reporter.report(each)

    def note(self, kind: NoticeKind, app: str = "", /, **fields: Unpack[Fields]) -> None:
        """Report what happened to the agent."""
        self.report([notice(kind, self.now(), app, **fields)])

    # --- what the parts hand in ------------------------------------------------------------------

    def ended(self, event: Ended) -> None:
        """A run is over. What it printed is kept and shown, so it is made safe here."""
        self.hit("ended", event.app)
        self.feed(safe(event))

    def shim_ready(self, event: ShimReady) -> None:
        """A shim waits for the word to proceed."""
        self.hit("began", event.app)
        self.feed(event)

    def hit(self, what: str, name: str) -> None:
        """Pass a failpoint of an app's run, e.g. `agent.ended.install`; for the tests alone."""
        app = self.node.apps.get(name)
        if app is not None and app.run is not None:
            hit(f"agent.{what}.{app.run.target}")

    def not_started(self, run: Run, why: str) -> None:
        """A shim could not be started."""
        self.feed(Ended(run.app, run.id, Outcome.FAILED, line=why))

    # --- life ------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Run until told to end; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.over.set)
        loop.set_exception_handler(self.on_exception)
        self.report(self.first_notices)
        try:
            await self.control.open()
        except OSError as error:
            self.note(
                NoticeKind.AGENT_FAILED, path=str(self.control.path), error=str(error.strerror)
            )
            return LATER
        self.feed(Configured(self.settings))
        self.unreported.report(self.runner.over())
        self.runner.adopt_all()
        self.runner.keep_limits()
        self.note(
            NoticeKind.AGENT_READY,
            version=__version__,
            pid=os.getpid(),
            roots=len(self.settings.roots),
            apps=len(self.node.apps),
        )
        self.service.ready()
        loop.add_signal_handler(signal.SIGHUP, reload, self)
        if hangup.came():
            reload(self)
        chores = (self.beat(), self.keep_house(), self.count())
        tasks = [loop.create_task(chore) for chore in chores]
        await self.over.wait()
        await self.wind_up(tasks)
        return self.code

    async def wind_up(self, tasks: list[asyncio.Task[None]]) -> None:
        """End without touching an app or a run, and without waiting for a share."""
        self.service.stopping()
        await stop_apps(self)
        self.feed(Stopping())
        self.note(NoticeKind.AGENT_STOPPING)
        if self.timer is not None:
            self.timer.cancel()
        for task in tasks:
            task.cancel()
        await self.control.close()
        await self.watchers.close()
        self.runner.spawner.release()
        self.history.close()
        self.store.close()
        self.log.close()

    def on_exception(self, _: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """An exception that nobody took: it is a fault of ours, and it must not be silent."""
        error = context.get("exception")
        if isinstance(error, OSError) and isinstance(context.get("socket"), TransportSocket):
            # No client can be taken for want of descriptors; the loop tries again after a second.
            self.log.write(Level.ERROR, f"{context.get('message')}: {error.strerror}")
        elif isinstance(error, BaseException):
            self.fault(str(context.get("message", "an exception that nobody took")), error)
        else:
            self.log.write(Level.ERROR, str(context.get("message", "the loop complains")))

    async def beat(self) -> None:
        """Tell the service manager that the loop turns, and how things are."""
        interval = min(self.service.watchdog_interval or 5.0, 5.0)
        while True:
            self.service.alive()
            self.service.status(status_line(self.node))
            self.watchers.check_mounts()
            await asyncio.sleep(interval)

    async def count(self) -> None:
        """See now and then whether the apps still have processes."""
        while True:
            await asyncio.sleep(COUNT)
            self.runner.count()

    async def keep_house(self) -> None:
        """What is to be done now and then: output files, scans, what could not be written."""
        while True:
            await asyncio.to_thread(self.gone.sweep, tuple(self.node.apps), self.now().wall)
            await self.unreported.sweep(self.runner.over(), self.store.unwritten)
            await asyncio.sleep(HOUSEKEEPING)
            self.report(self.store.flush())
            await asyncio.to_thread(self.runner.trim, tuple(self.node.apps))
            self.watchers.prune(self.node)
