"""The watcher, `python -m appagent.share.watcher`: the process that does all I/O on one share.

Theory of operation. The main thread talks to the daemon over the socket that is its descriptor 0,
and beats once a second; it never touches a share. Two threads do: a quick one (quick.py: roots,
marks, env files) and a scanning one (trees.py), each an emitter in watchdog's frame (polling.py).
An operation that hangs, hangs in its own thread; the heart goes on beating and says which thread
it is and since when. What they see comes through watchdog's queue to the outbox, where of two
looks at one thing only the newest waits, so a daemon that does not listen costs no memory.

It lives as long as its socket: at the end of it, or when a thread is gone, it leaves with
os._exit, which waits for nobody. Where the main thread cannot hear of that end (another one holds
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
from appagent.model.seen import Beat, Slow
from appagent.share import protocol
from appagent.share.disk import Disk
from appagent.share.observer import ShareObserver, Worker
from appagent.share.poller import Poller
from appagent.share.scanner import Scanner
from appagent.share.state import POLLER, SCANNER
from appagent.share.watches import Watches
from appagent.share.watchlist import from_body

_BEAT = 1.0
_FAULT = 70  # of ours: os.EX_SOFTWARE
_MOST_LOGS = 1000  # that wait to be sent
_MOST_SLOW = 100  # trees that are told to be scanned too seldom


class Outbox:
    """Lines for the daemon. Any thread may put; the main thread takes."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, ...], tuple[str, protocol.Body]] = {}
        self._lock = threading.Lock()
        self._count = 0
        self.bell, self._rope = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def put(self, kind: str, body: protocol.Body) -> None:
        """Have a line sent. A look takes the place of an older one that still waits."""
        with self._lock:
            key = self._key(kind, body)
            self._newest.pop(key, None)  # the newest is sent last
            self._newest[key] = (kind, body)
        self._ring()

    def take(self) -> bytes:
        """Take all lines that wait."""
        while True:
            try:
                os.read(self.bell, 4096)
            except BlockingIOError:
                break
        with self._lock:
            waiting, self._newest = self._newest, {}
        return b"".join(protocol.line(kind, body) for kind, body in waiting.values())

    def _key(self, kind: str, body: protocol.Body) -> tuple[str, ...]:
        if kind in ("log", "answer"):
            self._count += 1
            return (kind, str(self._count % _MOST_LOGS))
        return (kind, body.get("root", ""), body.get("app", ""), body.get("path", ""))

    def _ring(self) -> None:
        try:
            os.write(self._rope, b"!")
        except BlockingIOError:
            return  # it rings already


class Watcher:
    """The main thread."""

    def __init__(self, sock: socket.socket, make_disk: Callable[[], Disk]) -> None:
        self._sock = sock
        self._inbox = b""
        self._unsent = b""
        self._outbox = Outbox()
        watched = Watches()
        self._trees = Scanner(make_disk(), watched)
        self._quick = Poller(make_disk(), self._trees, watched)
        workers: dict[str, Worker] = {POLLER: self._quick, SCANNER: self._trees}
        self._observer = ShareObserver(workers, self._outbox.put)

    def run(self) -> int:
        """Talk until the socket ends."""
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
                self._outbox.put("beat", protocol.seen_body(self._beat(now)))
                beat_at = now + _BEAT
            if not self._send():
                return 0
            poll.register(self._outbox.bell, 0 if self._unsent else select.POLLIN)
            poll.register(self._sock, select.POLLIN | (select.POLLOUT if self._unsent else 0))
            for fd, _ in poll.poll(max(0.0, beat_at - now) * 1000):
                if fd == self._sock.fileno() and not self._receive():
                    return 0

    def _beat(self, now: float) -> Beat:
        quick, doing = self._quick.disk.pulse.read(now)
        scan, scanning = self._trees.disk.pulse.read(now)
        busy = doing if quick < scan or not scanning else scanning
        slow = tuple(
            Slow(app.root.path, app.name, app.scan_every, app.scan_takes)
            for app in self._trees.slow[:_MOST_SLOW]
        )
        return Beat(now, quick, scan, busy, self._quick.interval, self._quick.why, slow)

    def _send(self) -> bool:
        """Send what waits; False when nobody is there any more."""
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
            kind, body = protocol.read(line)
            if kind == "stop":
                return False
            self._obey(kind, body)
        return bool(data)

    def _obey(self, kind: str, body: protocol.Body) -> None:
        quick = self._quick
        match kind:
            case "watch":
                watch = from_body(body)
                quick.post(lambda _: quick.set_watch(watch))
            case "look":
                quick.post(lambda _: quick.look(body["root"], body["app"]))
            case "recheck":
                quick.post(lambda _: quick.recheck(body["roots"], body["apps"], body["env"]))
            case "ask":
                error = f"a watcher knows no verb {body['verb']!r}"
                self._outbox.put("answer", {"id": body["id"], "error": error})
            case _:
                text = f"the watcher was told {kind!r}, which it does not know"
                self._outbox.put("log", {"level": "warning", "text": text})


def _end_with(sock: socket.socket) -> bool:
    """Have the kernel end this process with the one that made the socket, which is its parent.

    False when that has ended already. The kernel goes by the thread that has started this process:
    in the daemon that is the loop's, its main one.
    """
    die_with_parent(signal.SIGKILL)
    size = struct.calcsize("3i")
    pid, _, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return bool(os.getppid() == pid)


def main(make_disk: Callable[[], Disk] = Disk) -> None:
    """Be a watcher. Another Disk is for tests."""
    for one in (signal.SIGINT, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)  # a terminal's signals are the daemon's
    os.chdir("/")
    code = _FAULT
    try:
        sock = socket.socket(fileno=0)
        code = Watcher(sock, make_disk).run() if _end_with(sock) else 0
    except BaseException:  # noqa: BLE001 - whatever it is, threads that hang are not waited for
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
