"""The watcher, `python -m appagent.share.watcher`: the process that does all I/O on one share.

Theory of operation. The main thread talks to the daemon over the socket that is its descriptor 0,
and sends a beat once a second; it never touches a share. Three threads do, each a worker in
watchdog's frame (observer.py): the poller (poller.py: roots, markers, env files), the scanner
(scanner.py: trees) and one for requests (requests.py). An operation that hangs, hangs in its own
thread; the main thread continues and reports which thread it is and since when. What they see comes
through watchdog's queue to the outbox, where of two messages about one thing only the newest waits,
so a daemon that does not read costs no memory.

It lives as long as its socket: at the end of it, or when a thread has ended, it leaves with
os._exit, which waits for nobody. Where the main thread cannot notice that end (another one holds
the interpreter's lock and does not give it back) the kernel kills it with the daemon.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable

from appagent.host.prctl import die_with_parent
from appagent.model.seen import AppSeen, Beat, EnvSeen, RootSeen, Slow
from appagent.share import protocol
from appagent.share.disk import Disk
from appagent.share.observer import ShareObserver, Worker
from appagent.share.poller import Poller
from appagent.share.protocol import LogLine, Message, PollNow, Recheck, WatcherCommand
from appagent.share.request_thread import RequestThread
from appagent.share.requests import Answer, Request
from appagent.share.scanner import Scanner
from appagent.share.signature import SCHEME
from appagent.share.state import POLLER, SCANNER, Limits, Work
from appagent.share.watches import Watches
from appagent.share.watchlist import Watchlist

BEAT = 1.0  # s between two beats
_FAULT = 70  # an internal error: os.EX_SOFTWARE
_MOST_LOGS = 1000  # that wait to be sent
_MOST_SLOW = 100  # trees that are reported to be scanned too seldom


class Outbox:
    """Lines for the daemon. Any thread may put; the main thread takes."""

    def __init__(self) -> None:
        self._newest: dict[tuple[object, ...], Message] = {}
        self._lock = threading.Lock()
        self._logs = 0
        self.wake_fd, self._notify_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def put(self, message: Message) -> None:
        """Have a line sent. It takes the place of an older one about the same thing."""
        with self._lock:
            key = self._key(message)
            self._newest.pop(key, None)  # the newest is sent last
            self._newest[key] = message
        try:
            os.write(self._notify_fd, b"!")
        except BlockingIOError:
            return  # it will wake up anyway

    def take(self) -> bytes:
        """Take all lines that wait."""
        while True:
            try:
                os.read(self.wake_fd, 4096)
            except BlockingIOError:
                break
        with self._lock:
            waiting, self._newest = self._newest, {}
        return b"".join(map(protocol.line, waiting.values()))

    def _key(self, message: Message) -> tuple[object, ...]:
        """What a message is about. Answers are never merged, logs only beyond a number."""
        match message:
            case AppSeen():
                return ("app", message.root, message.app)
            case RootSeen():
                return ("root", message.root)
            case EnvSeen():
                return ("env", message.path)
            case Beat():
                return ("beat",)
            case Answer():
                return ("answer", message.id)
            case LogLine():
                self._logs += 1
                return ("log", self._logs % _MOST_LOGS)


class Watcher:
    """The main thread."""

    def __init__(
        self, sock: socket.socket, make_disk: Callable[[], Disk], work: Work, beat: float
    ) -> None:
        self._sock = sock
        self._beat_every = beat
        self._inbox = b""
        self._unsent = b""
        self._outbox = Outbox()
        watches = Watches(work)
        self._scanner = Scanner(make_disk(), work, watches)
        self._poller = Poller(make_disk(), work, watches)
        self._requests = RequestThread(make_disk())
        workers: dict[str, Worker] = {
            POLLER: self._poller,
            SCANNER: self._scanner,
            "requests": self._requests,
        }
        self._observer = ShareObserver(workers, self._outbox.put)

    def run(self) -> int:
        """Serve the daemon until the socket ends."""
        self._sock.settimeout(0)
        self._observer.start()
        poll = select.poll()
        beat_at = 0.0
        while True:
            now = time.monotonic()
            if now >= beat_at:
                dead = self._observer.dead()
                if dead:
                    sys.stderr.write(f"the thread {dead} has ended\n")
                    return _FAULT
                self._outbox.put(self._beat(now))
                beat_at = now + self._beat_every
            if not self._send():
                return 0
            poll.register(self._outbox.wake_fd, 0 if self._unsent else select.POLLIN)
            poll.register(self._sock, select.POLLIN | (select.POLLOUT if self._unsent else 0))
            for fd, _ in poll.poll(max(0.0, beat_at - now) * 1000):
                if fd == self._sock.fileno() and not self._receive():
                    return 0

    def _beat(self, now: float) -> Beat:
        poll, polling = self._poller.disk.pulse.read(now)
        scan, scanning = self._scanner.disk.pulse.read(now)
        busy = polling if poll < scan or not scanning else scanning
        slow = tuple(
            Slow(app.root.path, app.name, app.scan_every, app.scan_takes)
            for app in self._scanner.slow[:_MOST_SLOW]
        )
        return Beat(now, poll, scan, busy, self._poller.interval, self._poller.why, slow)

    def _send(self) -> bool:
        """Send what waits; False when the daemon has ended."""
        if not self._unsent:
            self._unsent = self._outbox.take()
        if not self._unsent:
            return True
        try:
            sent = self._sock.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        self._unsent = self._unsent[sent:]
        return True

    def _receive(self) -> bool:
        try:
            data = self._sock.recv(262144)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        *lines, self._inbox = (self._inbox + data).split(b"\n")
        for line in lines:
            try:
                command = protocol.read(line)
            except ValueError as error:
                text = f"the watcher received a line that it cannot read: {error}"
                self._outbox.put(LogLine("warning", text))
                continue
            self._handle(command)
        return bool(data)

    def _handle(self, command: WatcherCommand | Message) -> None:
        poller = self._poller
        match command:
            case Watchlist():
                self._requests.set_watchlist(command)
                poller.post(lambda: poller.set_watchlist(command))
            case PollNow(root, app):
                poller.post(lambda: poller.poll_now(root, app))
            case Recheck(number, roots, apps, envs):
                poller.post(lambda: poller.recheck(roots, apps, envs))
                self._outbox.put(Answer(number))
            case Request():
                answer = self._requests.put(command)
                if answer is not None:
                    self._outbox.put(answer)


def _end_with(sock: socket.socket) -> bool:
    """Have the kernel end this process with the one that made the socket, which is its parent.

    False when that has ended already. The kernel goes by the thread that has started this process:
    in the daemon that is the loop's, its main one.
    """
    die_with_parent(signal.SIGKILL)
    size = struct.calcsize("3i")
    pid, _, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return bool(os.getppid() == pid)


def main(
    make_disk: Callable[[], Disk] = Disk,
    limits: Limits | None = None,
    *,
    beat: float = BEAT,
    scheme: str = SCHEME,
) -> None:
    """Run a watcher."""
    work = Work(limits=limits or Limits(), scheme=scheme)
    for one in (signal.SIGINT, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)  # a terminal's signals are the daemon's
    os.chdir("/")
    code = _FAULT
    try:
        sock = socket.socket(fileno=0)
        code = Watcher(sock, make_disk, work, beat).run() if _end_with(sock) else 0
    except BaseException:  # noqa: BLE001 - whatever it is, threads that hang are not waited for
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
