"""Control groups (version 2): all the processes of a run or an app, whatever they have done.

A process cannot leave its cgroup by setsid or a double fork, so ending the cgroup is complete. The
shim is in the scope itself and what it runs in a cgroup `run` below, so that it can end the one
without the other.
"""

from __future__ import annotations

import os

MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")  # the second: beside version 1
RUN = "run"


def mount() -> str:
    """Where version 2 is mounted; "" if it is not."""
    for path in MOUNTS:
        if os.path.exists(f"{path}/cgroup.controllers"):
            return path
    return ""


def own() -> str:
    """The directory of the cgroup that this process is in; "" if unknown."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                if line.startswith("0::"):
                    return mount() + line[3:].rstrip("\n")
    except OSError:
        pass
    return ""


def make(path: str) -> bool:
    """Make a cgroup; False if that is not possible here."""
    try:
        os.mkdir(path)
    except FileExistsError:
        return True
    except OSError:
        return False
    return True


def enter(path: str) -> None:
    """Move this process into a cgroup; OSError if it cannot."""
    _write(f"{path}/cgroup.procs", "0")


def processes(path: str) -> set[int]:
    """All processes of a cgroup and of those below it; none if it does not exist."""
    found: set[int] = set()
    try:
        with open(f"{path}/cgroup.procs", encoding="ascii") as file:
            found.update(int(line) for line in file)
        names = [entry.name for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return found
    for name in names:
        found |= processes(f"{path}/{name}")
    found.discard(0)  # one of another PID namespace
    return found


def kill(path: str) -> bool:
    """Kill all that is in a cgroup and below it, at once; False if the kernel cannot (< 5.14)."""
    try:
        _write(f"{path}/cgroup.kill", "1")
    except OSError:
        return False
    return True


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode("ascii"))
    finally:
        os.close(fd)
