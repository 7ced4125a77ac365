"""Which boot of the machine this is, and whether it is shutting down."""

from __future__ import annotations

import contextlib
from pathlib import Path

from appagent.host import proc
from appagent.host.isolate import program


def boot() -> str:
    """Name this boot: the kernel's id of it and the start of PID 1.

    A container shares the kernel's id with its host and has a PID 1 of its own, so the second
    part tells its restarts apart.
    """
    ident = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return f"{ident}.{proc.started(1)}"


SYSTEMD = "/run/systemd/system"
SOFTLEVEL = "/run/openrc/softlevel"


async def goes_down(systemd: str = SYSTEMD, softlevel: str = SOFTLEVEL) -> bool:
    """Whether the whole machine is being stopped, and not the agent alone.

    Where no service manager can say it, it is the agent alone: nothing is stopped by mistake.
    """
    if has_directory(systemd):
        with contextlib.suppress(OSError, TimeoutError):
            output = await program("systemctl", "is-system-running", deadline=5.0)
            return output.stdout.strip() == "stopping"
        return False
    return content(softlevel) in ("shutdown", "reboot")


def has_directory(path: str) -> bool:
    """Whether a directory is there, on the local disk."""
    return Path(path).is_dir()


def content(path: str) -> str:
    """What a small local file says; "" if there is none."""
    try:
        return Path(path).read_text("utf-8", "replace").strip()
    except OSError:
        return ""
