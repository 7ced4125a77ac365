"""The daemon's side of one watcher: starts it, reads from it, detects when it is stuck.

Theory of operation. The watcher is a process of its own because any call on a share may hang for
minutes, and then not even SIGKILL ends it. So nothing here waits: the socket is non-blocking both
ways, the end of the process is reported by its pidfd, and `close` gives up on one that hangs.

The watcher sends a heartbeat once a second. It is *stuck* when no beat came for 5 s, or when by a
beat its poller is in one operation for 5 s, or its scanner for 60 s. Then everything that it
watches is unknown. One that is stuck for 180 s is killed; a new one is started only once the old
one has really ended, so however long a share hangs there is one process for it, not a pile.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import appagent
from appagent.model.events import WatcherBack, WatcherStuck
from appagent.model.seen import AppSeen, Beat, EnvSeen, RootSeen
from appagent.share import protocol
from appagent.share.line_socket import LineSocket
from appagent.share.pending import Pending
from appagent.share.protocol import LogLine, PollNow, Recheck
from appagent.share.requests import Answer, Operation, Request, RequestRefused
from appagent.share.watchlist import Watchlist

COMMAND = (sys.executable, "-P", "-m", "appagent.share.watcher")

_MOST_UNSENT = 64 * 1024

Report = AppSeen | RootSeen | EnvSeen | WatcherStuck | WatcherBack | LogLine


@dataclass(frozen=True, slots=True)
class Timing:
    """When a watcher counts as stuck, and when it is ended or replaced; in seconds."""

    tick: float = 0.5  # between two checks
    silent: float = 5.0  # without a beat, or with the poller in one operation
    scanning: float = 60.0  # with the scanner in one operation
    kill: float = 180.0  # that it may be stuck: twice what a call on a dead share takes
    close: float = 1.0  # that it may take to end by itself
    first_pause: float = 1.0  # before a new one is started, doubled each time …
    longest_pause: float = 60.0
    steady: float = 60.0  # … until one ran so long


class Watcher:
    """One watcher. All methods belong to the loop's thread and return at once."""

    def __init__(
        self,
        name: str,
        on_report: Callable[[Report], None],
        command: Sequence[str] = COMMAND,
        timing: Timing | None = None,
    ) -> None:
        self.name = name
        self.beat: Beat | None = None
        self.stuck = ""  # why, while it is
        self.stuck_since = 0.0
        self.watchlist = Watchlist()
        self._on_report = on_report
        self._command = list(command)
        self._timing = timing or Timing()
        self._loop = asyncio.get_running_loop()
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._lines: LineSocket | None = None
        self._pending = Pending()
        self._watchlist_unsent = False
        self._beat_at = 0.0  # when the newest beat came
        self._started = 0.0
        self._ticked = time.monotonic()
        self._pause = self._timing.first_pause
        self._new: tuple[str, ...] = ()  # paths of another watcher, which may have been stuck
        self._killed = False
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._respawn: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._ended.set()

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process else None

    @property
    def ended(self) -> bool:
        """Whether no process of it is left."""
        return self._process is None

    def watch(self, watchlist: Watchlist) -> None:
        """Watch this from now on; the first list starts the watcher."""
        new = tuple(path for path in watchlist.paths if path not in self.watchlist.paths)
        self.watchlist = watchlist
        self._new += new
        if new and self.stuck:
            self._on_report(WatcherStuck(new, self.stuck_since, self.stuck))
        if self._timer is None and not self._closing:
            self._timer = self._loop.call_later(self._timing.tick, self._tick)
            self._start()
        else:
            self._send_watchlist()

    def poll_now(self, root: str, app: str = "") -> None:
        """Poll one app, or everything in a root. One that is stuck polls once it is not."""
        if self._lines is not None and self._lines.unsent < _MOST_UNSENT:
            self._lines.send(protocol.line(PollNow(root, app)))

    def recheck(self, recheck: Recheck, timeout: float) -> asyncio.Future[Answer]:
        """Poll just these; answered once the poller has it. Errors as those of `request`."""
        return self._ask(timeout, lambda number: protocol.line(replace(recheck, id=number)))

    def request(self, operation: Operation, timeout: float) -> asyncio.Future[Answer]:
        """Have an operation done on the share; it gives its answer, or raises.

        OSError: the operation's own error. TimeoutError: it was not done in time, but may be done
        later if it had started. ConnectionError: the watcher is missing, or ended meanwhile, or the
        share is not mounted, or too many requests wait. RequestRefused: it is not allowed.
        """
        if any("\0" in text for text in (operation.root, operation.path, operation.to)):
            raise RequestRefused("a NUL in a path")
        deadline = time.monotonic() + timeout
        return self._ask(
            timeout, lambda number: protocol.line(Request(number, deadline, operation))
        )

    def _ask(self, timeout: float, line: Callable[[int], bytes]) -> asyncio.Future[Answer]:
        lines = self._lines
        if lines is None or lines.unsent >= _MOST_UNSENT:
            raise ConnectionError(f"the watcher for {self.name} does not answer")
        return self._pending.begin(timeout, lambda number: lines.send(line(number)))

    async def close(self) -> None:
        """End it. One that hangs is left to the kernel, which ends it as soon as it can."""
        self._closing = True
        for handle in (self._timer, self._respawn):
            if handle is not None:
                handle.cancel()
        self._disconnect()  # it ends when its socket does
        try:
            await asyncio.wait_for(self._ended.wait(), 0.05 if self.stuck else self._timing.close)
        except TimeoutError:
            self._kill()

    # --- the process ---------------------------------------------------------------------------

    def _start(self) -> None:
        self._respawn = None
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    cwd="/",
                    env=_environment(),
                    start_new_session=True,  # a ^C on the terminal is the daemon's
                )
                self._pidfd = os.pidfd_open(self._process.pid)
            except OSError as error:
                ours.close()
                self._not_started(error)
                return
        self._lines = LineSocket(
            ours, self._on_line, self._on_socket_end, self._on_sent, protocol.MOST
        )
        self._killed = False
        self._ended.clear()
        self._started = self._beat_at = time.monotonic()
        self.beat = None
        self._loop.add_reader(self._pidfd, self._on_end)
        self._send_watchlist()

    def _not_started(self, error: OSError) -> None:
        if self._process is not None:  # started, but cannot be watched: no use
            self._process.kill()
            self._process.wait()
            self._process = None
        self._set_stuck(f"the watcher for {self.name} cannot be started: {error}", time.monotonic())
        self._start_later()

    def _start_later(self) -> None:
        if not self._closing:
            self._respawn = self._loop.call_later(self._pause, self._start)
            self._pause = min(self._pause * 2, self._timing.longest_pause)

    def _on_end(self) -> None:
        """Reap the process, and start another one unless it was closed."""
        process = self._process
        if process is None or process.poll() is None:
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process = None
        if self._lines is not None:
            self._lines.drain()
        self._disconnect()
        self._ended.set()
        if self._closing:
            return
        now = time.monotonic()
        if now - self._started > self._timing.steady:
            self._pause = self._timing.first_pause
        how = f"by signal {-process.returncode}" if process.returncode < 0 else process.returncode
        why = f"the watcher for {self.name} ended ({how}); a new one is started"
        self._on_report(LogLine("warning", why))
        self._set_stuck(why, now)
        self._start_later()

    def _kill(self) -> None:
        if self._process is not None and not self._killed:
            self._killed = True
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    # --- stuck or not --------------------------------------------------------------------------

    def _tick(self) -> None:
        timing, now = self._timing, time.monotonic()
        late = now - self._ticked - timing.tick
        self._ticked = now
        self._timer = self._loop.call_later(timing.tick, self._tick)
        if late > 1.0:  # the daemon itself slept: what came meanwhile is yet to be read
            self._beat_at = max(self._beat_at, now - timing.silent / 2)
        if self._process is None:
            return
        why, since = self._trouble(now)
        if why:
            self._set_stuck(why, since)
            # Its own time: one that takes the place of a killed one may be slow to start.
            if now - since > timing.kill:
                self._kill()
        elif self.beat is not None:
            self._is_well()

    def _is_well(self) -> None:
        """Report that it answers, where it did not or where nobody knew."""
        paths = set(self._new)
        if self.stuck:
            self.stuck = ""
            paths.update(self.watchlist.paths)
            for root in self.watchlist.roots:
                self.poll_now(root.path)
        self._new = ()
        if paths:
            self._on_report(
                WatcherBack(tuple(path for path in self.watchlist.paths if path in paths))
            )

    def _trouble(self, now: float) -> tuple[str, float]:
        beat, timing = self.beat, self._timing
        busy = f", it is {beat.busy}" if beat is not None and beat.busy else ""
        if now - self._beat_at > timing.silent:
            return f"the watcher for {self.name} does not answer{busy}", self._beat_at
        if beat is None:
            return "", 0.0
        if beat.at - beat.poll > timing.silent:
            return f"the share does not answer for {self.name}: the watcher hangs{busy}", beat.poll
        if beat.at - beat.scan > timing.scanning:
            return f"the share does not answer for {self.name}: a scan hangs{busy}", beat.scan
        return "", 0.0

    def _set_stuck(self, why: str, since: float) -> None:
        if not self.stuck:
            self.stuck, self.stuck_since = why, since
            self._on_report(WatcherStuck(self.watchlist.paths, since, why))

    # --- the socket ----------------------------------------------------------------------------

    def _on_line(self, line: bytes) -> None:
        try:
            message = protocol.read(line)
        except ValueError as error:
            text = f"the watcher for {self.name} sent a line that cannot be read: {error}"
            self._on_report(LogLine("error", text))
            return
        match message:
            case Beat():
                self.beat = message
                self._beat_at = time.monotonic()
            case Answer():
                self._pending.answer(message)
            case AppSeen() | RootSeen() | EnvSeen() | LogLine() if not self._closing:
                self._on_report(message)

    def _on_socket_end(self, wrong: str) -> None:
        if wrong:
            self._on_report(LogLine("error", f"the watcher for {self.name} {wrong}"))
            self._kill()
        else:
            self._disconnect()

    def _on_sent(self) -> None:
        if self._watchlist_unsent:
            self._watchlist_unsent = False
            self._send_watchlist()

    def _send_watchlist(self) -> None:
        """Send the newest list, once what was sent before is on its way."""
        if self._lines is None:
            return
        if self._lines.unsent:
            self._watchlist_unsent = True
        else:
            self._lines.send(protocol.line(self.watchlist))

    def _disconnect(self) -> None:
        if self._lines is not None:
            self._lines.close()
            self._lines = None
        self._pending.end(f"the watcher for {self.name} has ended")


def _environment() -> dict[str, str]:
    """What a watcher gets: nothing of systemd's, and this very package to import."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(appagent.__file__)))
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    return {**kept, "PYTHONPATH": package, "PYTHONUTF8": "1"}
