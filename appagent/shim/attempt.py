"""One child of a shim, from its fork to its end: watched, and ended when it must be.

Theory of operation. One thread, one poll: on the pipe from the child, and on a descriptor that a
signal wakes. Nothing here touches the share or a name service, so the deadline holds whatever
they do. TERM to the shim means: end the run. What was started and is orphaned becomes our child
(subreaper), and so a kill is complete; after a normal end, what keeps running is left alone:
it is the app.

A child that has not come to make yet hangs in a name service or on the share. It is killed; and
if it cannot be, because the kernel holds it, it is left: with a KILL pending it never gets to
make, and so the run is over, MOVED, with nothing done.
"""

from __future__ import annotations

import os
import select
import time

from appagent.host.prctl import signal, signal_name
from appagent.shim import kill, output
from appagent.shim.prepare import Child
from appagent.shim.process_group import ProcessGroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from appagent.shim.spec import Spec

    Attempt = tuple[str, int | None, str]  # outcome, exit code, line

_PREPARING = ("names", "share")  # phases in which nothing of the app has run yet
_MAY_BE_ENDED = ("build", "install")  # steps that may be ended at any time
_KILLED_SOON = 1.0  # seconds for a killed child to end, before it counts as hanging
_RECENT = 4096
_MOST_WARNINGS = 20  # of one run


class Attempts:
    """A run as far as it is one child after the other, with one deadline."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.group = ProcessGroup(spec)
        self.asked_to_end = False
        self.warnings: list[str] = []
        self.targets: str | None = None
        self.step = spec["target"]  # that the run has come to
        self.calls: list[str] = []  # what make is called with for it; []: not known yet
        self.uid = -1
        self.phase = ""
        self.phase_started = 0.0
        self.verdict: tuple[str, int, str] | None = None  # what the child reported as its end
        self.log: output.Log | None = None
        self.next_check = 0.0
        self.killed_hard = False
        self.hanging = 0
        self.child = 0
        self.childless = True
        self.status: int | None = None
        self.output = self.copy = -1
        self.started = time.monotonic()
        self.started_wall = time.time()
        self.timeout = spec["timeout"]
        self.deadline = self.started + self.timeout
        self._unread = b""
        self._report = -1
        self._wake, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        self._poll = select.poll()
        self._poll.register(self._wake, select.POLLIN)

    def _on_term(self, _number: int, _frame: FrameType | None) -> None:
        self.asked_to_end = True

    def _is_to_end(self) -> bool:
        """Whether the run was asked to end, and is at a step that may be ended.

        Only the step that the run began with, or a build or install: where the run has come
        further, to a start for example, that step always finishes or times out.
        """
        if not self.asked_to_end:
            return False
        self._read_reports()  # it may have come further in this very moment
        return self.step == self.spec["target"] or self.step in _MAY_BE_ENDED

    def _attempt(self, call: str = "") -> Attempt:
        """Start one child and see it through; `call` is for make, if it is known already."""
        self._start(call)
        while True:
            self._step()
            if self.status is not None:
                self._read_reports()
                return self._judge(self.status)
            if time.monotonic() >= self._limit() or self._is_to_end():
                return self._end_it()

    def _start(self, call: str) -> None:
        ours, report = os.pipe2(os.O_CLOEXEC)
        self.verdict = self.status = None
        self._unread = b""
        self._begin_phase("names")
        me = os.getpid()
        self.childless = False
        self.child = os.fork()
        if self.child == 0:
            signal.set_wakeup_fd(-1)
            child = Child(self.spec, report, self.copy, me, group=self.group.run, call=call)
            child.main(self.output)
        os.close(report)
        os.set_blocking(ours, False)
        self._report = ours
        self._poll.register(ours, select.POLLIN)

    def _begin_phase(self, phase: str) -> None:
        self.phase = phase
        self.phase_started = time.monotonic()

    def _limit(self) -> float:
        """When the child must be ended, as it is now."""
        if self.phase in _PREPARING:
            return min(self.deadline, self.phase_started + self.spec["patience"][self.phase])
        return self.deadline

    def _step(self, most: float = 3600.0) -> None:
        """Wait until something happens, and take note of it."""
        now = time.monotonic()
        until = min(self._limit(), now + most)
        if self.log is not None:
            if now >= self.next_check:
                self.next_check = now + self.log.watch()
            until = min(until, self.next_check)
        for fd, _ in self._poll.poll(max(0, int((until - now) * 1000) + 1)):
            if fd == self._report:
                self._read_reports()
            else:
                self._drain()
        self._reap()

    def _drain(self) -> None:
        while True:
            try:
                os.read(self._wake, _RECENT)
            except BlockingIOError:
                return

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.childless = True
                return
            self.childless = False
            if pid == 0:
                return
            if pid == self.child:
                self.status = status

    def _read_reports(self) -> None:
        """Read the reports of the child; the pipe closes when make takes its place."""
        while self._report >= 0:
            try:
                more = os.read(self._report, _RECENT)
            except BlockingIOError:
                return
            if more:
                *lines, self._unread = (self._unread + more).split(b"\n")
                for line in lines:
                    self._take(line.decode("utf-8", "replace"))
            else:
                self._poll.unregister(self._report)
                os.close(self._report)
                self._report = -1

    def _take(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "phase":
            self._begin_phase(rest)
        elif word == "uid":
            self.uid = int(rest)
        elif word == "targets":
            self.targets = rest
        elif word == "step":
            self._come_to(*rest.split())
        elif word == "warn":
            if rest not in self.warnings and len(self.warnings) < _MOST_WARNINGS:
                self.warnings.append(rest)
        elif word == "end":
            outcome, status, text = rest.split(" ", 2)
            self.verdict = (outcome, int(status), text)

    def _come_to(self, step: str, *calls: str) -> None:
        """The Makefile has this step and lacks those before it; its time begins now."""
        if step != self.step:
            self.timeout = dict(self.spec["then"])[step]
            self.deadline = time.monotonic() + self.timeout
        self.step, self.calls = step, [*calls]
        try:
            os.write(1, f"step {step} {' '.join(calls)}\n".encode())
        except OSError:
            return  # the agent has ended; it is in the result, too

    def _judge(self, status: int) -> Attempt:
        """The outcome of a child that ended by itself."""
        if self.verdict is not None:
            outcome, code, text = self.verdict
            return outcome, code or None, text
        code = os.waitstatus_to_exitcode(status)
        if self.phase != "make":
            if code < 0 and self.phase == "ask":
                return "failed", 128 - code, f"reading the Makefile: killed by {_signal(-code)}"
            return "refused", None, f"nothing ran: the shim's child ended early (at {self.phase})"
        if code == 0:
            return "ok", 0, ""
        if code < 0:
            return "failed", 128 - code, f"killed by {_signal(-code)}"
        return "failed", code, f"exit {code}"

    # --- ending a run ----------------------------------------------------------------------------

    def _end_it(self) -> Attempt:
        """End the run because that was asked for, or at its deadline."""
        cancelled = self._is_to_end()
        phase = self.phase
        if phase in _PREPARING:
            killed_by = time.monotonic() + _KILLED_SOON
            kill.send({self.child}, signal.SIGKILL)
            while self.status is None and (rest := killed_by - time.monotonic()) > 0:
                self._pause(rest)
            what = "the name service" if phase == "names" else "the share"
            if cancelled:
                return "cancelled", None, "ended before anything ran"
            spent = span(min(self.spec["patience"][phase], self.timeout))
            return "moved", None, f"nothing ran: {what} did not answer for {spent}"
        self.killed_hard, hanging = self.group.end_run(self._pause)
        self.hanging = len(hanging)
        if cancelled:
            return "cancelled", None, "ended"
        what = "reading the Makefile" if phase == "ask" else self.step
        return "timeout", None, f"{what} did not finish within {span(self.timeout)}"

    def _pause(self, seconds: float) -> None:
        """Wait a little during an end, and take note of everything."""
        self.deadline = time.monotonic() + 3600  # past it: the end is decided
        self._step(seconds)


def _signal(number: int) -> str:
    return f"signal {number} ({signal_name(number)})"


def span(seconds: float) -> str:
    """A time as it is written in the configuration: 90s, 5m."""
    whole = round(seconds)
    if whole >= 120 and whole % 60 == 0:  # noqa: PLR2004
        return f"{whole // 60}m"
    return f"{whole}s" if seconds >= 1 else f"{round(seconds * 1000)}ms"
