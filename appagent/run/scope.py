"""Where a run lives: a scope of its own in its app's slice (systemd), or a session of its own.

Theory of operation. `systemd-run --scope` puts a shim into a cgroup of its own, below the app's
slice, and then becomes the shim: the process id stays, the agent's cgroup does not. So what
`make start` leaves running survives the end of the agent's service. The slice holds all of an app,
whichever run has started it; limits are properties of the slice.

When the machine goes down, systemd ends the scopes only after the agent's service, so that apps can
be stopped by their Makefiles before (and the share is unmounted last, see appagent.slice). Then it
starts no scope any more: these last runs are sessions, and find their app by its processes.

Without systemd a run is a session of its own, which keeps signals away, and what it leaves is
remembered by its processes (processes.py).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence

from appagent.host import units
from appagent.host.isolate import program
from appagent.shim import cgroup

_PATIENCE = 10.0  # seconds for systemd to take a property

# The properties of a slice, and their values without limits in the configuration.
_PROPERTIES = {
    "memory": ("MemoryMax", "infinity"), "cpu": ("CPUQuota", ""), "tasks": ("TasksMax", "infinity")
}  # fmt: skip


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
    """The command that starts another one in its own scope."""
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
    """The properties of a slice for the limits of an app; without a limit it is unlimited."""
    return [
        f"{name}={limits.get(what, unlimited)}" for what, (name, unlimited) in _PROPERTIES.items()
    ]


class Limits:
    """The limits of the slices, as they were last set."""

    def __init__(self) -> None:
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
            return f"cannot set limits: systemd did not answer within {_PATIENCE:g} s"
        except OSError as error:
            return f"cannot set limits: systemctl: {error.strerror}"
        if output.code:
            lines = output.stderr.strip().splitlines()
            return f"cannot set limits: {lines[-1] if lines else 'systemctl failed'}"
        self.known[app] = dict(limits)
        return ""


def _was_limited(app: str) -> bool:
    """Whether an earlier agent has limited the slice in this boot."""
    return os.path.isdir(f"/run/systemd/system.control/{units.slice_of(app)}.d")


def populated(path: str) -> bool:
    """Whether there is any process in a cgroup or below it."""
    return _number(f"{path}/cgroup.events", "populated") == 1


def memory(path: str) -> int:
    """The bytes that a cgroup uses; 0 if that is not counted."""
    return _number(f"{path}/memory.current", "")


def cpu(path: str) -> float:
    """The seconds of CPU that a cgroup has used since it was created."""
    return _number(f"{path}/cpu.stat", "usage_usec") / 1e6


def _number(path: str, key: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            for line in file:
                name, _, value = line.rpartition(" ")
                if name == key:
                    return int(value)
    except (OSError, ValueError):
        pass
    return 0
