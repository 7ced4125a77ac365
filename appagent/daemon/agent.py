"""The agent: the parts of one daemon, what they do for the core, and its life.

It touches the local disk, /proc, sockets and its children. It never touches a share and never asks
a name service, because both may hang: the watchers and the shims do that.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.trsock import TransportSocket

from appagent import __version__, config
from appagent.core import reduce as core
from appagent.daemon.api import Verbs
from appagent.daemon.cleanup import RemovedApps
from appagent.daemon.control import Control
from appagent.daemon.loop import Loop
from appagent.daemon.permits import LocalPermits
from appagent.daemon.recovery import recover
from appagent.daemon.reload import Configuration
from appagent.daemon.runner import Runner
from appagent.daemon.shutdown import stop_apps
from appagent.daemon.unreported import Unreported
from appagent.daemon.watchers import Watchers
from appagent.host import boot
from appagent.model import commands
from appagent.model.events import Configured, Stopping
from appagent.model.exit_codes import LATER
from appagent.model.notices import Level, NoticeKind
from appagent.report.history import History
from appagent.report.log import Log
from appagent.report.sd_notify import Service
from appagent.report.sinks import JournalOutput
from appagent.report.status import status_line
from appagent.run import lockfile
from appagent.run.launch import Paths
from appagent.state.store import Store

HOUSEKEEPING = 60.0  # s
COUNT = 3.0  # s between two counts of the apps' processes
HEARTBEAT = 5.0  # s at most between two


class Agent:
    """One daemon on one app server."""

    def __init__(self, loaded: config.Loaded, path: str | None, store: Store, log: Log) -> None:
        """Put the parts together; nothing runs yet."""
        settings, this_boot = loaded.settings, boot.boot()
        self.store, self.log = store, log
        self.paths = Paths(settings.state_dir, settings.runtime_dir)
        stored = store.load()
        recovered = recover(self.paths, this_boot, stored.records, stored.lost)
        self.first_notices = [*stored.notices, *recovered.notices]
        node = core.first(
            settings,
            this_boot,
            stored.records,
            lost=recovered.may_run,
            unrecorded=recovered.runs,
            mounted=stored.mounted,
            hold=stored.hold,
        )
        self.loop = Loop(node, stored.secret, log, self.carry_out)
        self.service = Service()
        self.history = History(settings.state_dir, log.report)
        self.loop.reporters.append(self.history)
        self.unreported = Unreported(self.paths, self.history)
        self.watchers = Watchers(self.loop)
        self.permits = LocalPermits()
        journal = isinstance(log.output, JournalOutput)
        self.runner = Runner(self.loop, self.paths, journal=journal)
        self.cleanup = RemovedApps(self.watchers.manifests, self.paths.logs)
        self.configuration = Configuration(
            self.loop, loaded, path, self.service, self.runner.keep_limits
        )
        verbs = Verbs(
            self.loop, self.configuration, self.watchers, self.runner, self.history, store
        )
        self.control = Control(f"{settings.runtime_dir}/control.sock", verbs.table(), log.fault)

    # --- what the core decides -------------------------------------------------------------------

    def carry_out(self, command: commands.Command) -> None:
        """Do one thing that the core decided. What it leads to comes back as an event."""
        match command:
            case commands.Save(record):
                self.loop.report(self.store.save(record))
                self.loop.hit("saved", record.app)
            case commands.Drop(app):
                self.loop.report(self.store.drop(app))
                lockfile.remove(self.paths.lock(app))
                self.cleanup.drop(app)
            case commands.SaveRoots(mounted):
                self.loop.report(self.store.save_roots(mounted))
            case commands.SaveNodeHold(hold):
                self.loop.report(self.store.save_node_hold(hold))
            case commands.AskPermit():
                self.loop.feed(self.permits.ask(command))
            case commands.ReturnPermit(app, permit):
                self.permits.give_back(app, permit)
            case commands.Begin(run):
                self.runner.begin(run)
            case commands.Proceed(app, run_id):
                self.runner.spawner.proceed(run_id)
                self.loop.hit("went", app)
            case commands.End(_, run_id, why):
                self.runner.spawner.end(run_id, why)
            case commands.Report():
                self.loop.report([command.notice])
            case commands.PollNow(root, app):
                self.watchers.poll_now(root, app)
            case commands.Rewatch():
                self.watchers.rewatch_soon()

    # --- life ------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Run until a signal or an internal error ends it; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.loop.end.set)
        loop.set_exception_handler(self.on_exception)
        self.loop.report(self.first_notices)
        try:
            await self.control.open()
        except OSError as error:
            path = str(self.control.path)
            self.loop.note(NoticeKind.AGENT_FAILED, path=path, error=str(error.strerror))
            return LATER
        settings = self.configuration.settings
        self.loop.feed(Configured(settings))
        self.unreported.report(self.runner.over())
        self.runner.adopt_all()
        self.runner.keep_limits()
        self.loop.note(
            NoticeKind.AGENT_READY,
            version=__version__,
            pid=os.getpid(),
            roots=len(settings.roots),
            apps=len(self.loop.node.apps),
        )
        self.service.ready()
        loop.add_signal_handler(signal.SIGHUP, self.configuration.reload)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP,))  # blocked by cli.py
        chores = (self.beat(), self.keep_house(), self.count())
        tasks = [loop.create_task(chore) for chore in chores]
        await self.loop.end.wait()
        await self.wind_up(tasks)
        return self.loop.code

    async def wind_up(self, tasks: list[asyncio.Task[None]]) -> None:
        """End without touching an app or a run, and without waiting for a share."""
        self.service.stopping()
        await stop_apps(self.loop, self.runner.spawner.without_scopes, self.service.extend)
        self.loop.feed(Stopping())
        self.loop.note(NoticeKind.AGENT_STOPPING)
        self.loop.close()
        for task in tasks:
            task.cancel()
        await self.control.close()
        await self.watchers.close()
        self.runner.spawner.release()
        self.history.close()
        self.store.close()
        self.log.close()

    def on_exception(self, _: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Take an exception that no task has caught: an internal error, or no descriptors left."""
        error, text = context.get("exception"), str(context.get("message", "unknown error"))
        if isinstance(error, OSError) and isinstance(context.get("socket"), TransportSocket):
            # No client can be accepted for want of descriptors; asyncio retries after a second.
            self.log.write(Level.ERROR, f"{text}: {error.strerror}")
        elif isinstance(error, BaseException):
            self.loop.fail(text, error)
        else:
            self.log.write(Level.ERROR, text)

    async def beat(self) -> None:
        """Notify the service manager that the loop turns, and how the apps are."""
        interval = min(self.service.watchdog_interval or HEARTBEAT, HEARTBEAT)
        while True:
            self.service.alive()
            self.service.status(status_line(self.loop.node))
            self.watchers.check_mounts()
            await asyncio.sleep(interval)

    async def count(self) -> None:
        """Count the apps' processes now and then."""
        while True:
            await asyncio.sleep(COUNT)
            self.runner.count()

    async def keep_house(self) -> None:
        """Sweep, trim and write again what could not be written, once a minute."""
        while True:
            apps = tuple(self.loop.node.apps)
            await asyncio.to_thread(self.cleanup.sweep, apps, self.loop.now().wall)
            await self.unreported.sweep(self.runner.over(), self.store.unwritten)
            await asyncio.sleep(HOUSEKEEPING)
            self.loop.report(self.store.flush())
            await asyncio.to_thread(self.runner.trim, tuple(self.loop.node.apps))
            self.watchers.prune(self.loop.node)
