"""What an app has running: all of its slice, or what its runs have left where there is none."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from appagent.run import processes, scope
from appagent.run.launch import Places
from appagent.shim import cgroup, kill

MOST_MARKS = 1000  # what a shim is told must fit into a pipe


@dataclass(frozen=True, slots=True)
class Usage:
    """What an app has running, and what that takes."""

    processes: int
    memory: int  # bytes
    cpu: float  # seconds, since its processes (or the slice) began


class AppProcesses:
    """The processes of each app of this node."""

    def __init__(self, places: Places, boot: str, *, scopes: bool) -> None:
        """Look into slices with `scopes`, else at what is remembered of this boot."""
        self.places = places
        self.boot = boot
        self.scopes = scopes

    def remembered(self, app: str) -> list[list[int]]:
        """Give the processes that runs of the app have left; none where there are slices."""
        return [] if self.scopes else processes.load(self.places.left(app), self.boot)

    def marks(self, app: str) -> list[list[int]]:
        """Give the processes of the app (if need be, only some) to a run that is in no scope."""
        if not self.scopes:
            return kill.some(self.remembered(app), MOST_MARKS)
        return kill.some(kill.marks(cgroup.processes(scope.slice_path(app))), MOST_MARKS)

    def remember(self, app: str, new: object) -> None:
        """Note the processes that a run has left, with those of the runs before it."""
        if self.scopes:
            return
        before = self.remembered(app)
        marks = processes.living(before)
        if isinstance(new, list):
            marks += [mark for mark in new if mark not in marks]
        if marks != before:
            processes.save(self.places.left(app), self.boot, marks)

    def any(self, app: str, shims: Collection[int]) -> bool:
        """Tell whether the app has any process beside its shims. Quick."""
        if not self.scopes:
            return bool(processes.living(self.remembered(app)))
        path = scope.slice_path(app)
        return bool(self._pids(app, shims)) if shims else cgroup.populated(path)

    def usage(self, app: str, shims: Collection[int]) -> Usage:
        """Count and measure what the app has running, beside its shims."""
        pids = self._pids(app, shims)
        if self.scopes:
            path = scope.slice_path(app)
            return Usage(len(pids), cgroup.memory(path), cgroup.cpu(path))
        return Usage(len(pids), *processes.usage(pids))

    def _pids(self, app: str, shims: Collection[int]) -> set[int]:
        if self.scopes:
            return cgroup.processes(scope.slice_path(app)).difference(shims)
        return kill.family(self.remembered(app)).difference(shims)
