"""The notifications of sd_notify(3): ready, reloading, stopping, watchdog, and a line of status.

sdnotify encodes as latin-1 and swallows every error, so a message with any other character would
be lost silently, and a READY in it. Therefore READY is sent alone, and text is passed as the
characters whose latin-1 bytes are its UTF-8 bytes: that is what systemd expects.

The variables are removed from the environment, so that no child can send notifications.
"""

from __future__ import annotations

import os
import time

import sdnotify

from appagent.host.text import one_line

_STATUS_LIMIT = 500  # characters; systemd takes messages of up to 4096 bytes
_SEND_TIMEOUT = 1.0
_USEC = 1_000_000


class Service:
    """The agent as a service. Without a service manager every method does nothing."""

    def __init__(self) -> None:
        self._notifier = sdnotify.SystemdNotifier()
        if self._notifier.socket is not None:
            self._notifier.socket.settimeout(_SEND_TIMEOUT)
        self.managed = self._notifier.socket is not None
        self.watchdog_interval = _watchdog_interval() if self.managed else None
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
            os.environ.pop(name, None)
        self._status = ""

    def ready(self) -> None:
        """The agent is up, or a reload is over."""
        self._notifier.notify("READY=1")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` ends it."""
        self._notifier.notify(f"RELOADING=1\nMONOTONIC_USEC={_monotonic_usec()}")

    def stopping(self) -> None:
        """The agent is stopping."""
        self._notifier.notify("STOPPING=1")

    def status(self, text: str) -> None:
        """Send a line of status, if it differs from the last one."""
        if text != self._status:
            self._status = text
            line = one_line(text, _STATUS_LIMIT)
            self._notifier.notify("STATUS=" + line.encode("utf-8").decode("latin-1"))

    def alive(self) -> None:
        """Reset the watchdog; to be called each `watchdog_interval` seconds."""
        self._notifier.notify("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """Ask for more time to start, reload or stop, counted from now."""
        self._notifier.notify(f"EXTEND_TIMEOUT_USEC={int(seconds * _USEC)}")

    def close(self) -> None:
        """Close the socket."""
        if self._notifier.socket is not None:
            self._notifier.socket.close()
            self._notifier.socket = None


def _watchdog_interval() -> float | None:
    """Seconds between two resets of the watchdog: half of its timeout."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not (usec.isascii() and usec.isdigit()) or int(usec) == 0:
        return None
    if pid and pid != str(os.getpid()):
        return None
    return int(usec) / _USEC / 2


def _monotonic_usec() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
