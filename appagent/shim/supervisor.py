"""The parent half of a shim: it waits for the word to proceed, runs one step, builds the result.

A run is the first of its steps that the Makefile has a target for (targets.py). Most are one child
that becomes make (attempt.py). A check is tried again and again; a restart without a target of its
own is a stop and then a start, within the one deadline.
"""

from __future__ import annotations

import os
import select
import time

from appagent.host import proc
from appagent.shim import kept, output
from appagent.shim.attempt import Attempts, span
from appagent.shim.prepare import KEEPS_COPY
from appagent.shim.spec import PROCEED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from appagent.shim.attempt import Attempt

_CHECK_EVERY = 1.0


class Shim(Attempts):
    """One run, from the word to proceed to its result."""

    stopped = False  # by a restart, that is: its second half is a start

    def wait_to_proceed(self, fd: int) -> bool:
        """Wait for the word of the daemon; False if it ended, or cancelled the run."""
        self._poll.register(fd, select.POLLIN)
        word = b""
        while not self.asked_to_end and len(word) < len(PROCEED):
            for ready, _ in self._poll.poll():
                if ready == fd:
                    more = os.read(fd, len(PROCEED) - len(word))
                    if not more:
                        return False
                    word += more
                else:
                    self._drain()
        self._poll.unregister(fd)
        return not self.asked_to_end

    def nothing(self, outcome: str, line: str) -> dict[str, object]:
        """Build the result of a run that never started."""
        return self._result(outcome, None, line)

    def run(self) -> dict[str, object]:
        """Run the first step that the Makefile has; the result."""
        self.started = time.monotonic()
        self.started_wall = time.time()
        self.deadline = self.started + self.timeout
        self.copy = os.memfd_create("makefile")
        self.output = self._open_output()
        tried = self._attempt()
        if self.step == "check":
            tried = self._check(tried)
        elif self.calls == ["stop", "start"]:
            tried = self._start_after_stop(tried)
        outcome, code, line = tried
        if outcome == "ok" and self.step in KEEPS_COPY:
            self._keep_copy()
        if self.step == "stop" and outcome in {"ok", "missing", "timeout"}:
            self._end_rest()
        return self._result(outcome, code, line)

    def _start_after_stop(self, tried: Attempt) -> Attempt:
        """Start what was stopped, where there is no target to restart it."""
        outcome, code, line = tried
        if outcome not in {"ok", "missing"}:
            return outcome, code, f"make stop: {line}"
        deadline = self.deadline
        self._end_rest()
        self.deadline = deadline
        self.stopped = True
        self.spec["targets"] = self._known()
        outcome, code, line = self._attempt("start")
        return outcome, code, f"make start: {line}" if line else ""

    def _end_rest(self) -> None:
        """End the processes that are left after a stop: a stopped app has none."""
        rest = self.group.of_app()
        if not rest:
            return
        noun = "process" if len(rest) == 1 else "processes"
        what = ", ".join(sorted({proc.name(pid) for pid in rest})[:5])
        self.warnings.append(f"killed {len(rest)} leftover {noun} after stop: {what}")
        _, hanging = self.group.end_app(self._pause)
        self.hanging = len(hanging)

    # --- check, again and again ------------------------------------------------------------------

    def _check(self, tried: Attempt) -> Attempt:
        """Try until it succeeds, or at the deadline take the outcome of the last try that ended.

        A check whose every try hangs is a timeout; one that fails until the end has failed.
        """
        deadline = self.deadline
        last: Attempt | None = None
        tries = 0
        while True:
            tries += 1
            outcome, code, _ = tried
            if outcome == "timeout" and last is not None:
                break
            if outcome != "failed" or code is None or self.phase != "make":
                return tried
            last = tried
            self.spec["targets"] = self._known()
            next_try = time.monotonic() + _CHECK_EVERY
            while (rest := min(next_try, deadline) - time.monotonic()) > 0:
                if self._is_to_end():
                    return "cancelled", None, "ended"
                self._step(rest)
            if time.monotonic() >= deadline:
                break
            tried = self._attempt("check")
        outcome, code, line = last
        many = "once" if tries == 1 else f"{tries} times"
        return outcome, code, f"tried {many} in {span(self.timeout)}, last: {line}"

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
                    f"cannot write to the journal ({error.strerror}); see {self.spec['log']}"
                )
        self.log = output.Log(self.spec["log"], self.spec["log_limit"], self.warnings)
        return self.log.fd

    def _keep_copy(self) -> None:
        """Keep what a stop needs once the app is removed. A full local disk is only a warning."""
        try:
            makefile = os.pread(self.copy, os.fstat(self.copy).st_size, 0)
            kept.keep(self.spec["kept"], self.uid, makefile)
        except OSError as error:
            self.warnings.append(f"cannot keep a copy of the Makefile: {error.strerror}")

    def _result(self, outcome: str, code: int | None, line: str) -> dict[str, object]:
        tail = ""
        if outcome in {"failed", "timeout"}:
            tail = output.clean(
                self.log.tail()
                if self.log is not None
                else output.journal_tail(self.spec["app"], self.started_wall)
            )
            shown = output.failure_line(tail)
            if shown and self.phase == "make":
                line = f"{line}: {shown}"
        if self.log is not None:
            output.trim(self.log.path, self.log.limit)
        if self.killed_hard:
            line += ", did not end on TERM and was killed"
        if self.hanging:
            line += (
                f"; {self.hanging} of its processes hang in the kernel (is the share unavailable?)"
            )
        lives = outcome in {"ok", "failed"} and not self.childless
        return {
            "run_id": self.spec["run_id"],
            "outcome": outcome,
            "exit_code": code,
            "seconds": round(time.monotonic() - self.started, 3),
            "line": line,
            "tail": tail,
            "warnings": self.warnings,
            "targets": self.targets,
            "processes": self.group.remaining() if lives else [],
            "step": self.step,
            "stopped": self.stopped,
            "calls": " ".join(self.calls),
        }
