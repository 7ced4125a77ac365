"""The outputs of the log, and the form of an event in each of them. No output ever raises."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

from appagent.model.notices import Level, NoticeKind
from appagent.report.journal import Entry, Journal, field_name
from appagent.report.structlog_setup import structlog
from appagent.report.terminal import BAD, BUSY, DIM, Screen

IDENTIFIER = "appagent"

COLOURS = {Level.DEBUG: DIM, Level.INFO: "", Level.WARNING: BUSY, Level.ERROR: BAD}
PRIORITY = {Level.DEBUG: 7, Level.INFO: 6, Level.WARNING: 4, Level.ERROR: 3}

_FACILITY_DAEMON = 3 << 3

# What an event is and where it comes from: a field of a notice must not take these names.
RESERVED = ("time", "timestamp", "level", "kind", "app", "text")
_RESERVED_IN_JOURNAL = frozenset(
    ("MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "KIND", "APP", "MESSAGE_ID", "UNIT", "USER_UNIT")
)

EventDict = MutableMapping[str, Any]  # the reserved keys, then fields; bounded and safe to show

_TO_JSON = structlog.processors.JSONRenderer()


class Output:
    """Takes events; to structlog, a logger with a method for each level."""

    def write(self, event: EventDict) -> None:
        """Write one event."""
        raise NotImplementedError

    def info(self, event: EventDict) -> None:
        """Write one event of this level, which it names itself."""
        self.write(event)

    debug = warning = error = info

    def close(self) -> None:
        """Close what was opened."""


class StreamOutput(Output):
    """Lines on a stream, in a form; the journal and syslog fall back to one."""

    def __init__(
        self, stream: TextIO, form: Callable[[EventDict, bool], str], *, colour: bool = False
    ) -> None:
        self._stream, self._form, self._colour = stream, form, colour
        self._lock = threading.Lock()

    def write(self, event: EventDict) -> None:
        """Write one line. It is lost if the stream is closed or broken."""
        with self._lock, contextlib.suppress(OSError, ValueError, OverflowError):
            self._stream.write(self._form(event, self._colour) + "\n")
            self._stream.flush()


def as_json(event: EventDict, _: bool) -> str:  # noqa: FBT001 - a form of a stream
    """One JSON object: the reserved keys first, then the fields."""
    at = datetime.fromtimestamp(event["timestamp"], UTC).isoformat(timespec="milliseconds")
    shown = {"time": at.replace("+00:00", "Z"), **event}
    del shown["timestamp"]
    return str(_TO_JSON(None, "", shown))


def console(event: EventDict, colour: bool) -> str:  # noqa: FBT001 - a form of a stream
    """Time and message for a person, and below them the output of a run that failed."""
    screen = Screen(colour=colour)
    level = Level(event["level"])
    at = screen.paint(time.strftime("%H:%M:%S", time.localtime(event["timestamp"])), DIM)
    word = "" if level == Level.INFO else f"{level.value}: "
    below = str(event.get("exception", ""))
    if event.get("kind") == NoticeKind.RUN_ENDED:  # a failed deploy has the same tail
        below += str(event.get("tail", ""))
    lines = [f"{at} {screen.paint(word + event['text'], COLOURS[level])}"]
    lines += [screen.paint(f"         | {each}", DIM) for each in below.splitlines()]
    return "\n".join(lines)


def prefixed(event: EventDict, _: bool) -> str:  # noqa: FBT001 - a form of a stream
    """Begin with the level, for a stream that journald reads."""
    return f"<{PRIORITY[event['level']]}>{event['text']}"


class JournalOutput(Output):
    """Fields for journald; lines on a stream while its socket is not there."""

    def __init__(self, path: str, fallback: StreamOutput) -> None:
        self._journal, self._fallback = Journal(path), fallback
        self._was_sent = True

    def write(self, event: EventDict) -> None:
        """Send one line."""
        sent = self._journal.send(entries(event))
        if self._was_sent and not sent:
            text = f"no journal at {self._journal.path}; logging to stderr instead"
            warning = {"timestamp": event["timestamp"], "level": Level.WARNING, "text": text}
            self._fallback.write(warning)
        self._was_sent = sent
        if not sent:
            self._fallback.write(event)

    def close(self) -> None:
        """Close the socket."""
        self._journal.close()


class SyslogOutput(Output):
    """Text for a syslog daemon: for an agent that was daemonized on a machine without journald."""

    def __init__(self, path: str, fallback: StreamOutput) -> None:
        self._path, self._fallback = path, fallback
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)

    def write(self, event: EventDict) -> None:
        """Send one line; the stream gets it if syslog does not take it at once."""
        priority = _FACILITY_DAEMON | PRIORITY[event["level"]]
        at = time.strftime("%b %e %H:%M:%S", time.localtime(event["timestamp"]))
        text = f"<{priority}>{at} {IDENTIFIER}[{os.getpid()}]: {event['text']}"
        try:
            self._socket.sendto(text.encode("utf-8", "backslashreplace"), self._path)
        except OSError:
            self._fallback.write(event)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def entries(event: EventDict) -> list[Entry]:
    """Make the fields of an event for journald, which has a time of its own."""
    made: list[Entry] = [
        ("MESSAGE", event["text"]),
        ("PRIORITY", PRIORITY[event["level"]]),
        ("SYSLOG_IDENTIFIER", IDENTIFIER),
    ]
    for name, value in event.items():
        key = field_name(name)
        if name in ("kind", "app"):
            made.append((key, value))
        elif name not in RESERVED:
            made.append((f"FIELD_{key}" if key in _RESERVED_IN_JOURNAL else key, value))
    return made
