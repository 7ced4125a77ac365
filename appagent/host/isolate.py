"""A function or a program in a process of its own, with a deadline.

Theory of operation. A call that touches a share or asks a name service can hang in the kernel,
where not even SIGKILL ends it before the server answers. So it is left to a child, and nobody waits
for the child longer than its deadline: one that is late is killed, with all that it started, and
nothing waits for its end.

`run_all` forks a child for each function and collects what they yield. It blocks; it is for the
commands that people run. A fork also copies the locks of other threads and the open files, so the
daemon, which has both, uses `program`: it executes a program and is awaited by the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Generic, NamedTuple, NoReturn, TypeVar, cast

from appagent.host.prctl import die_with_parent

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_KILLED = 0.5  # s to wait for the end of a process that was killed

T = TypeVar("T")


class End(Enum):
    """How a task ended."""

    DONE = "done"
    FAILED = "failed"  # the function raised an exception
    HUNG = "hung"  # nothing came for `silence` seconds
    LATE = "late"  # something came, and the deadline has passed
    KILLED = "killed"  # the process ended without a word


@dataclass(frozen=True, slots=True)
class Task(Generic[T]):
    """A function for a process of its own. What it yields must be picklable."""

    function: Callable[[], Iterable[T]]
    silence: float  # s until the next item
    deadline: float  # s altogether


@dataclass(slots=True)
class Outcome(Generic[T]):
    """What came of a task: items also where it did not end well."""

    items: list[T] = field(default_factory=list)
    end: End = End.KILLED
    error: str = ""  # of FAILED: "ValueError: …"
    seconds: float = 0.0  # HUNG: since the last item; else since the start


def run_all(tasks: Iterable[Task[T]], deadline: float) -> list[Outcome[T]]:
    """Run all tasks at the same time, for `deadline` seconds at most; outcomes in their order."""
    from multiprocessing.connection import wait  # noqa: PLC0415 - the daemon has no use for it

    until = time.monotonic() + deadline
    children: list[_Child[T]] = []
    try:
        # A SIGINT waits until all children are known; inside a fork it would be lost.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            children.extend(_Child(task, until, mask) for task in tasks)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        running = {child.reader: child for child in children}
        while running:
            remaining = min(child.due for child in running.values()) - time.monotonic()
            for reader in wait(list(running), max(0.0, remaining)):
                running[cast("Connection", reader)].receive()
            for child in [child for child in running.values() if child.is_over()]:
                del running[child.reader]
                child.kill()
    finally:
        for child in children:
            child.kill()
        _reap({child.pid for child in children})
    return [child.outcome for child in children]


class _Child(Generic[T]):
    """One task on its way, as the parent sees it."""

    def __init__(self, task: Task[T], until: float, mask: Iterable[int]) -> None:
        from multiprocessing import Pipe  # noqa: PLC0415 - as above

        self.silence = task.silence
        self.started = self.last_item = time.monotonic()
        self.until = min(until, self.started + task.deadline)
        self.outcome = Outcome[T]()
        self.ended = False
        parent = os.getpid()
        self.reader, writer = Pipe(duplex=False)
        self.pid = os.fork()
        if self.pid == 0:
            _be_child(task.function, writer, mask, parent)
        writer.close()
        # Parent and child both do it, so that it is done before either relies on it.
        with contextlib.suppress(OSError):
            os.setpgid(self.pid, self.pid)

    @property
    def due(self) -> float:
        """When it is late."""
        return min(self.last_item + self.silence, self.until)

    def receive(self) -> None:
        """Take the next item, or how it ended."""
        try:
            end, content = self.reader.recv()
        except (EOFError, OSError):  # the end of the pipe, or of one message before its time
            end, content = End.KILLED, ""
        self.last_item = time.monotonic()
        if end is None:
            self.outcome.items.append(content)
        else:
            self._end(end, self.started, content)

    def is_over(self) -> bool:
        """Whether nothing more is expected of it."""
        now = time.monotonic()
        if not self.ended and now >= self.last_item + self.silence:
            self._end(End.HUNG, self.last_item)
        elif not self.ended and now >= self.until:
            self._end(End.LATE, self.started)
        return self.ended

    def _end(self, end: End, since: float, error: str = "") -> None:
        self.ended = True
        self.outcome.end, self.outcome.error = end, error
        self.outcome.seconds = time.monotonic() - since

    def kill(self) -> None:
        """End it with all that it started."""
        if not self.reader.closed:
            self.reader.close()
            _kill_group(self.pid)


def _be_child(
    function: Callable[[], Iterable[object]], writer: Connection, mask: Iterable[int], parent: int
) -> NoReturn:
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.setpgid(0, 0)
        die_with_parent(signal.SIGKILL)
        if os.getppid() == parent:
            null = os.open(os.devnull, os.O_RDWR)
            for number in range(3):
                os.dup2(null, number)
            writer.send(_send_items(function, writer))
    finally:
        os._exit(0)


def _send_items(
    function: Callable[[], Iterable[object]], writer: Connection
) -> tuple[End | None, object]:
    try:
        for item in function():
            writer.send((None, item))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome
        name = type(error).__name__
        return End.FAILED, f"{name}: {error}" if str(error) else name
    return End.DONE, ""


def _kill_group(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def _reap(pids: set[int]) -> None:
    """Collect the children that end at once; one that hangs in the kernel is not waited for."""
    until = time.monotonic() + _KILLED
    while pids and time.monotonic() < until:
        for pid in list(pids):
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG) == (0, 0):
                    continue
            pids.discard(pid)
        time.sleep(0.005 if pids else 0)


class Output(NamedTuple):
    """What a program printed, and its exit code."""

    code: int
    stdout: str
    stderr: str


async def program(*argv: str, deadline: float) -> Output:
    """Run a program without blocking the event loop.

    Raises OSError if it cannot be started, TimeoutError if it has not ended after `deadline`
    seconds; then it was killed, with all that it started.
    """
    child = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd="/",
        process_group=0,
    )
    try:
        async with asyncio.timeout(deadline):
            stdout, stderr = await child.communicate()
    finally:
        if child.returncode is None:
            _kill_group(child.pid)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_KILLED):
                    await child.wait()
    printed = (stream.decode("utf-8", "replace") for stream in (stdout, stderr))
    return Output(child.returncode or 0, *printed)
