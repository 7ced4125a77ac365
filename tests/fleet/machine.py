"""The machine below the fleet: what it must have, where things lie on it, commands run on it."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LOGS = REPOSITORY / ".fleet" / "logs"
CACHE = Path(os.environ.get("FLEET_CACHE", "/var/cache/appagent-fleet"))  # images; kept
DISKS = Path(os.environ.get("FLEET_DISKS", "/var/lib/appagent-fleet"))  # a directory for each fleet
RUN = Path("/run/appagent-fleet")  # what is up: gone after a reboot, as the hosts are
INOTIFY_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
COMMANDS = ("debootstrap", "ip", "bridge", "systemd-nspawn", "journalctl", "nsenter", "mkfs.ext4")


def in_ci() -> bool:
    """Whether a fleet that cannot be raised is a failure here, and no reason to skip."""
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")


def missing() -> list[str]:
    """Say what this machine lacks for raising a fleet; nothing if it can."""
    if os.geteuid() != 0:
        return ["root's rights"]
    lacks = [f"the command {name}" for name in COMMANDS if not shutil.which(name)]
    filesystems = Path("/proc/filesystems").read_text().split()
    lacks += [f"the filesystem {name}" for name in ("overlay", "fuse") if name not in filesystems]
    if not Path("/dev/fuse").exists():
        lacks.append("/dev/fuse")
    if not Path("/dev/loop-control").exists():
        lacks.append("/dev/loop-control")
    if cgroup_mount() is None:
        lacks.append("a mount of cgroup2")
    return lacks


def cgroup_mount() -> Path | None:
    """Return where cgroup version 2 is mounted: alone, or beside version 1."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split(" ")
        if kind == "cgroup2":
            return Path(where)
    return None


def allow_many_systemds(instances: int = 1024) -> None:
    """Let many hosts of one user watch files: each systemd takes several inotify instances."""
    if int(INOTIFY_INSTANCES.read_text()) < instances:
        INOTIFY_INSTANCES.write_text(str(instances))


def sh(
    *command: str | Path,
    check: bool = True,
    timeout: float = 120,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Run a command on this machine and return its output; on failure say what it printed."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=None if env is None else {**os.environ, **env},
        cwd=cwd,
    )
    if check and done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        what = " ".join(words)[:300]
        msg = f"{what}: exit status {done.returncode}\n{said}"
        raise RuntimeError(msg)
    return done.stdout


def mounts_below(directory: Path) -> list[Path]:
    """Return what is mounted at or below a directory, the innermost first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        where = line.split(" ")[4].encode().decode("unicode_escape")
        if where == str(directory) or where.startswith(f"{directory}/"):
            found.append(Path(where))
    return found[::-1]


def overlay(lowers: Sequence[Path], upper: Path, work: Path, at: Path) -> None:
    """Mount an overlay; the first of `lowers` is the topmost."""
    for directory in (upper, work, at):
        directory.mkdir(parents=True, exist_ok=True)
    layers = ":".join(str(lower) for lower in lowers)
    options = f"lowerdir={layers},upperdir={upper},workdir={work}"
    sh("mount", "-t", "overlay", "overlay", "-o", options, at)
