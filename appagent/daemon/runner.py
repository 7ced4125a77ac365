"""The runs of one daemon: what the core decided, given to the spawner, and its words back.

The spawner knows shims and nothing of settings; the core knows what is to run and nothing of
processes. Here an order is made from the node as it is when the run begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, Protocol

from appagent.core.settings import settings_for
from appagent.core.state import Node
from appagent.daemon.recovery import written
from appagent.model.applied import Identity, Run
from appagent.model.events import Alive, Ended, Event, ShimReady
from appagent.model.notices import Level
from appagent.model.settings import RootSettings
from appagent.run.launch import Order, Places, order_for
from appagent.run.spawn import Spawner


class Daemon(Protocol):
    """What the runs need of the agent."""

    node: Node
    secret: bytes

    def feed(self, event: Event) -> None:
        """Take an event."""

    def say(self, kind: str, text: str, level: Level = Level.INFO) -> None:
        """Report a fact about the agent."""

    def began(self, event: ShimReady) -> None:
        """A shim waits for its go."""

    def ended(self, event: Ended) -> None:
        """A run is over."""

    def not_started(self, run: Run, why: str) -> None:
        """A shim could not be started."""


class Running:
    """All runs of this daemon, adopted ones too."""

    def __init__(self, daemon: Daemon, *, journal: bool) -> None:
        """With `journal`, output goes to the journal, else to a file for each app."""
        self.daemon = daemon
        self.journal = journal
        self.tasks: set[asyncio.Task[None]] = set()
        settings = daemon.node.settings
        self.spawner = Spawner(
            Places(settings.state_dir, settings.runtime_dir),
            daemon.ended,
            on_step=daemon.feed,
            boot=daemon.node.boot,
            journal=journal,
        )

    def begin(self, run: Run) -> None:
        """Start the shim of a run; `began` or `not_started` follows."""
        self.do(self.start(run))

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done beside the loop's other work."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def start(self, run: Run) -> None:
        """Start the shim and tell who it is."""
        try:
            identity: Identity = await self.spawner.begin(run, self.order(run))
        except OSError as error:
            self.daemon.not_started(run, f"the run cannot be started: {error.strerror or error}")
        else:
            self.daemon.began(ShimReady(run.app, run.id, identity))

    def order(self, run: Run) -> Order:
        """What the shim must know, from the node as it is now."""
        node = self.daemon.node
        app = node.apps.get(run.app)
        root = node.root_settings(run.root) or RootSettings(path=run.root)
        look = app.seen.latest if app is not None else None
        state = node.roots.get(run.root)
        seen = look is not None and look.known and look.release == run.version.release
        mounted = state is not None and state.seen is not None and state.seen.mounted
        return order_for(
            run,
            root=root,
            app=settings_for(node.settings, run.app, app.seen.own if app is not None else {}),
            environment=node.settings.environment,
            node=node.settings.node,
            secret=self.daemon.secret,
            seen=seen,
            fstype=state.seen.fstype if mounted and state is not None and state.seen else "",
            account=written(run),
        )

    def keep_limits(self) -> None:
        """Have what runs already keep to limits that have changed, without a run."""
        self.do(self.limit_all())

    async def limit_all(self) -> None:
        """Set the limits of one app after the other; systemd is asked only where they differ."""
        for app in list(self.daemon.node.apps.values()):
            limits = self.daemon.node.settings_of(app).limits
            if wrong := await self.spawner.limit(app.name, limits):
                self.daemon.say("config.warning", f"{app.name}: {wrong}", Level.WARNING)

    def without_scopes(self) -> None:
        """The machine goes down: no run gets a scope any more."""
        self.spawner.without_scopes()

    def go(self, run_id: str) -> None:
        """Its identity is recorded."""
        self.spawner.go(run_id)

    def end(self, run_id: str, why: str) -> None:
        """End a run: TERM, grace, KILL."""
        self.spawner.end(run_id, why)

    def adopt_all(self) -> None:
        """Take over the runs that an earlier agent left."""
        runs = [app.record.run for app in self.daemon.node.apps.values() if app.record.run]
        for run in runs:
            self.spawner.adopt(run)

    def over(self) -> list[str]:
        """Name the runs that are over and have left something on the disk."""
        runs = [app.run for app in self.daemon.node.apps.values()]
        return self.spawner.over([run.id for run in runs if run is not None])

    def count(self) -> None:
        """Tell the core of each app that is up whether it has processes, where that is news.

        Read in the loop, so that no run can begin between the look and the word.
        """
        node = self.daemon.node
        for app in list(node.apps.values()):
            if app.run is None and app.record.applied.up == node.boot:
                there = self.spawner.running(app.name)
                known = app.processes.count is not None and (app.processes.count > 0) is there
                if not known or there is not app.record.populated:
                    self.daemon.feed(Alive(app.name, int(there)))

    def usage(self, apps: Collection[str]) -> dict[str, dict[str, float]]:
        """What each app has running, and what that takes. Not for the loop."""
        found = {}
        for app in apps:
            use = self.spawner.usage(app)
            found[app] = {
                "processes": use.processes,
                "memory": use.memory,
                "cpu_s": round(use.cpu, 2),
            }
        return found

    def log_file(self, app: str) -> str:
        """The file that holds an app's output, or "" where the journal does."""
        return self.spawner.log_file(app)

    def trim(self, apps: Collection[str]) -> None:
        """Cut output files that what runs on has made too large."""
        self.spawner.trim(apps)

    def release(self) -> None:
        """The daemon ends: every run goes on."""
        self.spawner.release()
