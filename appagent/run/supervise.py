"""The parent half of a shim: it keeps the time, ends the run when it must, and leaves a result.

Theory of operation. One thread, one poll: on the pipe from the child, and on a descriptor that a
signal wakes. Nothing here touches the share or a name service, so the deadline holds whatever
they do. TERM to the shim means: end the run. What was started and is orphaned becomes ours
(subreaper), and so a forced end is complete; after a normal one, what runs on is left alone: it is
the app.

A child that has not come to make yet hangs in a name service or on the share. It is killed; and
if it cannot be, because the kernel holds it, it is left: with a KILL pending it never gets to
make, and so the run is over, MOVED, with nothing done.
"""

from __future__ import annotations

import os
import select
import time

from appagent.run import ending, kept, output
from appagent.run.child import KEEPS_COPY, Child
from appagent.run.kernel import signal, signal_name
from appagent.run.reach import Reach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from appagent.run.spec import Spec

_PREPARING = ("names", "share")  # phases in which nothing of the app has run yet
_KILLED_SOON = 1.0  # seconds for a killed child to be gone, before it is said to hang
_CHECK_EVERY = 1.0
_RECENT = 4096
_MOST_WARNINGS = 20  # of one run


class Shim:
    """One run, from the go to its result."""

    def __init__(self, spec: Spec) -> None:
        """Take the order, and the signals."""
        self.spec = spec
        self.reach = Reach(spec)
        self.asked_to_end = False
        self.warnings: list[str] = []
        self.targets: str | None = None
        self.uid = -1
        self.phase = ""
        self.phase_began = 0.0
        self.verdict: tuple[str, int, str] | None = None  # what the child said of itself
        self.log: output.Log | None = None
        self.next_look = 0.0
        self.killed_hard = False
        self.hanging = 0
        self.child = 0
        self.childless = True
        self.status: int | None = None
        self.output = self.copy = -1
        self.began = time.monotonic()
        self.began_wall = time.time()
        self.deadline = self.began + spec["timeout"]
        self._heard = b""
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

    def wait_for_go(self, fd: int) -> bool:
        """Wait until the daemon says go; False if it went away or thought better of it."""
        self._poll.register(fd, select.POLLIN)
        heard = b""
        while not self.asked_to_end and len(heard) < 3:  # noqa: PLR2004 - b"go\n"
            for ready, _ in self._poll.poll():
                if ready == fd:
                    more = os.read(fd, 3 - len(heard))
                    if not more:
                        return False
                    heard += more
                else:
                    self._drain()
        self._poll.unregister(fd)
        return not self.asked_to_end

    def nothing(self, outcome: str, line: str) -> dict[str, object]:
        """Give the result of a run that was not to be."""
        return self._result(outcome, None, line)

    def run(self) -> dict[str, object]:
        """Run the target; give the result."""
        spec = self.spec
        self.began = time.monotonic()
        self.began_wall = time.time()
        self.deadline = self.began + spec["timeout"]
        self.copy = os.memfd_create("makefile")
        try:
            self.output = self._open_output()
        except OSError as error:
            return self._result("refused", None, f"nothing ran, for want of a place for output: "
                                f"{spec['log']}: {error.strerror}")  # fmt: skip
        if spec["target"] == "check":
            outcome, code, line = self._check()
        else:
            outcome, code, line = self._attempt()
        if outcome == "ok" and spec["target"] in KEEPS_COPY:
            self._keep_copy()
        if spec["target"] == "stop" and outcome in {"ok", "missing", "timeout"}:
            self._end_rest()
        return self._result(outcome, code, line)

    # --- one attempt -----------------------------------------------------------------------------

    def _attempt(self) -> tuple[str, int | None, str]:
        """Start one child and see it through: outcome, exit code, line."""
        self._start()
        while True:
            self._step()
            if self.status is not None:
                self._listen()
                return self._judge(self.status)
            now = time.monotonic()
            limit = self._limit()
            if self.asked_to_end or now >= limit:
                return self._end_it()

    def _start(self) -> None:
        heard, report = os.pipe2(os.O_CLOEXEC)
        self.verdict = self.status = None
        self._heard = b""
        self._begin_phase("names")
        me = os.getpid()
        self.childless = False
        self.child = os.fork()
        if self.child == 0:
            signal.set_wakeup_fd(-1)
            Child(self.spec, report, self.copy, me, self.reach.run).main(self.output)
        os.close(report)
        os.set_blocking(heard, False)
        self._report = heard
        self._poll.register(heard, select.POLLIN)

    def _begin_phase(self, phase: str) -> None:
        self.phase = phase
        self.phase_began = time.monotonic()

    def _limit(self) -> float:
        """When the child must be ended, as it is now."""
        if self.phase in _PREPARING:
            return min(self.deadline, self.phase_began + self.spec["patience"][self.phase])
        return self.deadline

    def _step(self, most: float = 3600.0) -> None:
        """Wait until something happens, and take note of it."""
        now = time.monotonic()
        until = min(self._limit(), now + most)
        if self.log is not None:
            if now >= self.next_look:
                self.next_look = now + self.log.watch()
            until = min(until, self.next_look)
        for fd, _ in self._poll.poll(max(0, int((until - now) * 1000) + 1)):
            if fd == self._report:
                self._listen()
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

    def _listen(self) -> None:
        """Read what the child says; the pipe ends when make takes its place."""
        while self._report >= 0:
            try:
                more = os.read(self._report, _RECENT)
            except BlockingIOError:
                return
            if more:
                *lines, self._heard = (self._heard + more).split(b"\n")
                for line in lines:
                    self._hear(line.decode("utf-8", "replace"))
            else:
                self._poll.unregister(self._report)
                os.close(self._report)
                self._report = -1

    def _hear(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "phase":
            self._begin_phase(rest)
        elif word == "uid":
            self.uid = int(rest)
        elif word == "targets":
            self.targets = rest
        elif word == "warn":
            if rest not in self.warnings and len(self.warnings) < _MOST_WARNINGS:
                self.warnings.append(rest)
        elif word == "end":
            outcome, status, text = rest.split(" ", 2)
            self.verdict = (outcome, int(status), text)

    def _judge(self, status: int) -> tuple[str, int | None, str]:
        """Say how it went, once the child is over by itself."""
        if self.verdict is not None:
            outcome, code, text = self.verdict
            return outcome, code or None, text
        code = os.waitstatus_to_exitcode(status)
        if self.phase != "make":
            if code < 0 and self.phase == "ask":
                return "failed", 128 - code, f"reading the Makefile: killed by {_signal(-code)}"
            return "refused", None, f"nothing ran: the shim's child ended while at {self.phase}"
        if code == 0:
            return "ok", 0, ""
        if code < 0:
            return "failed", 128 - code, f"killed by {_signal(-code)}"
        return "failed", code, f"exit {code}"

    # --- the forced end --------------------------------------------------------------------------

    def _end_it(self) -> tuple[str, int | None, str]:
        """End the run because it was asked for, or its time is over."""
        cancelled = self.asked_to_end
        phase = self.phase
        if phase in _PREPARING:
            self._kill_child()
            what = "the name service" if phase == "names" else "the share"
            if cancelled:
                return "cancelled", None, "ended before anything ran"
            spent = _span(min(self.spec["patience"][phase], self.spec["timeout"]))
            return "moved", None, f"nothing ran: {what} did not answer for {spent}"
        self.killed_hard, left = self.reach.end_run(self._pause)
        self.hanging = len(left)
        if cancelled:
            return "cancelled", None, "ended"
        what = "reading the Makefile was" if phase == "ask" else f"{self.spec['target']} was"
        return "timeout", None, f"{what} not done after {_span(self.spec['timeout'])}"

    def _kill_child(self) -> None:
        until = time.monotonic() + _KILLED_SOON
        ending.send({self.child}, signal.SIGKILL)
        while self.status is None and (rest := until - time.monotonic()) > 0:
            self._pause(rest)

    def _pause(self, seconds: float) -> None:
        """Pass a little time during an end, with an eye on everything."""
        self.deadline = time.monotonic() + 3600  # it has been decided
        self._step(seconds)

    def _end_rest(self) -> None:
        """End what a stop has left of its app: a stopped app has no processes."""
        rest = self.reach.of_app()
        if not rest:
            return
        what = ", ".join(sorted({ending.name(pid) for pid in rest})[:5])
        self.warnings.append(f"after stop {len(rest)} processes were left and ended: {what}")
        _, left = self.reach.end_app(self._pause)
        self.hanging = len(left)

    # --- check, again and again ------------------------------------------------------------------

    def _check(self) -> tuple[str, int | None, str]:
        """Try until it succeeds. At the end of its time: how the last try that came to an end went.

        A check whose every try hangs is a timeout, one that says no until the end has failed.
        """
        deadline = self.deadline
        last: tuple[str, int | None, str] | None = None
        tries = 0
        while True:
            tries += 1
            outcome, code, line = self._attempt()
            if outcome == "timeout" and last is not None:
                break
            if outcome != "failed" or code is None or self.phase != "make":
                return outcome, code, line
            last = outcome, code, line
            self.spec["targets"] = self._known()
            next_try = time.monotonic() + _CHECK_EVERY
            while (rest := min(next_try, deadline) - time.monotonic()) > 0:
                if self.asked_to_end:
                    return "cancelled", None, "ended"
                self._step(rest)
            if time.monotonic() >= deadline:
                break
        outcome, code, line = last
        many = "once" if tries == 1 else f"{tries} times"
        return outcome, code, f"tried {many} in {_span(self.spec['timeout'])}, last: {line}"

    def _known(self) -> dict[str, str] | None:
        if self.targets is None:
            return self.spec["targets"]
        return dict(pair.split("=", 1) for pair in self.targets.split())

    # --- output, copy, result --------------------------------------------------------------------

    def _open_output(self) -> int:
        if self.spec["journal"]:
            try:
                return output.journal(self.spec["app"])
            except OSError as error:
                self.warnings.append(
                    f"the journal takes no output ({error.strerror}): it is in {self.spec['log']}"
                )
        self.log = output.Log(self.spec["log"], self.spec["log_limit"], self.warnings)
        return self.log.fd

    def _keep_copy(self) -> None:
        """Keep what a stop will need once the app is gone. Local disk; a full one is no failure."""
        try:
            makefile = os.pread(self.copy, os.fstat(self.copy).st_size, 0)
            kept.keep(self.spec["kept"], self.uid, makefile)
        except OSError as error:
            self.warnings.append(f"no copy of the Makefile was kept: {error.strerror}")

    def _tail(self) -> str:
        if self.log is not None:
            return output.clean(self.log.tail())
        return output.clean(output.journal_tail(self.spec["app"], self.began_wall))

    def _result(self, outcome: str, code: int | None, line: str) -> dict[str, object]:
        tail = ""
        if outcome in {"failed", "timeout"}:
            tail = self._tail()
            said = output.last_words(tail)
            if said and self.phase == "make":
                line = f"{line}: {said}"
        if self.log is not None:
            output.trim(self.log.path, self.log.limit)
        if self.killed_hard:
            line += ", did not end on TERM and was killed"
        if self.hanging:
            line += f"; {self.hanging} of its processes hang in the kernel (is the share away?)"
        left: list[list[int]] = []
        if outcome in {"ok", "failed"} and not self.childless:
            left = [
                [one.pid, one.started]
                for pid in self.reach.of_run()
                if (one := ending.process(pid)) is not None
            ]
        return {
            "run_id": self.spec["run_id"],
            "outcome": outcome,
            "exit_code": code,
            "seconds": round(time.monotonic() - self.began, 3),
            "line": line,
            "tail": tail,
            "warnings": self.warnings,
            "targets": self.targets,
            "left": left,
        }


def _signal(number: int) -> str:
    return f"signal {number} ({signal_name(number)})"


def _span(seconds: float) -> str:
    """Say a time as the configuration would: 90s, 5m."""
    whole = round(seconds)
    if whole >= 120 and whole % 60 == 0:  # noqa: PLR2004
        return f"{whole // 60}m"
    return f"{whole}s" if seconds >= 1 else f"{round(seconds * 1000)}ms"
