"""Which boot of the machine this is, and whether it is shutting down."""

from __future__ import annotations

import contextlib
from pathlib import Path

from appagent.host import proc
from appagent.host.isolate import program
from appagent.host.units import SOFTLEVEL, SYSTEMD


def boot() -> str:
    """The id of this boot: the kernel's boot id and the start time of PID 1.

    A container shares the kernel's id with its host and has a PID 1 of its own, so the second part
    changes with each restart of the container.
    """
    ident = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return f"{ident}.{proc.started(1)}"


async def is_shutting_down(systemd: str = SYSTEMD, softlevel: str = SOFTLEVEL) -> bool:
    """Whether the machine is shutting down, and not the agent alone.

    False where no service manager knows: nothing is stopped by mistake.
    """
    if _has_directory(systemd):
        with contextlib.suppress(OSError, TimeoutError):
            output = await program("systemctl", "is-system-running", deadline=5.0)
            return output.stdout.strip() == "stopping"
        return False
    return _content(softlevel) in ("shutdown", "reboot")


def _has_directory(path: str) -> bool:
    """Whether a local directory exists."""
    return Path(path).is_dir()


def _content(path: str) -> str:
    """The text of a small local file; "" if it cannot be read."""
    try:
        return Path(path).read_text("utf-8", "replace").strip()
    except OSError:
        return ""
