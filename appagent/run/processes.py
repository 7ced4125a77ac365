"""The processes of an app: all of its slice, or without cgroups what its runs have left.

Each run reports the processes it leaves, as pids with start times; they are in the app's lock
(lockfile.py), and the app's processes are found from there (shim/kill.family). A process that gets
away from its parents and its session later on is not found: that is what scopes are for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from appagent.host import proc
from appagent.run import lockfile, scope
from appagent.run.launch import Paths
from appagent.shim import cgroup, kill

if TYPE_CHECKING:
    from appagent.shim.kill import ProcessIds

MOST_SENT = 1_000  # processes; the message to a shim must fit into a pipe


@dataclass(frozen=True, slots=True)
class Usage:
    """What an app has running, and what that takes."""

    processes: int
    memory: int  # bytes
    cpu: float  # seconds, since its processes (or the slice) began


class AppProcesses:
    """The processes of each app of this node."""

    def __init__(self, paths: Paths, boot: str, *, scopes: bool) -> None:
        """Read slices with `scopes`, else what runs of this boot have left."""
        self.paths = paths
        self.boot = boot
        self.scopes = scopes
        self._remaining: dict[str, ProcessIds] = {}

    def remaining(self, app: str) -> ProcessIds:
        """The processes that runs of the app have left; none where there are slices."""
        if self.scopes:
            return []
        if app not in self._remaining:
            self._remaining[app] = []
            last = lockfile.read(self.paths.lock(app))
            if last is not None and last.identity.boot == self.boot:
                self._remaining[app] += last.processes
                with contextlib.suppress(ValueError, TypeError):
                    self._remaining[app] += lockfile.processes_in(
                        (last.result or {}).get("processes")
                    )
        return self._remaining[app]

    def to_send(self, app: str) -> ProcessIds:
        """The processes of the app for a shim without a scope, if need be only some of them."""
        if not self.scopes:
            return kill.sample(kill.living(self.remaining(app)), MOST_SENT)
        return kill.sample(kill.identify(cgroup.processes(scope.slice_path(app))), MOST_SENT)

    def add(self, app: str, new: object) -> None:
        """Note the processes that a run has left, beside those of the runs before it."""
        if not self.scopes and isinstance(new, list):
            before = kill.living(self.remaining(app))
            self._remaining[app] = before + [one for one in new if one not in before]

    def any(self, app: str, shims: Collection[int]) -> bool:
        """Whether the app has any process beside its shims. Fast enough for the loop."""
        if not self.scopes:
            return bool(kill.living(self.remaining(app)))
        path = scope.slice_path(app)
        return bool(self._pids(app, shims)) if shims else scope.populated(path)

    def usage(self, app: str, shims: Collection[int]) -> Usage:
        """Count and measure what the app has running, beside its shims."""
        pids = self._pids(app, shims)
        if self.scopes:
            path = scope.slice_path(app)
            return Usage(len(pids), scope.memory(path), scope.cpu(path))
        return Usage(len(pids), *_usage(pids))

    def _pids(self, app: str, shims: Collection[int]) -> set[int]:
        if self.scopes:
            return cgroup.processes(scope.slice_path(app)).difference(shims)
        return kill.family(self.remaining(app)).difference(shims)


def of_session(leader: int, started: int) -> set[int]:
    """The living members of the session that a process with this start time has led.

    The kernel never reuses a number that a session still has; but once the session is over another
    one may get it, whose leader then has another start time, and no members older than itself.
    """
    first = proc.process(leader)
    if first is not None and first.started != started:
        return set()
    return {
        one.pid
        for one in proc.processes().values()
        if one.session == leader and one.alive and one.started >= started
    }


def _usage(pids: set[int]) -> tuple[int, float]:
    """The bytes and the seconds of CPU that these processes use."""
    memory, cpu = 0, 0.0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            one = psutil.Process(pid)
            with one.oneshot():
                memory += one.memory_info().rss
                times = one.cpu_times()
                cpu += times.user + times.system
    return memory, cpu
