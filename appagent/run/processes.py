"""The processes of an app where there are no cgroups: what its runs have left running.

Each run reports what it leaves, as pids with start times; that is kept beside the app's record,
and an app's processes are found from there (ending.family). A daemon that gets away from its
parents and its session later on is not found: that is what scopes are for.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

import psutil

from appagent.host import files, proc

if TYPE_CHECKING:
    from appagent.shim.kill import Marks


def load(path: str, boot: str) -> Marks:
    """Read what is known of an app's processes; of another boot, nothing counts."""
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read())
        if found["boot"] != boot:
            return []
        return [[int(pid), int(started)] for pid, started in found["processes"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def save(path: str, boot: str, marks: Marks) -> None:
    """Keep it. Not synced: after a crash of the machine it would say nothing."""
    with contextlib.suppress(OSError):
        if not marks:
            os.unlink(path)
            return
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        files.replace(path, json.dumps({"boot": boot, "processes": marks}).encode("ascii"))


def living(marks: Marks) -> Marks:
    """Keep those that are still the same process."""
    kept = []
    for pid, started in marks:
        one = proc.process(pid)
        if one is not None and one.started == started and one.alive:
            kept.append([pid, started])
    return kept


def usage(pids: set[int]) -> tuple[int, float]:
    """Give the bytes and the seconds of CPU that these processes use."""
    memory, cpu = 0, 0.0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            one = psutil.Process(pid)
            with one.oneshot():
                memory += one.memory_info().rss
                times = one.cpu_times()
                cpu += times.user + times.system
    return memory, cpu
