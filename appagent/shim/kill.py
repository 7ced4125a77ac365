"""Ending processes completely: TERM, a grace, then KILL, until nothing is left.

Theory of operation. What to end is asked for anew in every round, as a set of processes: all below
the shim (which adopts orphans, so that setsid and a double fork hide nothing), all of a session,
all of a cgroup. KILL alone never wins against something that forks as fast as it is killed, so
the last rounds stop everything first; what is stopped does not fork, and so each round leaves
fewer. A process that hangs in the kernel (the share is away) cannot be ended by anyone, but with
a KILL pending it also never runs a line of its program again.
"""

from __future__ import annotations

import os
import time

from appagent.host import proc
from appagent.shim.prctl import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Marks = list[list[int]]  # processes, unmistakably: [pid, start time in ticks]

_LAST = 5.0  # seconds of KILL, before what is left is said to hang
_PAUSE = 0.005
_MAX_PAUSE = 0.1


def below(ancestor: int) -> set[int]:
    """Find all living descendants of a process."""
    everything = proc.processes()
    children: dict[int, list[int]] = {}
    for one in everything.values():
        children.setdefault(one.parent, []).append(one.pid)
    found: set[int] = set()
    ahead = list(children.get(ancestor, ()))
    while ahead:
        pid = ahead.pop()
        if everything[pid].alive:
            found.add(pid)
        ahead.extend(children.get(pid, ()))
    return found


def family(marks: Marks) -> set[int]:
    """Find all that belongs to processes that were left: they, their sessions, all below them.

    Of a process that has ended since, or given its number to another one, nothing is followed.
    """
    if not marks:
        return set()  # looking at all processes is not for nothing
    everything = proc.processes()
    known = {
        pid for pid, started in marks if pid in everything and everything[pid].started == started
    }
    sessions = {everything[pid].session for pid in known} - {os.getsid(0)}
    known |= {one.pid for one in everything.values() if one.session in sessions}
    ahead = list(known)
    children: dict[int, list[int]] = {}
    for one in everything.values():
        children.setdefault(one.parent, []).append(one.pid)
    while ahead:
        for pid in children.get(ahead.pop(), ()):
            if pid not in known:
                known.add(pid)
                ahead.append(pid)
    return {pid for pid in known if everything[pid].alive}


def marks(pids: set[int]) -> Marks:
    """Mark these processes, as far as they are there."""
    return [[pid, started] for pid, started in sorted(_marked(pids).items())]


def some(marks: Marks, most: int) -> Marks:
    """Choose so many marks that as much as can be is found from them: of each session one first."""
    if len(marks) <= most:
        return marks
    firsts: Marks = []
    others: Marks = []
    sessions: set[int] = set()
    for pid, started in marks:
        one = proc.process(pid)
        if one is None or one.started != started:
            continue
        (others if one.session in sessions else firsts).append([pid, started])
        sessions.add(one.session)
    return (firsts + others)[:most]


def of_session(leader: int, started: int) -> set[int]:
    """Find the living members of the session that a process with this start time has led.

    The kernel gives no number away that a session still uses; but once the session is over another
    one may get it, whose leader then has another start time, and members that are older than it
    cannot be.
    """
    first = proc.process(leader)
    if first is not None and first.started != started:
        return set()
    return {
        one.pid
        for one in proc.processes().values()
        if one.session == leader and one.alive and one.started >= started
    }


def send(pids: set[int], number: int) -> None:
    """Send a signal to each that is still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def _marked(pids: set[int]) -> dict[int, int]:
    """When each of these processes was started."""
    return {pid: one.started for pid in pids if (one := proc.process(pid)) is not None}


def end(
    find: Callable[[], set[int]],
    grace: float,
    rest: Callable[[float], None] = time.sleep,
    kill: Callable[[], bool] | None = None,
    last: float = _LAST,
) -> tuple[bool, set[int]]:
    """End all that `find` finds. Tells whether KILL was needed, and what is left even so.

    `rest` is called to pass the time; there a parent reaps what has ended. `kill` kills them all
    at once, if it can.
    """
    found = find()
    send(found, signal.SIGTERM)
    send(found, signal.SIGCONT)  # what is stopped would not hear it
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
        still = _marked(found)
        if kill is not None and kill():
            still, found = {}, set()
        while found and time.monotonic() < until:  # until a round finds nothing that still moves
            send(found, signal.SIGSTOP)
            found = find() - still.keys()
            still |= _marked(found)
        # A number may have been given away in that time.
        now = _marked(set(still))
        send({pid for pid, started in still.items() if now.get(pid) == started}, signal.SIGKILL)
        rest(pause)
        pause = min(pause * 2, _MAX_PAUSE)
        found = find()
    return True, found
