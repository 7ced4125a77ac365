"""Lines over a socket that never blocks the daemon's loop, in either direction."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

_CHUNK = 262144  # bytes


class LineSocket:
    """One connected socket. All methods belong to the loop's thread and return at once."""

    def __init__(
        self,
        sock: socket.socket,
        on_line: Callable[[bytes], None],
        on_end: Callable[[str], None],
        on_sent: Callable[[], None],
        most: int,
    ) -> None:
        """`on_end` gets what was wrong, "" at the end; `on_sent`: nothing waits any more."""
        sock.settimeout(0)
        self._loop = asyncio.get_running_loop()
        self._sock: socket.socket | None = sock
        self._on_line = on_line
        self._on_end = on_end
        self._on_sent = on_sent
        self._most = most  # bytes of a line
        self._inbox = b""
        self._outbox = b""
        self._loop.add_reader(sock.fileno(), self._on_readable)

    @property
    def unsent(self) -> int:
        """How many bytes wait to be sent."""
        return len(self._outbox)

    def send(self, line: bytes) -> None:
        """Send a line, after those that wait."""
        if self._sock is not None:
            waiting = bool(self._outbox)
            self._outbox += line
            if not waiting:
                self._on_writable()

    def drain(self) -> None:
        """Read what is left of a peer that has ended."""
        while self._sock is not None and self._receive(at_end=True):
            pass

    def close(self) -> None:
        """Close it; what waits is lost."""
        sock, self._sock = self._sock, None
        if sock is not None:
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())
            sock.close()

    def _on_readable(self) -> None:
        if not self._receive():
            self._on_end("")

    def _receive(self, *, at_end: bool = False) -> bool:
        """Read what is there; False at the end (of a peer that has ended: when nothing is left)."""
        if self._sock is None:
            return False
        try:
            data = self._sock.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return not at_end
        except OSError:
            return False
        *lines, self._inbox = (self._inbox + data).split(b"\n")
        for line in lines:
            self._on_line(line)
        if len(self._inbox) > self._most:
            self._inbox = b""
            self._on_end(f"sends a line of more than {self._most} bytes")
        return bool(data)

    def _on_writable(self) -> None:
        sock = self._sock
        if sock is None:
            return
        try:
            sent = sock.send(self._outbox)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:  # the peer has ended; its pidfd reports that
            self._loop.remove_writer(sock.fileno())
            self._outbox = b""
            return
        self._outbox = self._outbox[sent:]
        if self._outbox:
            self._loop.add_writer(sock.fileno(), self._on_writable)
            return
        self._loop.remove_writer(sock.fileno())
        self._on_sent()
