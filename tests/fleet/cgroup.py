"""Control groups: all that runs for a fleet is below one, so it can be ended, whole and alone.

    <cgroup2>/fleet-NAME/HOST/supervisor      systemd-nspawn
    <cgroup2>/fleet-NAME/HOST/payload         the host's own systemd and all its services
    <cgroup2>/fleet-NAME/HOST/payload/commands/N   a command that a test runs inside the host

Killing by the group needs no list of pids, meets nobody else's process, and is complete.
"""

from pathlib import Path

from . import machine
from .wait import wait_until


def top(fleet: str) -> Path:
    """Return the group of a fleet."""
    mount = machine.cgroup_mount()
    if mount is None:
        msg = "no cgroup2 is mounted on this machine"
        raise RuntimeError(msg)
    return mount / f"fleet-{fleet}"


def populated(group: Path) -> bool:
    """Whether a process lives in a group or below it."""
    try:
        return "populated 1" in (group / "cgroup.events").read_text()
    except FileNotFoundError:
        return False


def end(group: Path, timeout: float = 60) -> None:
    """Kill all that lives in a group and below, and remove it."""
    if not group.is_dir():
        return
    (group / "cgroup.kill").write_text("1")
    wait_until(lambda: not populated(group), timeout, f"the end of all below {group}", 0.01)
    remove(group)


def remove(group: Path) -> None:
    """Remove a group whose processes have ended, and those below; in version 1 beside it, too.

    Where the machine has both, systemd-nspawn makes groups of the same names in systemd's own.
    """
    inner = group.relative_to(top("x").parent)
    for mount in mounts():
        same = mount / inner
        if same.is_dir():
            for path in sorted(same.rglob("*"), reverse=True):
                if path.is_dir():
                    path.rmdir()
            same.rmdir()


def mounts() -> list[Path]:
    """Return where control groups are mounted, of either version."""
    rows = [line.split(" ") for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(row[1]) for row in rows if row[2] in ("cgroup", "cgroup2")]


def processes(group: Path) -> list[int]:
    """Return the processes in a group and below."""
    found: list[int] = []
    for path in [group / "cgroup.procs", *group.rglob("cgroup.procs")]:
        found += [int(word) for word in path.read_text().split()]
    return sorted(set(found))


def memory(group: Path) -> int:
    """Return the bytes that the processes of a group take, shared ones counted in parts (PSS)."""
    total = 0
    for pid in processes(group):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024
