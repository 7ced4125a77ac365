"""The daemon's side of running: starts shims, waits for them, ends them, and adopts old ones.

Theory of operation. A shim is started and waits; the agent writes down who it is, and then says
go. From then on the shim needs nobody: what the agent does here is only to notice its end, by a
pidfd, which works alike for a child and for a shim that an earlier agent has started. The result
file says how it went.

A shim that ended without a result was killed. Then its run is over only once nothing of it is
left: "never two runs of one app at once" holds over that too, so what is left of its session (or
scope) is ended first, and only then the run is said to be LOST.

Nothing here waits for a share or a name service: the directory that a shim is started in is `/`,
and everything else is done by its child.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from appagent.core.names import why_no_app
from appagent.model import Ended, Identity, Outcome, Run
from appagent.run import ending, output
from appagent.run.order import Order, Places, spec_of
from appagent.run.result import EXIT_BASE, OUTCOMES
from appagent.run.spec import GO, pack

FAILPOINTS = "APPAGENT_FAILPOINT"
SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim.py")

_OVERDUE = 60.0  # seconds after its own deadline in which a shim must be done
_TAIL_LINE = 300


@dataclass(slots=True)
class _Watched:
    """A shim that is waited for."""

    run: Run
    identity: Identity
    pidfd: int
    child: subprocess.Popen[bytes] | None = None  # None: an earlier agent started it
    go: int = -1  # the end of the pipe that says go; -1: said, or never ours to say
    went: bool = True
    why: str = ""
    key: tuple[str, ...] = ()
    overdue: asyncio.TimerHandle | None = field(default=None, repr=False)


class Spawner:
    """All runs of this agent, its own and adopted ones. Lives in the agent's loop."""

    def __init__(
        self,
        state_dir: str,
        on_ended: Callable[[Ended], None],
        *,
        boot: str = "",
        journal: bool | None = None,
    ) -> None:
        """Take where results are, whom to tell of an end, and this boot as identities name it.

        Output goes to the journal where there is one, unless `journal` says otherwise.
        """
        self.places = Places(os.path.abspath(state_dir))
        self.on_ended = on_ended
        self.boot = boot
        self.journal = os.path.exists(output.JOURNAL) if journal is None else journal
        self._watched: dict[str, _Watched] = {}
        self._targets: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {}
        self._told: dict[str, str] = {}  # app → run whose result has been handed over
        self._released = False

    # --- begin, go, end --------------------------------------------------------------------------

    async def begin(self, run: Run, order: Order) -> Identity:
        """Start the shim of a run; it waits for the go. Raises OSError if it cannot be started."""
        if why := why_no_app(run.app):  # it becomes part of paths here; others have refused it too
            raise OSError(errno.EINVAL, f"{run.app!a} is no app: {why}")
        os.makedirs(self.places.runs, 0o755, exist_ok=True)
        os.makedirs(self.places.logs, 0o755, exist_ok=True)
        self._clear(self._told.pop(run.app, ""))
        key = (run.version.release, run.version.conf, run.release_dir)
        known, targets = self._targets.get(run.app, ((), {}))
        spec = spec_of(
            run,
            order,
            self.places,
            journal=self.journal,
            targets=targets if known == key else None,
            failpoints=os.environ.get(FAILPOINTS, ""),
        )
        try:
            told = pack(spec)
        except ValueError as error:
            raise OSError(str(error)) from None
        child, go = self._start(run, told)
        try:
            pidfd = os.pidfd_open(child.pid)
            looked = ending.process(child.pid)
        except OSError:
            os.close(go)
            raise
        identity = Identity(child.pid, looked.started if looked else 0)
        self._watch(_Watched(run, identity, pidfd, child, go, went=False, key=key))
        return identity

    def _start(self, run: Run, told: bytes) -> tuple[subprocess.Popen[bytes], int]:
        """Start the process and tell it everything but the go; the pipe's other end."""
        listen, go = os.pipe2(os.O_CLOEXEC)
        try:
            os.write(go, told)  # it fits, see spec.MAX_BYTES
            with open(self.places.complaints(run.id), "wb") as complaints:
                # A TERM before the shim has its handler must wait for it.
                before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
                try:
                    child = subprocess.Popen(
                        [sys.executable, "-I", "-S", SHIM, run.app, run.target, run.id],
                        stdin=listen,
                        stdout=complaints,
                        stderr=complaints,
                        cwd="/",
                        env=_shim_environment(),
                        start_new_session=True,
                    )
                finally:
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
        except BaseException:
            os.close(go)
            raise
        finally:
            os.close(listen)
        return child, go

    def go(self, run_id: str) -> None:
        """Let a run that was begun go: its identity is recorded."""
        watched = self._watched.get(run_id)
        if watched is None or watched.go < 0:
            return
        watched.went = True
        with contextlib.suppress(BrokenPipeError):  # it died: its end is noticed by itself
            os.write(watched.go, GO)
        os.close(watched.go)
        watched.go = -1
        self._expect(watched, watched.run.timeout)

    def end(self, run_id: str, why: str) -> None:
        """End a run: TERM, grace, KILL; its shim does that. Before the go nothing runs at all."""
        watched = self._watched.get(run_id)
        if watched is None:
            return
        watched.why = why
        if watched.go >= 0:
            os.close(watched.go)
            watched.go = -1
        else:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(watched.pidfd, signal.SIGTERM)

    # --- adopting --------------------------------------------------------------------------------

    def adopt(self, run: Run) -> None:
        """Take over a run that an earlier agent has left behind; its end is told as any other."""
        loop = asyncio.get_running_loop()
        identity = run.identity
        if identity is None or (identity.boot and self.boot and identity.boot != self.boot):
            # Never begun as far as anybody knows, or before the machine went down.
            loop.call_soon(self._tell, run, self._result(run, adopted=True, status=None))
            return
        pidfd = _pidfd(identity)
        watched = _Watched(run, identity, pidfd, why=run.cancelled)
        if pidfd >= 0:
            self._watch(watched)
            self._expect(watched, run.timeout)
            if run.cancelled:
                self.end(run.id, run.cancelled)
        else:
            self._watched[run.id] = watched
            loop.call_soon(self._is_over, run.id)

    # --- the end of a shim -----------------------------------------------------------------------

    def _watch(self, watched: _Watched) -> None:
        self._watched[watched.run.id] = watched
        asyncio.get_running_loop().add_reader(watched.pidfd, self._is_over, watched.run.id)

    def _expect(self, watched: _Watched, seconds: float) -> None:
        """A shim that is stopped, or broken, must not hold its app for ever."""
        later = seconds + watched.run.grace + _OVERDUE
        loop = asyncio.get_running_loop()
        watched.overdue = loop.call_later(later, self._kill, watched.run.id)

    def _kill(self, run_id: str) -> None:
        watched = self._watched.get(run_id)
        if watched is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(watched.pidfd, signal.SIGKILL)

    def _is_over(self, run_id: str) -> None:
        """The shim has ended: by its result, or killed."""
        watched = self._watched.get(run_id)
        if watched is None:
            return
        self._let_go(watched)
        status = watched.child.wait() if watched.child is not None else None
        ended = self._result(watched.run, adopted=watched.child is None, status=status)
        if ended.outcome is not Outcome.LOST:
            self._finish(watched, ended)
            return
        # What is left of it is looked for, and ended, beside the loop: that can take the grace.
        loop = asyncio.get_running_loop()
        threading.Thread(
            target=self._end_leftovers, args=(loop, watched, status), daemon=True
        ).start()

    def _end_leftovers(
        self, loop: asyncio.AbstractEventLoop, watched: _Watched, status: int | None
    ) -> None:
        identity = watched.identity
        _, left = ending.end(
            lambda: ending.of_session(identity.pid, identity.started), watched.run.grace
        )
        ended = self._result(watched.run, adopted=watched.child is None, status=status)
        if left:
            hang = f"{ended.line}; {len(left)} of its processes hang in the kernel"
            ended = replace(ended, line=hang)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the next agent adopts it
            loop.call_soon_threadsafe(self._finish, watched, ended)

    def _finish(self, watched: _Watched, ended: Ended) -> None:
        if self._released:
            return
        if ended.outcome is Outcome.CANCELLED and watched.why:
            ended = replace(ended, line=watched.why)
        if not watched.went and ended.outcome is Outcome.LOST:
            text = ended.line if ended.line != _NO_RESULT else "the shim ended before it began"
            ended = replace(ended, outcome=Outcome.FAILED, line=text)
            if watched.why:
                ended = replace(ended, outcome=Outcome.CANCELLED, line=watched.why)
        self._watched.pop(watched.run.id, None)
        self._tell(watched.run, ended)

    def _tell(self, run: Run, ended: Ended) -> None:
        if self._released:
            return
        self._told[run.app] = run.id
        self.on_ended(ended)

    def _let_go(self, watched: _Watched) -> None:
        if watched.overdue is not None:
            watched.overdue.cancel()
        if watched.pidfd >= 0:
            asyncio.get_running_loop().remove_reader(watched.pidfd)
            os.close(watched.pidfd)
            watched.pidfd = -1
        if watched.go >= 0:
            os.close(watched.go)
            watched.go = -1

    def _result(self, run: Run, *, adopted: bool, status: int | None) -> Ended:
        """Read what the shim has left, or say that there is nothing."""
        found = _read(self.places.result(run.id))
        if found is not None:
            targets = found.get("targets")
            if isinstance(targets, str):
                pairs = (pair.partition("=") for pair in targets.split())
                key = (run.version.release, run.version.conf, run.release_dir)
                self._targets[run.app] = (key, {name: how for name, _, how in pairs})
            return _ended(run, found, adopted=adopted)
        if status is not None and 0 <= status - EXIT_BASE < len(OUTCOMES):
            outcome = Outcome(OUTCOMES[status - EXIT_BASE])
            line = "its result could not be written (is the disk full?)"
            return Ended(run.app, run.id, outcome, line=line, adopted=adopted)
        line = self._complaint(run.id) or _NO_RESULT
        return Ended(run.app, run.id, Outcome.LOST, line=line, adopted=adopted)

    def _complaint(self, run_id: str) -> str:
        """The last line that the shim, or systemd-run, wrote about itself."""
        try:
            with open(self.places.complaints(run_id), "rb") as file:
                lines = output.clean(file.read(65536)).strip().splitlines()
        except OSError:
            return ""
        return lines[-1][:_TAIL_LINE] if lines else ""

    # --- housekeeping ----------------------------------------------------------------------------

    def log_file(self, app: str) -> str:
        """The file that an app's output goes to, or "" where it goes to the journal."""
        return "" if self.journal else self.places.log(app)

    def trim(self, apps: Collection[str]) -> list[str]:
        """Cut the output files that what runs on has made too large. Safe in another thread."""
        return output.trim_all([self.places.log(app) for app in apps])

    def sweep(self, keep: Collection[str]) -> None:
        """Remove what runs have left that nobody waits for: all but those of these ids."""
        kept = {*keep, *self._watched, *self._told.values()}
        with contextlib.suppress(OSError):
            names = os.listdir(self.places.runs)
            for run_id in {name.rpartition(".")[0].removesuffix(".json") for name in names}:
                if run_id not in kept:
                    self._clear(run_id)

    def _clear(self, run_id: str) -> None:
        """Remove the result of a run whose outcome has been recorded."""
        if not run_id:
            return
        result = self.places.result(run_id)
        for path in (result, f"{result}.new", self.places.complaints(run_id)):
            with contextlib.suppress(OSError):
                os.unlink(path)
        bare = self.places.bare(run_id)
        with contextlib.suppress(OSError):
            os.unlink(f"{bare}/Makefile")
        with contextlib.suppress(OSError):
            os.rmdir(bare)

    def release(self) -> None:
        """Let go of everything: what runs goes on, what waits for a go never runs."""
        self._released = True
        for watched in self._watched.values():
            self._let_go(watched)
        self._watched.clear()


_NO_RESULT = "the run left no result: it was interrupted"


def _shim_environment() -> dict[str, str]:
    """What the shim itself needs; nothing of it reaches a target."""
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": os.environ.get("HOME", "/")}


def _pidfd(identity: Identity) -> int:
    """Get hold of a process if it is still the one that was meant; -1 if not."""
    try:
        pidfd = os.pidfd_open(identity.pid)
    except OSError:
        return -1
    now = ending.process(identity.pid)  # behind the pidfd: it cannot change hands any more
    if now is not None and now.started == identity.started and now.alive:
        return pidfd
    os.close(pidfd)
    return -1


def _read(path: str) -> dict[str, object] | None:
    """Read a result; None if there is none that makes sense (the machine went down over it)."""
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("outcome") in OUTCOMES else None


def _ended(run: Run, found: dict[str, object], *, adopted: bool) -> Ended:
    code, seconds, warnings = found.get("exit_code"), found.get("seconds"), found.get("warnings")
    return Ended(
        app=run.app,
        run_id=run.id,
        outcome=Outcome(str(found["outcome"])),
        exit_code=code if isinstance(code, int) else None,
        seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
        line=str(found.get("line") or ""),
        tail=str(found.get("tail") or ""),
        warnings=tuple(map(str, warnings)) if isinstance(warnings, list) else (),
        adopted=adopted,
    )
