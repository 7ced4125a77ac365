"""Ending processes completely: TERM, a grace, then KILL, until nothing is left.

Theory of operation. What to end is asked for anew in every round, as a set of processes: all below
the shim (which adopts orphans, so that setsid and a double fork hide nothing), all of a session,
all of a cgroup. KILL alone never wins against something that forks as fast as it is killed, so
the last rounds stop everything first; what is stopped does not fork, and so each round leaves
fewer. A process that hangs in the kernel (the share is unavailable) cannot be ended by anyone, but
with a KILL pending it also never runs a line of its program again.
"""

from __future__ import annotations

import os
import time

from appagent.host import proc
from appagent.host.prctl import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    ProcessIds = list[list[int]]  # of processes, never reused: [pid, start time in ticks]

_LAST = 5.0  # seconds of KILL, before what is left counts as hanging
_PAUSE = 0.005
_MAX_PAUSE = 0.1


def below(ancestor: int) -> set[int]:
    """All living descendants of a process."""
    everything = proc.processes()
    return _living_tree({ancestor}, everything) - {ancestor}


def family(ids: ProcessIds) -> set[int]:
    """Find all that belongs to processes that a run left: their sessions and descendants, too.

    A process that has ended since, or whose number was reused, is not followed.
    """
    if not ids:
        return set()  # reading all of /proc is expensive
    everything = proc.processes()
    known = {
        pid for pid, started in ids if pid in everything and everything[pid].started == started
    }
    sessions = {everything[pid].session for pid in known} - {os.getsid(0)}
    known |= {one.pid for one in everything.values() if one.session in sessions}
    return _living_tree(known, everything)


def _living_tree(tops: set[int], everything: dict[int, proc.Process]) -> set[int]:
    """Those of these processes and of their descendants that are alive."""
    children: dict[int, list[int]] = {}
    for one in everything.values():
        children.setdefault(one.parent, []).append(one.pid)
    found, ahead = set(tops), list(tops)
    while ahead:
        new = [pid for pid in children.get(ahead.pop(), ()) if pid not in found]
        found.update(new)
        ahead.extend(new)
    return {pid for pid in found if pid in everything and everything[pid].alive}


def living(ids: ProcessIds) -> ProcessIds:
    """Those that are still the same process."""
    return [
        [pid, started]
        for pid, started in ids
        if (one := proc.process(pid)) is not None and one.started == started and one.alive
    ]


def identify(pids: set[int]) -> ProcessIds:
    """Add their start times to those processes that exist."""
    return [[pid, started] for pid, started in sorted(_start_times(pids).items())]


def sample(ids: ProcessIds, most: int) -> ProcessIds:
    """Choose at most `most` from which most can be found again: one of each session first."""
    if len(ids) <= most:
        return ids
    firsts: ProcessIds = []
    others: ProcessIds = []
    sessions: set[int] = set()
    for pid, started in living(ids):
        one = proc.process(pid)
        session = one.session if one is not None else 0
        (others if session in sessions else firsts).append([pid, started])
        sessions.add(session)
    return (firsts + others)[:most]


def send(pids: set[int], number: int) -> None:
    """Send a signal to each that is still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def _start_times(pids: set[int]) -> dict[int, int]:
    """When each of these processes was started."""
    return {pid: one.started for pid in pids if (one := proc.process(pid)) is not None}


def end(
    find: Callable[[], set[int]],
    grace: float,
    rest: Callable[[float], None] = time.sleep,
    kill: Callable[[], bool] | None = None,
    last: float = _LAST,
) -> tuple[bool, set[int]]:
    """End all that `find` finds. Returns whether KILL was needed, and what is left even so.

    `rest` is called to pass the time; there a parent reaps what has ended. `kill` kills them all
    at once, if it can.
    """
    found = find()
    send(found, signal.SIGTERM)
    send(found, signal.SIGCONT)  # a stopped process would not get the TERM
    until = time.monotonic() + grace
    pause = _PAUSE
    while (found := find()) and time.monotonic() < until:
        rest(min(pause, max(0.0, until - time.monotonic())))
        pause = min(pause * 2, _MAX_PAUSE)
    if not found:
        return False, found
    until = time.monotonic() + last
    pause = _PAUSE
    while found and time.monotonic() < until:
        still = _start_times(found)
        if kill is not None and kill():
            still, found = {}, set()
        while found and time.monotonic() < until:  # until a round finds nothing that still moves
            send(found, signal.SIGSTOP)
            found = find() - still.keys()
            still |= _start_times(found)
        # A number may have been given away in that time.
        now = _start_times(set(still))
        send({pid for pid, started in still.items() if now.get(pid) == started}, signal.SIGKILL)
        rest(pause)
        pause = min(pause * 2, _MAX_PAUSE)
        found = find()
    return True, found
