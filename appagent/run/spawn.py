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
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from appagent.core.names import why_no_app
from appagent.host import proc, units
from appagent.model.applied import Identity, Run
from appagent.model.events import Ended, StepFound
from appagent.model.words import Outcome
from appagent.run import popen, results, scope
from appagent.run.app_processes import AppProcesses, Usage
from appagent.run.launch import Order, Places, spec_of
from appagent.shim import cgroup, kill, output
from appagent.shim.lock import UNGUARDED
from appagent.shim.spec import GO, pack

FAILPOINTS = "APPAGENT_FAILPOINT"

_OVERDUE = 60.0  # seconds after its own deadline in which a shim must be done


@dataclass(slots=True)
class _Watched:
    """A shim that is waited for."""

    run: Run
    identity: Identity
    pidfd: int
    child: subprocess.Popen[bytes] | None = None  # None: an earlier agent started it
    go: int = -1  # the end of the pipe that says go; -1: said, or never ours to say
    heard: int = -1  # … of the pipe that the shim speaks on; -1: it has said all, or not to us
    went: bool = True
    why: str = ""
    warning: str = ""
    overdue: asyncio.TimerHandle | None = field(default=None, repr=False)


class Spawner:
    """All runs of this agent, its own and adopted ones. Lives in the agent's loop."""

    def __init__(  # noqa: PLR0913 - all but two have a default
        self,
        places: Places,
        on_ended: Callable[[Ended], None],
        *,
        on_step: Callable[[StepFound], None] = lambda _: None,
        boot: str = "",
        journal: bool | None = None,
        scopes: bool | None = None,
    ) -> None:
        """Take where results are, whom to tell of an end, and this boot as identities name it.

        `on_step` is told which step a run has found, where this agent has begun it.
        Output goes to the journal where there is one, unless `journal` says otherwise; runs get
        scopes where systemd can give them, unless `scopes` says otherwise.
        """
        self.places = places
        self.on_ended, self.on_step = on_ended, on_step
        self.boot = boot
        self.journal = os.path.exists(output.JOURNAL) if journal is None else journal
        self.scopes = scope.has_scopes() if scopes is None else scopes
        self._limits = scope.Limits()
        self._belongings = AppProcesses(self.places, boot, scopes=self.scopes)
        self._watched: dict[str, _Watched] = {}
        self._targets: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {}
        self._unguarded = False
        self._released = False

    # --- begin, go, end --------------------------------------------------------------------------

    async def begin(self, run: Run, order: Order) -> Identity:
        """Start the shim of a run; it waits for the go. Raises OSError if it cannot be started."""
        if why := why_no_app(run.app):  # it becomes part of paths here; others have refused it too
            raise OSError(errno.EINVAL, f"{run.app!a} is no app: {why}")
        for path in (self.places.runs, self.places.logs, self.places.stops):
            with contextlib.suppress(OSError):  # a disk that takes nothing keeps no run from it
                os.makedirs(path, 0o755, exist_ok=True)
        with contextlib.suppress(OSError):  # the shim then says what is wrong with it
            os.makedirs(self.places.locks, 0o700, exist_ok=True)
        warning = await self.limit(run.app, order.limits)
        unit = units.scope_of(run.app, run.id) if self.scopes else ""
        known, targets = self._targets.get(run.app, ((), {}))
        spec = spec_of(
            run,
            order,
            self.places,
            journal=self.journal,
            targets=targets if known == _key(run) else None,
            unit=unit,
            left=[] if unit else self._belongings.marks(run.app),
            boot=self.boot,
            failpoints=os.environ.get(FAILPOINTS, ""),
        )
        try:
            told = pack(spec)
        except ValueError as error:
            raise OSError(str(error)) from None
        child, go, heard = popen.start(run, told, unit, self.places.complaints(run.id))
        try:
            pidfd = os.pidfd_open(child.pid)
            looked = proc.process(child.pid)
        except OSError:
            os.close(go)
            os.close(heard)
            raise
        identity = Identity(child.pid, looked.started if looked else 0, unit)
        self._watch(_Watched(run, identity, pidfd, child, go, heard, went=False, warning=warning))
        asyncio.get_running_loop().add_reader(heard, self._hear, run.id)
        return identity

    async def limit(self, app: str, limits: Mapping[str, str]) -> str:
        """Have all processes of an app keep to its limits from now on; what went wrong, or ""."""
        return await self._limits.enforce(app, limits) if self.scopes else ""

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
        self._expect(watched, watched.run.longest)

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

    def without_scopes(self) -> None:
        """The machine goes down: systemd would refuse to start a scope for what is to run yet."""
        self.scopes = False

    # --- adopting --------------------------------------------------------------------------------

    def adopt(self, run: Run) -> None:
        """Take over a run that an earlier agent has left behind; its end is told as any other."""
        loop = asyncio.get_running_loop()
        identity = run.identity
        if identity is None or (identity.boot and self.boot and identity.boot != self.boot):
            # Never begun as far as anybody knows, or before the machine went down.
            loop.call_soon(self._tell, self._result(run, adopted=True, status=None))
            return
        pidfd = _pidfd(identity)
        watched = _Watched(run, identity, pidfd, why=run.cancelled)
        if pidfd >= 0:
            self._watch(watched)
            self._expect(watched, run.longest)
            if run.cancelled:
                self.end(run.id, run.cancelled)
        else:
            self._watched[run.id] = watched
            loop.call_soon(self._is_over, run.id)

    # --- the end of a shim -----------------------------------------------------------------------

    def _watch(self, watched: _Watched) -> None:
        self._watched[watched.run.id] = watched
        asyncio.get_running_loop().add_reader(watched.pidfd, self._is_over, watched.run.id)

    def _hear(self, run_id: str) -> None:
        """The shim says which step it has found: one line, and then nothing more."""
        watched = self._watched.get(run_id)
        if watched is None or watched.heard < 0:
            return
        said = os.read(watched.heard, 4096).decode("ascii", "replace")
        self._stop_hearing(watched)
        found = results.step_found(watched.run, said.partition("\n")[0])
        if found is not None:
            self.on_step(found)

    def _stop_hearing(self, watched: _Watched) -> None:
        if watched.heard >= 0:
            asyncio.get_running_loop().remove_reader(watched.heard)
            os.close(watched.heard)
            watched.heard = -1

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
        path = scope.scope_path(watched.run.app, identity.unit)

        def find() -> set[int]:
            of_scope = cgroup.processes(path) if path else set[int]()
            return of_scope | kill.of_session(identity.pid, identity.started)

        at_once = (lambda: cgroup.kill(path)) if path else None
        _, hanging = kill.end(find, watched.run.grace, kill=at_once)
        ended = self._result(watched.run, adopted=watched.child is None, status=status)
        if hanging:
            hang = f"{ended.line}; {len(hanging)} of its processes hang in the kernel"
            ended = replace(ended, line=hang)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the next agent adopts it
            loop.call_soon_threadsafe(self._finish, watched, ended)

    def _finish(self, watched: _Watched, ended: Ended) -> None:
        if self._released:
            return
        if ended.outcome is Outcome.CANCELLED and watched.why:
            ended = replace(ended, line=watched.why)
        if not watched.went and ended.outcome is Outcome.LOST:
            ended = _not_begun(ended, watched.why)
        if watched.warning:
            ended = replace(ended, warnings=(*ended.warnings, watched.warning))
        self._watched.pop(watched.run.id, None)
        self._tell(ended)

    def _tell(self, ended: Ended) -> None:
        if self._released:
            return
        self.on_ended(self._said_once(ended))

    def _said_once(self, ended: Ended) -> Ended:
        """Say only once that there are no locks, until there is one again."""
        news = tuple(text for text in ended.warnings if not text.startswith(UNGUARDED))
        before, self._unguarded = self._unguarded, news != ended.warnings
        return replace(ended, warnings=news) if before else ended

    def _let_go(self, watched: _Watched) -> None:
        self._stop_hearing(watched)
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
        found = results.read(self.places, run)
        if found is None:
            return results.without_result(self.places, run, adopted=adopted, status=status)
        targets = found.get("targets")
        if isinstance(targets, str):
            pairs = (pair.partition("=") for pair in targets.split())
            self._targets[run.app] = (_key(run), {name: how for name, _, how in pairs})
        self._belongings.remember(run.app, found.get("left"))
        return results.ended(run, found, adopted=adopted)

    # --- what is there ---------------------------------------------------------------------------

    def running(self, app: str) -> bool:
        """Tell whether the app has any process now, beside a run that is under way. Quick."""
        return self._belongings.any(app, self._shims(app))

    def usage(self, app: str) -> Usage:
        """Count what the app has running now, and what that uses. Reads /proc: not in the loop."""
        return self._belongings.usage(app, self._shims(app))

    def _shims(self, app: str) -> set[int]:
        watched = tuple(self._watched.values())
        return {one.identity.pid for one in watched if one.run.app == app}

    def log_file(self, app: str) -> str:
        """The file that an app's output goes to, or "" where it goes to the journal."""
        return "" if self.journal else self.places.log(app)

    def trim(self, apps: Collection[str]) -> list[str]:
        """Cut the output files that what runs on has made too large. Safe in another thread."""
        return output.trim_all([self.places.log(app) for app in apps])

    def over(self, alive: Collection[str]) -> list[str]:
        """Name the runs of which something lies on the disk and that nobody waits for, by id.

        `alive` are those that are under way as far as the core knows.
        """
        return sorted(results.runs(self.places) - {*alive, *self._watched})

    def release(self) -> None:
        """Let go of everything: what runs goes on, what waits for a go never runs."""
        self._released = True
        for watched in self._watched.values():
            self._let_go(watched)
        self._watched.clear()


def _not_begun(ended: Ended, why: str) -> Ended:
    """Say of a shim that ended before its go that nothing ran; the version is not to blame."""
    if why:
        return replace(ended, outcome=Outcome.CANCELLED, line=why)
    no_word = ended.line == results.NO_RESULT
    line = "the shim ended before it began" if no_word else ended.line
    return replace(ended, outcome=Outcome.REFUSED, line=line)


def _key(run: Run) -> tuple[str, ...]:
    """What the answer to the question for targets belongs to."""
    return run.version.release, run.version.conf, run.release_dir


def _pidfd(identity: Identity) -> int:
    """Get hold of a process if it is still the one that was meant; -1 if not."""
    try:
        pidfd = os.pidfd_open(identity.pid)
    except OSError:
        return -1
    now = proc.process(identity.pid)  # behind the pidfd: it cannot change hands any more
    if now is not None and now.started == identity.started and now.alive:
        return pidfd
    os.close(pidfd)
    return -1
