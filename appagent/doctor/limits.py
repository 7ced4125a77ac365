"""Limits of the kernel: open files, inotify watches; and the clock."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import resource
from collections.abc import Iterator, Mapping
from pathlib import Path

from appagent.doctor.finding import Finding, Said, note, ok, warning

CLOCK, FILES, INOTIFY = "clock", "open files", "inotify"
_ENOUGH_FILES = 512  # 64 clients, some watchers, a few for each run
_NEARLY = 0.9
_TIMEX_STATUS, _UNSYNCHRONISED = 40, 0x40


def clock() -> Iterator[Said]:
    """Whether something keeps the clock right."""
    buffer = ctypes.create_string_buffer(512)  # struct timex is smaller everywhere
    if ctypes.CDLL(None).adjtimex(buffer) < 0:
        yield note(CLOCK, "the kernel does not say whether the clock is right")
        return
    status = int.from_bytes(buffer.raw[_TIMEX_STATUS : _TIMEX_STATUS + 4], "little")
    yield judge_clock(status)


def judge_clock(status: int) -> Finding:
    """Judge the kernel's word; the agent itself compares no clocks of two machines."""
    if status & _UNSYNCHRONISED:
        text = "the clock is kept right by nothing that tells the kernel so"
        do = "run systemd-timesyncd, chrony or ntpd: history and logs of several nodes fit then"
        return warning(CLOCK, text, do)
    return ok(CLOCK, "the clock is synchronised")


def files(agent: int, unit: tuple[str, str]) -> Iterator[Said]:
    """Whether the agent may open as many files as it may come to need.

    `agent` is the pid of one that runs, or 0; `unit` what its service's limits come to.
    """
    soft, whose = _soft_limit(agent, unit)
    if soft < _ENOUGH_FILES:
        text = f"{whose} may have {soft} files open"
        yield warning(FILES, text, f"{_ENOUGH_FILES} or more: LimitNOFILE=, ulimit -n")
    else:
        yield ok(FILES, f"{whose} may have {soft} files open")
    used, _, most = Path("/proc/sys/fs/file-nr").read_text("ascii").split()
    if int(used) > _NEARLY * int(most):
        text = f"{used} of {most} files of the whole machine are open"
        yield warning(FILES, text, "raise fs.file-max (sysctl), or see who holds them: lsof")


def _soft_limit(agent: int, unit: tuple[str, str]) -> tuple[int, str]:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{agent}/limits").read_text("ascii").splitlines():
            found = re.match(r"Max open files\s+(\d+)", line)
            if agent and found:
                return int(found[1]), "the agent"
    soft = unit[1] or unit[0]
    if soft.isdigit():
        return int(soft), "the service"
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0], "an agent started here"


def inotify(needed: int, *, shares_only: bool, agent: int) -> Iterator[Said]:
    """Whether there are watches for every directory of the local roots."""
    base = Path("/proc/sys/fs/inotify")
    if not base.is_dir():
        yield note(INOTIFY, "this kernel has no inotify: local roots are polled")
        return
    names = ("max_user_watches", "max_user_instances")
    limits = {name: int((base / name).read_text("ascii")) for name in names}
    if shares_only:
        yield ok(INOTIFY, "no root is watched by inotify; shares are polled")
        return
    yield judge_inotify(needed, in_use(agent), limits)


def in_use(agent: int) -> tuple[int, int]:
    """The watches and instances of our user, without those of the agent that runs."""
    watches = instances = 0
    mine = os.geteuid()
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if not process.name.isdigit() or process.stat().st_uid != mine:
                continue
            if int(process.name) == agent or parent(process) == agent:
                continue
            for handle in (process / "fd").iterdir():
                if str(handle.readlink()) != "anon_inode:inotify":
                    continue
                instances += 1
                info = (process / "fdinfo" / handle.name).read_text("ascii", "replace")
                watches += info.count("\ninotify ")
    return watches, instances


def parent(process: Path) -> int:
    """The parent of a process, or -1."""
    after_name = (process / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
    return int(after_name[1]) if len(after_name) > 1 else -1


def judge_inotify(needed: int, used: tuple[int, int], limits: Mapping[str, int]) -> Finding:
    """Judge what is there against what is needed."""
    watches, instances = limits["max_user_watches"], limits["max_user_instances"]
    if used[1] >= instances:
        text = f"{used[1]} of {instances} inotify instances are in use: local roots are polled"
        return warning(INOTIFY, text, f"sysctl fs.inotify.max_user_instances={2 * instances}")
    if used[0] + needed > watches:
        text = (
            f"the local roots need {needed} inotify watches, others use {used[0]}, and there are "
            f"{watches}: roots that get none are polled"
        )
        more = max(2 * watches, 2 * (used[0] + needed))
        do = f"sysctl fs.inotify.max_user_watches={more} (and in /etc/sysctl.d), or watch: poll"
        return warning(INOTIFY, text, do)
    return ok(INOTIFY, f"{needed} of {watches} inotify watches are needed; others use {used[0]}")
