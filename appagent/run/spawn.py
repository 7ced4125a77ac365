"""The daemon's side of running: starts shims, waits for them, ends them, and adopts old ones.

Theory of operation. A shim is started and waits; the agent records which process it is, and then
lets it proceed. From then on the shim needs nobody: all that happens here is to notice its end, by
a pidfd, which works alike for a child and for a shim that an earlier agent has started. Its result
(results.py) has the outcome.

A shim that ended without a result was killed. Then its run is over only once nothing of it is
left: "never two runs of one app at once" holds over that too, so what is left of its session (or
scope) is ended first, and only then the run is reported as LOST.

Nothing here waits for a share or a name service: the directory that a shim is started in is `/`,
and everything else is done by its child.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from appagent.core.names import why_no_app
from appagent.host import proc, units
from appagent.model.applied import Identity, Run
from appagent.model.events import Ended, StepFound
from appagent.model.words import Outcome
from appagent.run import popen, results, scope
from appagent.run.launch import Paths
from appagent.run.processes import AppProcesses, Usage, of_session
from appagent.shim import cgroup, kill, output
from appagent.shim.lock import UNGUARDED
from appagent.shim.spec import PROCEED, pack

if TYPE_CHECKING:  # it is a type and nothing else: see spec.py
    from appagent.shim.spec import Spec


@dataclass(slots=True)
class _Shim:
    """A shim that this agent waits for."""

    run: Run
    identity: Identity
    pidfd: int
    child: subprocess.Popen[bytes] | None = None  # None: an earlier agent started it
    proceed: int = -1  # our end of its stdin; -1: it has got the word, or is adopted
    reports: int = -1  # our end of its stdout; -1: it has reported, or is adopted
    proceeded: bool = True
    why: str = ""  # it was asked to end
    warning: str = ""
    overdue: asyncio.TimerHandle | None = field(default=None, repr=False)

    def close_proceed(self) -> None:
        """Close our end of its stdin: without the word before that it runs nothing."""
        if self.proceed >= 0:
            os.close(self.proceed)
            self.proceed = -1

    def signal(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)


class Spawner:
    """All runs of this agent, its own and adopted ones. Lives in the agent's loop."""

    def __init__(  # noqa: PLR0913 - all but two have a default
        self,
        paths: Paths,
        on_ended: Callable[[Ended], None],
        *,
        on_step: Callable[[StepFound], None] = lambda _: None,
        boot: str = "",
        journal: bool | None = None,
        scopes: bool | None = None,
        overdue: float = 60.0,
    ) -> None:
        """Take where files go, what to call at the end of a run, and this boot.

        `on_step` is called with the step that a run has come to, where this agent has started it.
        Output goes to the journal where there is one, unless `journal` is given; runs get
        scopes where systemd can give them, unless `scopes` is given. A shim is killed
        `overdue` seconds after its own deadline.
        """
        self.paths = paths
        self.on_ended, self.on_step = on_ended, on_step
        self.boot = boot
        self.journal = os.path.exists(output.JOURNAL) if journal is None else journal
        self.scopes = scope.has_scopes() if scopes is None else scopes
        self.overdue = overdue
        self._limits = scope.Limits()
        self._processes = AppProcesses(self.paths, boot, scopes=self.scopes)
        self._shims: dict[str, _Shim] = {}  # by run id
        self._targets: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {}
        self._unguarded = False
        self._released = False

    # --- begin, proceed, end ---------------------------------------------------------------------

    async def begin(self, run: Run, spec: Spec, limits: Mapping[str, str]) -> Identity:
        """Start the shim of a run; it waits for `proceed`. Raises OSError if that is impossible.

        Fills in the part of `spec` that is known here.
        """
        if why := why_no_app(run.app):  # it becomes part of paths here; checked before, too
            raise OSError(errno.EINVAL, f"invalid app name {run.app!a}: {why}")
        for path in (self.paths.runs, self.paths.logs, self.paths.stops):
            with contextlib.suppress(OSError):  # a full disk keeps no run from it
                os.makedirs(path, 0o755, exist_ok=True)
        with contextlib.suppress(OSError):  # the shim then reports what is wrong with it
            os.makedirs(self.paths.locks, 0o700, exist_ok=True)
        warning = await self.limit(run.app, limits)
        unit = units.scope_of(run.app, run.id) if self.scopes else ""
        known, targets = self._targets.get(run.app, ((), {}))
        spec["journal"] = self.journal
        spec["targets"] = targets if known == _key(run) else None
        spec["unit"] = unit
        spec["processes"] = [] if unit else self._processes.to_send(run.app)
        try:
            message = pack(spec)
        except ValueError as error:
            raise OSError(str(error)) from None
        child, proceed, reports = popen.start(run, message, unit, self.paths.errors(run.id))
        try:
            pidfd = os.pidfd_open(child.pid)
        except OSError:
            os.close(proceed)
            os.close(reports)
            raise
        identity = Identity(child.pid, proc.started(child.pid), unit)
        shim = _Shim(run, identity, pidfd, child, proceed, reports, proceeded=False)
        shim.warning = warning
        self._wait_for(shim)
        asyncio.get_running_loop().add_reader(reports, self._on_report, run.id)
        return identity

    async def limit(self, app: str, limits: Mapping[str, str]) -> str:
        """Set the limits of all processes of an app, now and later; what went wrong, or ""."""
        return await self._limits.enforce(app, limits) if self.scopes else ""

    def proceed(self, run_id: str) -> None:
        """Let a shim proceed: its identity is recorded."""
        shim = self._shims.get(run_id)
        if shim is None or shim.proceed < 0:
            return
        shim.proceeded = True
        with contextlib.suppress(BrokenPipeError):  # it died: its end is noticed by itself
            os.write(shim.proceed, PROCEED)
        shim.close_proceed()
        self._expect_end(shim, shim.run.longest)

    def end(self, run_id: str, why: str) -> None:
        """End a run: its shim does that, by TERM, grace, KILL. Before `proceed` nothing runs."""
        shim = self._shims.get(run_id)
        if shim is None:
            return
        shim.why = why
        if shim.proceed >= 0:
            shim.close_proceed()
        else:
            shim.signal(signal.SIGTERM)

    def without_scopes(self) -> None:
        """The machine goes down: systemd starts no scope any more for the runs that remain."""
        self.scopes = False

    def adopt(self, run: Run) -> None:
        """Take over a run of an earlier agent; its end is reported like any other."""
        loop = asyncio.get_running_loop()
        identity = run.identity
        if identity is None or (identity.boot and self.boot and identity.boot != self.boot):
            # It never began as far as anybody knows, or before the machine went down.
            loop.call_soon(self._report, self._result(run, adopted=True, status=None))
            return
        shim = _Shim(run, identity, _pidfd(identity), why=run.cancelled)
        if shim.pidfd >= 0:
            self._wait_for(shim)
            self._expect_end(shim, run.longest)
            if run.cancelled:
                self.end(run.id, run.cancelled)
        else:
            self._shims[run.id] = shim
            loop.call_soon(self._on_exit, run.id)

    # --- the end of a shim -----------------------------------------------------------------------

    def _wait_for(self, shim: _Shim) -> None:
        self._shims[shim.run.id] = shim
        asyncio.get_running_loop().add_reader(shim.pidfd, self._on_exit, shim.run.id)

    def _on_report(self, run_id: str) -> None:
        """Take the one line by which a shim reports the step it has come to."""
        shim = self._shims.get(run_id)
        if shim is None or shim.reports < 0:
            return
        line = os.read(shim.reports, 4096).decode("ascii", "replace").partition("\n")[0]
        self._close_reports(shim)
        found = results.step_found(shim.run, line)
        if found is not None:
            self.on_step(found)

    def _close_reports(self, shim: _Shim) -> None:
        if shim.reports >= 0:
            asyncio.get_running_loop().remove_reader(shim.reports)
            os.close(shim.reports)
            shim.reports = -1

    def _expect_end(self, shim: _Shim, seconds: float) -> None:
        """Kill it long after its deadline: a stopped or broken shim must not block its app."""
        later = seconds + shim.run.grace + self.overdue
        shim.overdue = asyncio.get_running_loop().call_later(later, shim.signal, signal.SIGKILL)

    def _on_exit(self, run_id: str) -> None:
        """A shim has ended: with its result, or killed."""
        shim = self._shims.get(run_id)
        if shim is None:
            return
        self._close(shim)
        status = shim.child.wait() if shim.child is not None else None
        ended = self._result(shim.run, adopted=shim.child is None, status=status)
        if ended.outcome is not Outcome.LOST:
            self._finish(shim, ended)
            return
        # Finding and ending what is left of it can take the grace: not in the loop.
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._end_rest, args=(loop, shim, status), daemon=True).start()

    def _end_rest(self, loop: asyncio.AbstractEventLoop, shim: _Shim, status: int | None) -> None:
        identity = shim.identity
        path = scope.scope_path(shim.run.app, identity.unit)

        def find() -> set[int]:
            in_scope = cgroup.processes(path) if path else set[int]()
            return in_scope | of_session(identity.pid, identity.started)

        at_once = (lambda: cgroup.kill(path)) if path else None
        _, hanging = kill.end(find, shim.run.grace, kill=at_once)
        ended = self._result(shim.run, adopted=shim.child is None, status=status)
        if hanging:
            hang = f"{ended.line}; {len(hanging)} of its processes hang in the kernel"
            ended = replace(ended, line=hang)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the next agent adopts it
            loop.call_soon_threadsafe(self._finish, shim, ended)

    def _finish(self, shim: _Shim, ended: Ended) -> None:
        if self._released:
            return
        if ended.outcome is Outcome.CANCELLED and shim.why:
            ended = replace(ended, line=shim.why)
        if not shim.proceeded and ended.outcome is Outcome.LOST:
            ended = _never_began(ended, shim.why)
        if shim.warning:
            ended = replace(ended, warnings=(*ended.warnings, shim.warning))
        self._shims.pop(shim.run.id, None)
        self._report(ended)

    def _report(self, ended: Ended) -> None:
        """Report an end. That locks are impossible is reported once, until there is one again."""
        if self._released:
            return
        others = tuple(text for text in ended.warnings if not text.startswith(UNGUARDED))
        before, self._unguarded = self._unguarded, others != ended.warnings
        self.on_ended(replace(ended, warnings=others) if before else ended)

    def _close(self, shim: _Shim) -> None:
        self._close_reports(shim)
        if shim.overdue is not None:
            shim.overdue.cancel()
        if shim.pidfd >= 0:
            asyncio.get_running_loop().remove_reader(shim.pidfd)
            os.close(shim.pidfd)
            shim.pidfd = -1
        shim.close_proceed()

    def _result(self, run: Run, *, adopted: bool, status: int | None) -> Ended:
        """Read the result of a run, or report that there is none."""
        found = results.read(self.paths, run)
        if found is None:
            return results.without_result(self.paths, run, adopted=adopted, status=status)
        targets = found.get("targets")
        if isinstance(targets, str):
            pairs = (pair.partition("=") for pair in targets.split())
            self._targets[run.app] = (_key(run), {name: how for name, _, how in pairs})
        self._processes.add(run.app, found.get("processes"))
        return results.ended(run, found, adopted=adopted)

    # --- what there is now -----------------------------------------------------------------------

    def running(self, app: str) -> bool:
        """Whether the app has any process now, beside a run that is under way. Fast."""
        return self._processes.any(app, self._shims_of(app))

    def usage(self, app: str) -> Usage:
        """Count and measure the processes of the app. Reads /proc: not in the loop."""
        return self._processes.usage(app, self._shims_of(app))

    def _shims_of(self, app: str) -> set[int]:
        return {shim.identity.pid for shim in tuple(self._shims.values()) if shim.run.app == app}

    def over(self, alive: Collection[str]) -> list[str]:
        """The ids of runs with files on the disk that nobody waits for.

        `alive` are those that are under way as far as the core knows.
        """
        return sorted(results.runs(self.paths) - {*alive, *self._shims})

    def release(self) -> None:
        """Stop waiting: what runs keeps running, what has not proceeded never runs."""
        self._released = True
        for shim in self._shims.values():
            self._close(shim)
        self._shims.clear()


def _never_began(ended: Ended, why: str) -> Ended:
    """The end of a shim that never proceeded: nothing ran, the version is not to blame."""
    if why:
        return replace(ended, outcome=Outcome.CANCELLED, line=why)
    unexplained = ended.line == results.NO_RESULT
    line = "the shim ended before the run began" if unexplained else ended.line
    return replace(ended, outcome=Outcome.REFUSED, line=line)


def _key(run: Run) -> tuple[str, ...]:
    """What the targets that make was found to know belong to."""
    return run.version.release, run.version.conf, run.release_dir


def _pidfd(identity: Identity) -> int:
    """Open a process if it is still the same one; -1 if not."""
    try:
        pidfd = os.pidfd_open(identity.pid)
    except OSError:
        return -1
    now = proc.process(identity.pid)  # behind the pidfd: its number cannot be reused any more
    if now is not None and now.started == identity.started and now.alive:
        return pidfd
    os.close(pidfd)
    return -1
