"""The runs of one daemon: what the core decided, given to the spawner, and its reports back.

The spawner knows shims and nothing of settings; the core knows what is to run and nothing of
processes. Here the message to the shim is built, from the node as it is when the run begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any

from appagent.core.settings import settings_for
from appagent.daemon.loop import Loop
from appagent.daemon.unreported import safe
from appagent.model.applied import Run
from appagent.model.events import Alive, Ended, ShimReady
from appagent.model.notices import NoticeKind
from appagent.model.words import Outcome
from appagent.run.launch import Paths, spec_for
from appagent.run.spawn import Spawner
from appagent.shim import output


class Runner:
    """All runs of this daemon, adopted ones too."""

    def __init__(self, loop: Loop, paths: Paths, *, journal: bool) -> None:
        """With `journal`, output goes to the journal, else to a file for each app."""
        self.loop = loop
        self.paths = paths
        self.journal = journal
        self.tasks: set[asyncio.Task[None]] = set()
        self.spawner = Spawner(
            paths, self._ended, on_step=loop.feed, boot=loop.node.boot, journal=journal
        )

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def begin(self, run: Run) -> None:
        """Start the shim of a run; ShimReady or Ended follows."""
        self._do(self._begin(run))

    async def _begin(self, run: Run) -> None:
        spec = spec_for(run, self.loop.node, self.paths, self.loop.secret)
        try:
            identity = await self.spawner.begin(run, spec, self._limits(run.app))
        except OSError as error:
            why = f"cannot start the run: {error.strerror or error}"
            self.loop.feed(Ended(run.app, run.id, Outcome.FAILED, line=why))
        else:
            self.loop.hit("began", run.app)
            self.loop.feed(ShimReady(run.app, run.id, identity))

    def _ended(self, event: Ended) -> None:
        """Pass on the end of a run. What it printed is kept and shown, so it is made safe here."""
        self.loop.hit("ended", event.app)
        self.loop.feed(safe(event))

    def _limits(self, name: str) -> dict[str, str]:
        app = self.loop.node.apps.get(name)
        own = app.seen.own if app is not None else {}
        return dict(settings_for(self.loop.node.settings, name, own).limits)

    def keep_limits(self) -> None:
        """Apply limits that have changed to what runs already."""
        self._do(self._limit_all())

    async def _limit_all(self) -> None:
        """Set the limits of one app after the other; systemd is called only where they differ."""
        for name in list(self.loop.node.apps):
            if wrong := await self.spawner.limit(name, self._limits(name)):
                self.loop.note(NoticeKind.CONFIG_WARNING, name, line=wrong)

    def adopt_all(self) -> None:
        """Take over the runs that an earlier agent started."""
        runs = [app.record.run for app in self.loop.node.apps.values() if app.record.run]
        for run in runs:
            self.spawner.adopt(run)

    def over(self) -> list[str]:
        """The ids of runs that are over and still have files on the disk."""
        runs = [app.run for app in self.loop.node.apps.values()]
        return self.spawner.over([run.id for run in runs if run is not None])

    def count(self) -> None:
        """Report to the core, of each app that is up, when it has processes again or none any more.

        Counted in the loop, so that no run can begin in between.
        """
        node = self.loop.node
        for app in list(node.apps.values()):
            if app.run is None and app.record.applied.up == node.boot:
                there = self.spawner.running(app.name)
                count = app.processes.count
                known = count is not None and (count > 0) is there
                if not known or there is not app.record.populated:
                    self.loop.feed(Alive(app.name, int(there)))

    def usage(self, apps: Collection[str]) -> dict[str, dict[str, float]]:
        """Count and measure the processes of each app, for status. Not for the loop."""
        uses = {app: self.spawner.usage(app) for app in apps}
        return {
            app: {"processes": use.processes, "memory": use.memory, "cpu_s": round(use.cpu, 2)}
            for app, use in uses.items()
        }

    def log_file(self, app: str) -> str:
        """The file that holds an app's output, or "" where the journal does."""
        return "" if self.journal else self.paths.log(app)

    def trim(self, apps: Collection[str]) -> None:
        """Cut output files that have grown too large. Safe in another thread."""
        for app in apps:
            output.trim(self.paths.log(app))
