"""The daemon's side of one watcher: starts it, reads from it, sees when it is stuck, never waits.

Theory of operation. The watcher is a process of its own because any call on a share may hang for
minutes, and then not even SIGKILL ends it. So nothing here waits: the socket is non-blocking both
ways, the end of the process is heard through its pidfd, and `close` gives up on one that hangs.

The watcher beats once a second. It is *stuck* when no beat came for 5 s, or when a beat says that
its quick thread is in one operation for 5 s, or its scanning thread for 60 s. Then everything that
it looks at is unknown. One that is stuck for 180 s is killed; a new one is started only once the
old one has really ended, so however long a share hangs there is one process for it, not a pile.
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

import appagent
from appagent.model.events import (
    AppObserved,
    EnvObserved,
    Event,
    RootObserved,
    WatcherBack,
    WatcherStuck,
)
from appagent.model.seen import Beat
from appagent.share import protocol
from appagent.share.watchlist import Watchlist, to_body

COMMAND = (sys.executable, "-P", "-m", "appagent.share.watcher")

_TICK = 0.5
_SILENT = 5.0  # s without a beat, or with the quick thread in one operation
_SCANNING = 60.0  # s with the scanning thread in one operation
_KILL = 180.0  # s that it may be stuck: twice what a call on a dead share takes
_CLOSE = 1.0  # s that a watcher may take to end by itself
_BACKOFF = (1.0, 60.0)
_STEADY = 60.0  # s after which a watcher counts as one that works
_MOST_UNSENT = 64 * 1024


class Watcher:
    """One watcher. All methods belong to the loop's thread and return at once."""

    def __init__(
        self,
        name: str,
        on_event: Callable[[Event], None],
        on_log: Callable[[str, str], None],
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.name = name
        self.beat: Beat | None = None
        self.stuck = ""  # why, while it is
        self.stuck_since = 0.0
        self.watchlist = Watchlist()
        self._on_event = on_event
        self._on_log = on_log
        self._command = list(command)
        self._loop = asyncio.get_running_loop()
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._sock: socket.socket | None = None
        self._inbox = b""
        self._outbox = b""
        self._unsent_watch = False
        self._heard = 0.0
        self._began = 0.0
        self._ticked = time.monotonic()
        self._backoff = _BACKOFF[0]
        self._new: tuple[
            str, ...
        ] = ()  # paths that were another watcher's, which may have been stuck
        self._killed = False
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._respawn: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._ended.set()
        self._asked: dict[int, asyncio.Future[protocol.Body]] = {}
        self._asks = 0

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process else None

    @property
    def gone(self) -> bool:
        """Whether no process of it is left."""
        return self._process is None

    def watch(self, watchlist: Watchlist) -> None:
        """Watch this from now on; the first list starts the watcher."""
        new = tuple(path for path in watchlist.paths if path not in self.watchlist.paths)
        self.watchlist = watchlist
        self._new += new
        if new and self.stuck:
            self._on_event(WatcherStuck(new, self.stuck_since, self.stuck))
        if self._timer is None and not self._closing:
            self._timer = self._loop.call_later(_TICK, self._tick)
            self._start()
        else:
            self._send_watch()

    def look(self, root: str, app: str = "") -> None:
        """Look now, at one app or at everything in a root. A stuck one looks once it is back."""
        if len(self._outbox) < _MOST_UNSENT:
            self._send(protocol.line("look", {"root": root, "app": app}))

    def recheck(self, roots: list[str], apps: list[tuple[str, str]], env: list[str]) -> None:
        """Look at just these and tell what is seen; may be lost, like the watcher itself."""
        if len(self._outbox) < _MOST_UNSENT:
            self._send(protocol.line("recheck", {"roots": roots, "apps": apps, "env": env}))

    async def ask(self, verb: str, timeout: float, **arguments: object) -> protocol.Body:  # noqa: ASYNC109 - the bound is part of the question
        """Ask for something to be done there. Raises TimeoutError, or OSError without a watcher."""
        if self._sock is None or len(self._outbox) >= _MOST_UNSENT:
            raise ConnectionError(f"the watcher for {self.name} does not answer")
        self._asks += 1
        number = self._asks
        future: asyncio.Future[protocol.Body] = self._loop.create_future()
        self._asked[number] = future
        self._send(protocol.line("ask", {"id": number, "verb": verb, **arguments}))
        try:
            return await asyncio.wait_for(future, timeout)
        finally:
            self._asked.pop(number, None)

    async def close(self) -> None:
        """End it. One that hangs is left to the kernel, which ends it as soon as it can."""
        self._closing = True
        for handle in (self._timer, self._respawn):
            if handle is not None:
                handle.cancel()
        self._disconnect()  # it ends when its socket does
        try:
            await asyncio.wait_for(self._ended.wait(), 0.05 if self.stuck else _CLOSE)
        except TimeoutError:
            self._kill()

    # --- the process ---------------------------------------------------------------------------

    def _start(self) -> None:
        self._respawn = None
        ours, theirs = socket.socketpair()
        with theirs:
            ours.settimeout(0)
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
        self._sock = ours
        self._inbox = self._outbox = b""
        self._killed = False
        self._ended.clear()
        self._began = self._heard = time.monotonic()
        self.beat = None
        self._loop.add_reader(self._pidfd, self._on_end)
        self._loop.add_reader(ours.fileno(), self._on_readable)
        self._send_watch()

    def _not_started(self, error: OSError) -> None:
        if self._process is not None:  # started, but cannot be watched: no use
            self._process.kill()
            self._process.wait()
            self._process = None
        self._set_stuck(f"the watcher for {self.name} cannot be started: {error}", time.monotonic())
        self._start_later()

    def _start_later(self) -> None:
        if not self._closing:
            self._respawn = self._loop.call_later(self._backoff, self._start)
            self._backoff = min(self._backoff * 2, _BACKOFF[1])

    def _on_end(self) -> None:
        """The process is gone, really."""
        process = self._process
        if process is None or process.poll() is None:
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process = None
        self._drain()
        self._disconnect()
        self._ended.set()
        if self._closing:
            return
        now = time.monotonic()
        if now - self._began > _STEADY:
            self._backoff = _BACKOFF[0]
        how = f"by signal {-process.returncode}" if process.returncode < 0 else process.returncode
        why = f"the watcher for {self.name} ended ({how}); a new one is started"
        self._on_log("warning", why)
        self._set_stuck(why, now)
        self._start_later()

    def _kill(self) -> None:
        if self._process is not None and not self._killed:
            self._killed = True
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    # --- its state -----------------------------------------------------------------------------

    def _tick(self) -> None:
        now = time.monotonic()
        late = now - self._ticked - _TICK
        self._ticked = now
        self._timer = self._loop.call_later(_TICK, self._tick)
        if late > 1.0:  # it was us who slept: what the watcher said meanwhile is yet to be read
            self._heard = max(self._heard, now - _SILENT / 2)
        if self._process is None:
            return
        why, since = self._trouble(now)
        if why:
            self._set_stuck(why, since)
            # Its own time: one that takes the place of a killed one may be slow to start.
            if now - since > _KILL:
                self._kill()
        elif self.beat is not None:
            self._answers()

    def _answers(self) -> None:
        """All is well; say so where it was not, or where nobody knew."""
        paths = set(self._new)
        if self.stuck:
            self.stuck = ""
            paths.update(self.watchlist.paths)
            for root in self.watchlist.roots:
                self.look(root.path)
        self._new = ()
        if paths:
            self._on_event(
                WatcherBack(tuple(path for path in self.watchlist.paths if path in paths))
            )

    def _trouble(self, now: float) -> tuple[str, float]:
        beat = self.beat
        busy = f", it is {beat.busy}" if beat is not None and beat.busy else ""
        if now - self._heard > _SILENT:
            return f"the watcher for {self.name} does not answer{busy}", self._heard
        if beat is None:
            return "", 0.0
        if beat.at - beat.quick > _SILENT:
            return f"the share does not answer for {self.name}: the watcher hangs{busy}", beat.quick
        if beat.at - beat.scan > _SCANNING:
            return f"the share does not answer for {self.name}: a scan hangs{busy}", beat.scan
        return "", 0.0

    def _set_stuck(self, why: str, since: float) -> None:
        if not self.stuck:
            self.stuck, self.stuck_since = why, since
            self._on_event(WatcherStuck(self.watchlist.paths, since, why))

    # --- the socket ----------------------------------------------------------------------------

    def _on_readable(self) -> None:
        if not self._receive():
            self._disconnect()

    def _drain(self) -> None:
        """Hear the last words of a watcher that has ended."""
        while self._sock is not None and self._receive(once=False):
            pass

    def _receive(self, *, once: bool = True) -> bool:
        """Read what is there; False at the end (for a watcher that ended: when nothing is left)."""
        if self._sock is None:
            return False
        try:
            data = self._sock.recv(262144)
        except (BlockingIOError, InterruptedError):
            return once
        except OSError:
            return False
        *lines, self._inbox = (self._inbox + data).split(b"\n")
        for line in lines:
            self._hear(line)
        if len(self._inbox) > protocol.MOST:
            self._on_log("error", f"the watcher for {self.name} sends a line without an end")
            self._inbox = b""
            self._kill()
        return bool(data)

    def _hear(self, line: bytes) -> None:
        try:
            kind, body = protocol.read(line)
            event = self._event(kind, body)
        except (ValueError, TypeError, KeyError) as error:
            self._on_log(
                "error", f"the watcher for {self.name} said what nobody understands: {error}"
            )
            return
        if event is not None and not self._closing:
            self._on_event(event)

    def _event(self, kind: str, body: protocol.Body) -> Event | None:
        match kind:
            case "beat":
                self.beat = protocol.beat(body)
                self._heard = time.monotonic()
            case "app":
                return AppObserved(protocol.app_seen(body))
            case "root":
                return RootObserved(protocol.root_seen(body))
            case "env":
                return EnvObserved(protocol.env_seen(body))
            case "log":
                self._on_log(body["level"], body["text"])
            case "answer":
                future = self._asked.pop(body["id"], None)
                if future is not None and not future.done():
                    future.set_result(body)
        return None

    def _send_watch(self) -> None:
        """Send the newest list, once what was sent before is on its way."""
        if self._outbox:
            self._unsent_watch = True
        else:
            self._send(protocol.line("watch", to_body(self.watchlist)))

    def _send(self, line: bytes) -> None:
        if self._sock is not None:
            waiting = bool(self._outbox)
            self._outbox += line
            if not waiting:
                self._on_writable()

    def _on_writable(self) -> None:
        sock = self._sock
        if sock is None:
            return
        try:
            sent = sock.send(self._outbox)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:  # it has ended; its pidfd will say so
            self._loop.remove_writer(sock.fileno())
            self._outbox = b""
            return
        self._outbox = self._outbox[sent:]
        if self._outbox:
            self._loop.add_writer(sock.fileno(), self._on_writable)
            return
        self._loop.remove_writer(sock.fileno())
        if self._unsent_watch:
            self._unsent_watch = False
            self._send_watch()

    def _disconnect(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())
            sock.close()
        for future in self._asked.values():
            if not future.done():
                future.set_exception(ConnectionError(f"the watcher for {self.name} has ended"))
        self._asked.clear()


def _environment() -> dict[str, str]:
    """What a watcher gets: nothing of systemd's, and this very package to import."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(appagent.__file__)))
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    return {**kept, "PYTHONPATH": package, "PYTHONUTF8": "1"}
