"""Where a run lives: a scope of its own in its app's slice (systemd), or a session of its own.

Theory of operation. `systemd-run --scope` puts a shim into a cgroup of its own, below the app's
slice, and then becomes the shim: the process id stays, the agent's cgroup does not. So what
`make start` leaves running survives the end of the agent's service. The slice holds all of an app,
whichever run has started it; limits are properties of the slice.

When the machine goes down, systemd ends the scopes only after the agent's service, so that apps can
be stopped by their Makefiles before (and the share is unmounted last: appagent.slice says so). It
starts no scope any more then: these last runs are sessions, and find their app by its processes.

Without systemd there is no such place. A session of its own keeps signals away, and what is left
by a run is remembered by its processes (left.py).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence

from appagent.host import units
from appagent.host.isolate import program
from appagent.shim import cgroup

_PATIENCE = 10.0  # seconds for systemd to take a property

# What a slice has when the configuration says nothing.
_UNLIMITED = {"memory": "MemoryMax=infinity", "cpu": "CPUQuota=", "tasks": "TasksMax=infinity"}
_PROPERTIES = {"memory": "MemoryMax", "cpu": "CPUQuota", "tasks": "TasksMax"}


def slice_path(app: str) -> str:
    """The cgroup of an app's slice; "" where there are no cgroups."""
    top = cgroup.mount()
    return f"{top}/{units.PREFIX}.slice/{units.slice_of(app)}" if top else ""


def scope_path(app: str, unit: str) -> str:
    """The cgroup of a run's scope; "" where there are no cgroups."""
    above = slice_path(app)
    return f"{above}/{unit}" if above and unit else ""


def has_scopes() -> bool:
    """Whether runs can have scopes here: systemd runs the machine, and the agent is root."""
    return (
        os.geteuid() == 0
        and os.path.isdir(units.SYSTEMD)
        and shutil.which("systemd-run") is not None
        and cgroup.mount() != ""
    )


def in_scope(app: str, unit: str, argv: Sequence[str]) -> list[str]:
    """Give the command that starts another one in a scope of its own."""
    return [
        shutil.which("systemd-run") or "systemd-run",
        "--scope",
        "--quiet",
        "--collect",
        f"--slice={units.slice_of(app)}",
        f"--unit={unit}",
        f"--description=appagent: {' '.join(argv[-3:])}",
        "--property=Delegate=pids",  # the shim makes a cgroup below for what it runs
        # So it is stopped after that, when the machine goes down.
        f"--property=Before={units.SERVICE}",
        "--",
        *argv,
    ]


def properties(limits: Mapping[str, str]) -> list[str]:
    """Give the properties of a slice for the limits of an app; what is not limited is freed."""
    return [
        f"{_PROPERTIES[what]}={limits[what]}" if what in limits else unlimited
        for what, unlimited in _UNLIMITED.items()
    ]


class Limits:
    """The limits of the slices, as they were last set."""

    def __init__(self) -> None:
        """Know of none."""
        self.known: dict[str, Mapping[str, str]] = {}

    async def enforce(self, app: str, limits: Mapping[str, str]) -> str:
        """Have the app's slice keep to its limits; what went wrong, or "".

        A slice that was never limited is left alone, so that most runs need no call.
        """
        before = self.known.get(app)
        if before == limits or (before is None and not limits and not _was_limited(app)):
            return ""
        argv = ["systemctl", "set-property", "--runtime", units.slice_of(app), *properties(limits)]
        try:
            output = await program(*argv, deadline=_PATIENCE)
        except TimeoutError:
            return f"limits are not set: systemd did not answer for {_PATIENCE:g} s"
        except OSError as error:
            return f"limits are not set: systemctl: {error.strerror}"
        if output.code:
            lines = output.stderr.strip().splitlines()
            return f"limits are not set: {lines[-1] if lines else 'systemctl failed'}"
        self.known[app] = dict(limits)
        return ""


def _was_limited(app: str) -> bool:
    """Whether an earlier agent has limited the slice in this boot."""
    return os.path.isdir(f"/run/systemd/system.control/{units.slice_of(app)}.d")
