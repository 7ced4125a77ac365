"""What a run has started, and what else there is of its app: found, and ended.

In a scope both are cgroups: `run` below the scope, and the app's slice above it. Elsewhere a run is
all below its shim, which adopts orphans, and the app is that and what earlier runs have left.
"""

from __future__ import annotations

import os

from appagent.shim import cgroup, kill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from appagent.shim.kill import ProcessIds
    from appagent.shim.spec import Spec

MOST_REMAINING = 5_000  # processes; a result must fit into the lock of its app, too


class ProcessGroup:
    """The processes of one run and of its app, as its shim sees them."""

    def __init__(self, spec: Spec) -> None:
        """Make the cgroup of the run, if the shim is in the scope that it should be in."""
        self.grace = spec["grace"]
        self.earlier = spec["processes"]
        self.me = os.getpid()
        self.run = ""  # the cgroup of what is run; "": there is none
        self.slice = ""
        scope = cgroup.own() if spec["unit"] else ""
        if scope and os.path.basename(scope) == spec["unit"]:
            self.slice = os.path.dirname(scope)
            if cgroup.make(f"{scope}/{cgroup.RUN}"):
                self.run = f"{scope}/{cgroup.RUN}"

    def of_run(self) -> set[int]:
        """All that this run has started and that is still alive."""
        return kill.below(self.me) | (cgroup.processes(self.run) if self.run else set())

    def remaining(self, most: int = MOST_REMAINING) -> ProcessIds:
        """Identify what this run leaves running, so that all of it can be found again later."""
        return kill.sample(kill.identify(self.of_run()), most)

    def of_app(self) -> set[int]:
        """All other processes of the app."""
        if self.slice:
            return cgroup.processes(self.slice) - {self.me}
        return kill.family(self.earlier) - {self.me} | kill.below(self.me)

    def end_run(self, rest: Callable[[float], None]) -> tuple[bool, set[int]]:
        """TERM, grace, KILL to all of this run: whether KILL was needed, and what hangs."""
        at_once = (lambda: cgroup.kill(self.run)) if self.run else None
        return kill.end(self.of_run, self.grace, rest, at_once)

    def end_app(self, rest: Callable[[float], None]) -> tuple[bool, set[int]]:
        """TERM, grace, KILL to all of the app."""
        at_once = self._kill_slice if self.slice else None
        return kill.end(self.of_app, self.grace, rest, at_once)

    def _kill_slice(self) -> bool:
        """Kill all scopes of the app; of our own only what we have started."""
        mine = os.path.dirname(self.run) if self.run else ""
        try:
            found = [entry.path for entry in os.scandir(self.slice) if entry.is_dir()]
        except OSError:
            return False
        done = [cgroup.kill(path if path != mine else self.run) for path in found]
        return all(done)
