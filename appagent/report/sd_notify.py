"""What the service manager is told: ready, reloading, stopping, alive, and a line of status.

sdnotify encodes as latin-1 and swallows every error, so a message with any other character would
be lost without a word, and a READY in it. Therefore READY goes alone, and text is handed over as
the characters whose latin-1 bytes are its UTF-8 bytes: that is what systemd expects.

The variables are taken out of the environment, so that no child of ours can speak for us.
"""

from __future__ import annotations

import os
import time

import sdnotify

from appagent.report.text import one_line

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
        """Tell that the agent is up, or that a reload is over."""
        self._notifier.notify("READY=1")

    def reloading(self) -> None:
        """Tell that the configuration is being read again; `ready` ends it."""
        self._notifier.notify(f"RELOADING=1\nMONOTONIC_USEC={_monotonic_usec()}")

    def stopping(self) -> None:
        """Tell that the agent is going down."""
        self._notifier.notify("STOPPING=1")

    def status(self, text: str) -> None:
        """Tell in one line how it is; what was told last is not told again."""
        if text != self._status:
            self._status = text
            line = one_line(text, _STATUS_LIMIT)
            self._notifier.notify("STATUS=" + line.encode("utf-8").decode("latin-1"))

    def alive(self) -> None:
        """Tell the watchdog that the loop turns; to be called each `watchdog_interval` seconds."""
        self._notifier.notify("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """Ask for more time to start, reload or stop, counted from now."""
        self._notifier.notify(f"EXTEND_TIMEOUT_USEC={int(seconds * _USEC)}")

    def close(self) -> None:
        """Let go of the socket."""
        if self._notifier.socket is not None:
            self._notifier.socket.close()
            self._notifier.socket = None


def _watchdog_interval() -> float | None:
    """Seconds between two signs of life: half of what the manager waits."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not (usec.isascii() and usec.isdigit()) or int(usec) == 0:
        return None
    if pid and pid != str(os.getpid()):
        return None
    return int(usec) / _USEC / 2


def _monotonic_usec() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
