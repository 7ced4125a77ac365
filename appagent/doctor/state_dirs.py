"""state_dir and runtime_dir: on the local disk, writable by the agent alone, with room."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from appagent.doctor.finding import Finding, Item, Step, note, ok, problem, warning
from appagent.host.mounts import Mounts

_MIB = 1 << 20
_FULL, _LOW = 8 * _MIB, 64 * _MIB
_NO_INODES, _FEW_INODES = 64, 2000
_VOLATILE = frozenset(("tmpfs", "ramfs", "overlay"))


def check(key: str, path: str, mounts: Mounts) -> Iterator[Item]:
    """Judge one of the two directories."""
    mount = mounts.holding(path)
    if mount.is_share:
        do = f"set {key} to a directory on the local disk"
        yield problem(key, f"{path} is on a share ({mount.fstype})", do)
        return
    yield Step(f"reading {path}")
    try:
        status, disk = Path(path).stat(), os.statvfs(path)
    except FileNotFoundError:
        yield note(key, f"{path} does not exist yet; the agent creates it")
        return
    except OSError as error:
        text = f"not readable by the user who runs doctor: {path}: {error.strerror}"
        yield note(key, text, "run doctor as root")
        return
    bad = list(judge_status(key, path, status, (os.geteuid(), os.getegid())))
    bad += judge_space(key, path, disk, root=os.geteuid() == 0)
    if key == "state_dir" and mount.fstype in _VOLATILE:
        text = f"{path} is on {mount.fstype}: once it is lost, every app is installed again"
        bad.append(warning(key, text, "set state_dir to a directory that outlives a reboot"))
    yield from bad
    if not bad:
        yield ok(key, f"{path} exists, writable by its owner only")


def judge_status(
    key: str, path: str, status: os.stat_result, me: tuple[int, int]
) -> Iterator[Finding]:
    """Judge who owns it and who may write it, as the store does."""
    uid, gid = me
    mode = stat.S_IMODE(status.st_mode)
    owned = f"{path} belongs to uid {status.st_uid}"
    if not stat.S_ISDIR(status.st_mode):
        yield problem(key, f"{path} is not a directory", f"move it away, or set another {key}")
    elif mode & 0o002 or (mode & 0o020 and status.st_gid not in (gid, 0)):
        text = f"{path} is writable by others (mode {mode:04o})"
        yield problem(key, text, f"chmod go-w {path}")
    elif status.st_uid != uid == 0:
        text = f"{owned}: an agent that runs as root refuses it"
        yield problem(key, text, f"chown root {path}, or run the agent as its owner")
    elif status.st_uid != uid:
        text = f"{owned}: the agent runs as another user"
        yield note(key, text, "run doctor as that user or as root to see more")


def judge_space(key: str, path: str, disk: os.statvfs_result, *, root: bool) -> Iterator[Finding]:
    """Judge the free space and inodes."""
    free = (disk.f_bfree if root else disk.f_bavail) * disk.f_frsize
    inodes = disk.f_ffree if root else disk.f_favail
    do = f"free space on the filesystem of {path}: df {path}; df -i {path}"
    if free < _LOW:
        judge = problem if free < _FULL else warning
        yield judge(key, f"the disk of {path} has {free // _MIB} MiB left", do)
    if disk.f_files and inodes < _FEW_INODES:  # some filesystems have no limit
        judge = problem if inodes < _NO_INODES else warning
        yield judge(key, f"the disk of {path} has {inodes} inodes left", do)
