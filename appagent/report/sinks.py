"""The outputs of the log, and the form of a line in each of them. No output ever raises."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TextIO

from appagent.model.notices import Level, NoticeKind
from appagent.report.journal import Entry, Journal, field_name
from appagent.report.terminal import BAD, BUSY, DIM, Screen

IDENTIFIER = "appagent"

COLOURS = {Level.DEBUG: DIM, Level.INFO: "", Level.WARNING: BUSY, Level.ERROR: BAD}
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
    """Takes lines."""

    def write(self, line: Line) -> None:
        """Write one line."""
        raise NotImplementedError

    def close(self) -> None:
        """Close what was opened."""


class StreamOutput(Output):
    """Lines on a stream, in a form; the journal and syslog fall back to one."""

    def __init__(
        self, stream: TextIO, form: Callable[[Line, bool], str], *, colour: bool = False
    ) -> None:
        self._stream, self._form, self._colour = stream, form, colour
        self._lock = threading.Lock()

    def write(self, line: Line) -> None:
        """Write one line. It is lost if the stream is closed or broken."""
        with self._lock, contextlib.suppress(OSError, ValueError, OverflowError):
            self._stream.write(self._form(line, self._colour) + "\n")
            self._stream.flush()


def as_json(line: Line, _: bool) -> str:  # noqa: FBT001 - a form of a stream
    """One JSON object: the reserved keys first, then the fields."""
    at = datetime.fromtimestamp(line.wall, UTC).isoformat(timespec="milliseconds")
    known = {"time": at.replace("+00:00", "Z"), "level": line.level.value}
    known |= {k: v for k, v in (("kind", line.kind), ("app", line.app)) if v}
    known["text"] = line.text
    others = {f"field_{k}" if k in known else k: v for k, v in line.fields.items()}
    return json.dumps({**known, **others})


def console(line: Line, colour: bool) -> str:  # noqa: FBT001 - a form of a stream
    """Time and message for a person, and below them the output of a run that failed."""
    screen = Screen(colour=colour)
    at = screen.paint(time.strftime("%H:%M:%S", time.localtime(line.wall)), DIM)
    word = "" if line.level == Level.INFO else f"{line.level.value}: "
    below = str(line.fields.get("exception", ""))
    if line.kind == NoticeKind.RUN_ENDED:  # a failed deploy has the same tail
        below += str(line.fields.get("tail", ""))
    lines = [f"{at} {screen.paint(word + line.text, COLOURS[line.level])}"]
    lines += [screen.paint(f"         | {each}", DIM) for each in below.splitlines()]
    return "\n".join(lines)


def prefixed(line: Line, _: bool) -> str:  # noqa: FBT001 - a form of a stream
    """Begin with the level, for a stream that journald reads."""
    return f"<{PRIORITY[line.level]}>{line.text}"


class JournalOutput(Output):
    """Fields for journald; lines on a stream while its socket is not there."""

    def __init__(self, path: str, fallback: StreamOutput) -> None:
        self._journal, self._fallback = Journal(path), fallback
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

    def __init__(self, path: str, fallback: StreamOutput) -> None:
        self._path, self._fallback = path, fallback
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
            self._fallback.write(line)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


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
