"""The native protocol of journald: a line with fields, as one datagram.

A value without a newline is sent as `KEY=value`, another one as the key, its length and its bytes.
What is too large for a datagram goes into a sealed memfd whose descriptor is sent instead. Only the
first line waits for a journal that does not read, a tenth of a second: then lines that cannot be
sent are counted, and the count is sent as soon as it reads again.

https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import re
import socket
import struct
from collections.abc import Iterable

SOCKET = "/run/systemd/journal/socket"

_MAX_NAME = 64
_MAX_VALUE = 64 * 1024
_SEND_BUFFER = 8 * 1024 * 1024
_SEND_TIMEOUT = struct.pack("@ll", 0, 100_000)  # struct timeval
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL

_NOT_IN_NAMES = re.compile(r"[^A-Z0-9_]")

Entry = tuple[str, str | int | float]


def field_name(name: str) -> str:
    """Make a name that journald accepts, or "": A-Z, 0-9 and _, a letter first, at most 64."""
    return _NOT_IN_NAMES.sub("_", name.upper()).lstrip("_0123456789")[:_MAX_NAME]


def pack(entries: Iterable[Entry]) -> bytes:
    """Make the content of one datagram."""
    parts: list[bytes] = []
    for name, value in entries:
        key = field_name(name).encode("ascii")
        if not key:
            continue
        data = str(value).encode("utf-8", "backslashreplace")[:_MAX_VALUE]
        if b"\n" in data:
            parts.append(key + b"\n" + struct.pack("<Q", len(data)) + data + b"\n")
        else:
            parts.append(key + b"=" + data + b"\n")
    return b"".join(parts)


class Journal:
    """The socket of journald; it survives restarts of journald."""

    def __init__(self, path: str = SOCKET) -> None:
        self.path = path
        self.unsent = 0  # lines since the journal stopped reading
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_TIMEOUT)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def send(self, entries: Iterable[Entry]) -> bool:
        """Send one line; False where no journal takes it, so that it is logged elsewhere."""
        try:
            if self.unsent:
                self._send(pack(_about(self.unsent)))
                self.unsent = 0
            self._send(pack(entries))
        except BlockingIOError:
            self.unsent += 1
        except OSError:
            return False
        return True

    def _send(self, data: bytes) -> None:
        try:
            self._send_datagram([data], [])
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            self._send_memory(data)

    def _send_memory(self, data: bytes) -> None:
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        with os.fdopen(os.memfd_create("appagent-journal", flags), "w+b", buffering=0) as memory:
            memory.write(data)
            fcntl.fcntl(memory, fcntl.F_ADD_SEALS, _SEALS)
            rights = array.array("i", [memory.fileno()])
            self._send_datagram([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])

    def _send_datagram(
        self, data: list[bytes], extra: list[tuple[int, int, array.array[int]]]
    ) -> None:
        flags = socket.MSG_NOSIGNAL | (socket.MSG_DONTWAIT if self.unsent else 0)
        self._socket.sendmsg(data, extra, flags, self.path)


def _about(unsent: int) -> list[Entry]:
    text = f"{unsent} lines could not be sent while the journal did not read"
    return [("MESSAGE", text), ("PRIORITY", 4), ("SYSLOG_IDENTIFIER", "appagent")]
