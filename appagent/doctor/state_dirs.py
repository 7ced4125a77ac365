"""Where the agent keeps what it remembers: state_dir and runtime_dir, on the local disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from appagent.doctor.finding import Doing, Finding, Said, note, ok, problem, warning
from appagent.host.mounts import Mount, Mounts

_MIB = 1 << 20
_FULL, _LOW = 8 * _MIB, 64 * _MIB
_NO_INODES, _FEW_INODES = 64, 2000
_PASSING = frozenset(("tmpfs", "ramfs", "overlay"))


def look(key: str, path: str, mountinfo: str, state_dir: str) -> Iterator[Said]:
    """Judge one of the two directories."""
    mount = Mounts(mountinfo).holding(path)
    if mount.is_share:
        text = f"{path} is on a share ({mount.fstype})"
        yield problem(key, text, f"{key}: a directory on the local disk")
        return
    yield Doing(f"looking at {path}")
    directory = Path(path)
    try:
        status = directory.stat()
    except FileNotFoundError:
        yield _missing(key, directory, others=is_others(state_dir, mountinfo))
        return
    except OSError as error:
        yield _not_seen(key, f"{path}: {error.strerror}")
        return
    wrong = list(judge_status(key, path, status, (os.geteuid(), os.getegid())))
    yield from wrong
    yield from judge_space(key, path, os.statvfs(path), root=os.geteuid() == 0)
    yield from judge_place(key, path, mount)
    if not wrong:
        yield ok(key, f"{path} is there, and its owner's alone to write")


def is_others(path: str, mountinfo: str) -> bool:
    """Whether the state directory is there and another user's, and so the agent is."""
    if Mounts(mountinfo).holding(path).is_share:
        return False
    try:
        return Path(path).stat().st_uid != os.geteuid()
    except OSError:
        return False


def _missing(key: str, path: Path, *, others: bool) -> Finding:
    """Judge whether the agent can make it."""
    above = next((parent for parent in path.parents if parent.exists()), Path("/"))
    if os.access(above, os.W_OK | os.X_OK):
        return note(key, f"{path} is not there yet; the agent makes it")
    text = f"{path} is not there, and who runs doctor cannot make it in {above}"
    if others:
        return note(key, text, "the agent makes it, if it may: run doctor as its user")
    do = f"run doctor as the agent's user, or: install -d -m 0700 -o THE-AGENT'S-USER {path}"
    return problem(key, text, do)


def _not_seen(key: str, text: str) -> Finding:
    return note(key, f"cannot be seen by who runs doctor: {text}", "run doctor as root")


def judge_status(
    key: str, path: str, status: os.stat_result, me: tuple[int, int]
) -> Iterator[Finding]:
    """Judge who owns it and who may write it, as the store does."""
    uid, gid = me
    if not stat.S_ISDIR(status.st_mode):
        yield problem(key, f"{path} is not a directory", f"move it away, or another {key}")
        return
    mode = stat.S_IMODE(status.st_mode)
    foreign = mode & 0o002 or (mode & 0o020 and status.st_gid not in (gid, 0))
    if foreign:
        text = f"{path} can be written by others (mode {mode:04o})"
        yield problem(key, text, f"chmod go-w {path}")
    elif status.st_uid != uid and uid == 0:
        text = f"{path} belongs to uid {status.st_uid}: an agent that is root does not take it"
        yield problem(key, text, f"chown root {path}, or run the agent as its owner")
    elif status.st_uid != uid:
        text = f"{path} belongs to uid {status.st_uid}: the agent is another user's"
        yield note(key, text, "run doctor as that user, or as root, to see more")


def judge_space(key: str, path: str, disk: os.statvfs_result, *, root: bool) -> Iterator[Finding]:
    """Judge the free space and inodes."""
    free = (disk.f_bfree if root else disk.f_bavail) * disk.f_frsize
    inodes = disk.f_ffree if root else disk.f_favail
    do = f"make room on the filesystem of {path}: df {path}; df -i {path}"
    if free < _FULL:
        text = f"the disk of {path} is full ({free // _MIB} MiB left)"
        yield problem(key, text, do)
    elif free < _LOW:
        yield warning(key, f"the disk of {path} has {free // _MIB} MiB left", do)
    if not disk.f_files:
        return  # this kind of filesystem has no bound
    if inodes < _NO_INODES:
        yield problem(key, f"the disk of {path} has {inodes} inodes left", do)
    elif inodes < _FEW_INODES:
        yield warning(key, f"the disk of {path} has {inodes} inodes left", do)


def judge_place(key: str, path: str, mount: Mount) -> Iterator[Finding]:
    """Judge the filesystem that it is on."""
    if key == "state_dir" and mount.fstype in _PASSING:
        text = f"{path} is on {mount.fstype}: what is lost with it is installed once more"
        yield warning(key, text, "state_dir: a directory that outlives a reboot")
