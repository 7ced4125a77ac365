"""The outputs of the log, and the form of a line in each of them. No output ever raises."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TextIO

from appagent.model.notices import Level, NoticeKind
from appagent.report.journal import Entry, Journal, field_name

IDENTIFIER = "appagent"

PRIORITY = {Level.DEBUG: 7, Level.INFO: 6, Level.WARNING: 4, Level.ERROR: 3}

_FACILITY_DAEMON = 3 << 3

# A field of a notice must not take these names: they say what the line is and where it comes from.
_RESERVED = frozenset(
    ("MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "KIND", "APP", "MESSAGE_ID", "UNIT", "USER_UNIT")
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line to be logged; all its text is bounded and safe to show."""

    level: Level
    wall: float
    text: str
    kind: str = ""
    app: str = ""
    fields: Mapping[str, str | int | float] = field(default_factory=dict)


class Output:
    """Takes lines; structlog calls it by the name of the level."""

    def write(self, line: Line) -> None:
        """Write one line."""
        raise NotImplementedError

    def close(self) -> None:
        """Close what was opened."""

    def msg(self, line: Line) -> None:
        """Take a line from structlog."""
        self.write(line)

    log = debug = info = warning = warn = error = critical = fatal = exception = msg


class StreamOutput(Output):
    """Lines on a stream; the journal and syslog fall back to one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def render(self, line: Line) -> str:
        """Format the line."""
        raise NotImplementedError

    def write(self, line: Line) -> None:
        """Write one line. It is lost if the stream is closed or broken."""
        with self._lock, contextlib.suppress(OSError, ValueError, OverflowError):
            self._stream.write(self.render(line) + "\n")
            self._stream.flush()


class JsonOutput(StreamOutput):
    """One JSON object a line."""

    def render(self, line: Line) -> str:
        """Format the object: the reserved keys first, then the fields."""
        at = datetime.fromtimestamp(line.wall, UTC).isoformat(timespec="milliseconds")
        known = {"time": at.replace("+00:00", "Z"), "level": line.level.value}
        known |= {k: v for k, v in (("kind", line.kind), ("app", line.app)) if v}
        return json.dumps({**known, "text": line.text, **_beside(line, (*known, "text"))})


class ConsoleOutput(StreamOutput):
    """Lines for a person: time and message, and below them the output of a run that failed."""

    COLOURS = {Level.DEBUG: "2", Level.INFO: "", Level.WARNING: "33", Level.ERROR: "31;1"}  # noqa: RUF012

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        super().__init__(stream)
        self._colour = colour

    def render(self, line: Line) -> str:
        """Format the line, and those below it."""
        at = self._paint("2", time.strftime("%H:%M:%S", time.localtime(line.wall)))
        word = "" if line.level == Level.INFO else f"{line.level.value}: "
        lines = [f"{at} {self._paint(self.COLOURS[line.level], word + line.text)}"]
        below = str(line.fields.get("exception", ""))
        if line.kind == NoticeKind.RUN_ENDED:  # a failed deploy has the same tail
            below += str(line.fields.get("tail", ""))
        lines += [self._paint("2", f"         | {each}") for each in below.splitlines()]
        return "\n".join(lines)

    def _paint(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour else text


class JournalOutput(Output):
    """Fields for journald; readable lines on the stream while its socket is not there."""

    def __init__(self, path: str, stream: TextIO, *, prefixed: bool) -> None:
        self._journal = Journal(path)
        self._fallback = _Prefixed(stream) if prefixed else ConsoleOutput(stream, colour=False)
        self._was_sent = True

    def write(self, line: Line) -> None:
        """Send one line."""
        sent = self._journal.send(entries(line))
        if self._was_sent and not sent:
            text = f"no journal at {self._journal.path}; logging to stderr instead"
            self._fallback.write(Line(Level.WARNING, line.wall, text))
        self._was_sent = sent
        if not sent:
            self._fallback.write(line)

    def close(self) -> None:
        """Close the socket."""
        self._journal.close()


class SyslogOutput(Output):
    """Text for a syslog daemon: for an agent that was daemonized on a machine without journald."""

    def __init__(self, path: str, stream: TextIO) -> None:
        self._path = path
        self._console = ConsoleOutput(stream, colour=False)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)

    def write(self, line: Line) -> None:
        """Send one line; the stream gets it if syslog does not take it at once."""
        priority = _FACILITY_DAEMON | PRIORITY[line.level]
        at = time.strftime("%b %e %H:%M:%S", time.localtime(line.wall))
        text = f"<{priority}>{at} {IDENTIFIER}[{os.getpid()}]: {line.text}"
        try:
            self._socket.sendto(text.encode("utf-8", "backslashreplace"), self._path)
        except OSError:
            self._console.write(line)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class _Prefixed(StreamOutput):
    """Lines on a stream that journald reads: each begins with its level."""

    def render(self, line: Line) -> str:
        return f"<{PRIORITY[line.level]}>{line.text}"


def entries(line: Line) -> list[Entry]:
    """Make the fields of a line for journald."""
    made: list[Entry] = [
        ("MESSAGE", line.text),
        ("PRIORITY", PRIORITY[line.level]),
        ("SYSLOG_IDENTIFIER", IDENTIFIER),
    ]
    made += [(name, value) for name, value in (("KIND", line.kind), ("APP", line.app)) if value]
    for name, value in line.fields.items():
        key = field_name(name)
        made.append((f"FIELD_{key}" if key in _RESERVED else key, value))
    return made


def _beside(line: Line, taken: tuple[str, ...]) -> dict[str, str | int | float]:
    return {f"field_{k}" if k in taken else k: v for k, v in line.fields.items()}
