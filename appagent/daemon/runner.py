"""The runs of one daemon: what the core decided, given to the spawner, and its reports back.

The spawner knows shims and nothing of settings; the core knows what is to run and nothing of
processes. Here the message to the shim is built, from the node as it is when the run begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, Protocol, Unpack

from appagent.core.settings import settings_for
from appagent.core.state import Node
from appagent.model.applied import Run
from appagent.model.events import Alive, Ended, Event, ShimReady
from appagent.model.notices import Fields, NoticeKind
from appagent.run.launch import Places, spec_for
from appagent.run.spawn import Spawner
from appagent.shim import output


class Daemon(Protocol):
    """What the runs need of the agent."""

    node: Node
    secret: bytes

    def feed(self, event: Event) -> None:
        """Take an event."""

    def note(self, kind: NoticeKind, app: str = "", /, **fields: Unpack[Fields]) -> None:
        """Report what happened to the agent."""

    def shim_ready(self, event: ShimReady) -> None:
        """A shim waits for the word to proceed."""

    def ended(self, event: Ended) -> None:
        """A run is over."""

    def not_started(self, run: Run, why: str) -> None:
        """A shim could not be started."""


class Runner:
    """All runs of this daemon, adopted ones too."""

    def __init__(self, daemon: Daemon, places: Places, *, journal: bool) -> None:
        """With `journal`, output goes to the journal, else to a file for each app."""
        self.daemon = daemon
        self.places = places
        self.journal = journal
        self.tasks: set[asyncio.Task[None]] = set()
        self.spawner = Spawner(
            places,
            daemon.ended,
            on_step=daemon.feed,
            boot=daemon.node.boot,
            journal=journal,
        )

    def begin(self, run: Run) -> None:
        """Start the shim of a run; `shim_ready` or `not_started` follows."""
        self._do(self._start(run))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _start(self, run: Run) -> None:
        spec = spec_for(run, self.daemon.node, self.places, self.daemon.secret)
        try:
            identity = await self.spawner.begin(run, spec, self._limits(run.app))
        except OSError as error:
            self.daemon.not_started(run, f"cannot start the run: {error.strerror or error}")
        else:
            self.daemon.shim_ready(ShimReady(run.app, run.id, identity))

    def _limits(self, name: str) -> dict[str, str]:
        app = self.daemon.node.apps.get(name)
        own = app.seen.own if app is not None else {}
        return dict(settings_for(self.daemon.node.settings, name, own).limits)

    def keep_limits(self) -> None:
        """Apply limits that have changed to what runs already."""
        self._do(self._limit_all())

    async def _limit_all(self) -> None:
        """Set the limits of one app after the other; systemd is called only where they differ."""
        for name in list(self.daemon.node.apps):
            if wrong := await self.spawner.limit(name, self._limits(name)):
                self.daemon.note(NoticeKind.CONFIG_WARNING, name, line=wrong)

    def adopt_all(self) -> None:
        """Take over the runs that an earlier agent started."""
        runs = [app.record.run for app in self.daemon.node.apps.values() if app.record.run]
        for run in runs:
            self.spawner.adopt(run)

    def over(self) -> list[str]:
        """The ids of runs that are over and still have files on the disk."""
        runs = [app.run for app in self.daemon.node.apps.values()]
        return self.spawner.over([run.id for run in runs if run is not None])

    def count(self) -> None:
        """Report to the core, of each app that is up, when it has processes again or none any more.

        Counted in the loop, so that no run can begin in between.
        """
        node = self.daemon.node
        for app in list(node.apps.values()):
            if app.run is None and app.record.applied.up == node.boot:
                there = self.spawner.running(app.name)
                count = app.processes.count
                known = count is not None and (count > 0) is there
                if not known or there is not app.record.populated:
                    self.daemon.feed(Alive(app.name, int(there)))

    def usage(self, apps: Collection[str]) -> dict[str, dict[str, float]]:
        """Count and measure the processes of each app, for status. Not for the loop."""
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
        return "" if self.journal else self.places.log(app)

    def trim(self, apps: Collection[str]) -> None:
        """Cut output files that have grown too large. Safe in another thread."""
        for app in apps:
            output.trim(self.places.log(app))
