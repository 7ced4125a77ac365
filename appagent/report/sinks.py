"""Where a line of the log goes, and what it looks like there. No output ever raises."""

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

from appagent.model.notices import Level
from appagent.report.journal import Entry, Journal, field_name

IDENTIFIER = "appagent"

PRIORITY = {Level.DEBUG: 7, Level.INFO: 6, Level.WARNING: 4, Level.ERROR: 3}

_FACILITY_DAEMON = 3 << 3

# What a field of a fact must not speak for: these say what the line is and where it comes from.
_OURS = frozenset(
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
        """Put the line where it belongs."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what was opened."""

    def msg(self, line: Line) -> None:
        """Take a line from structlog."""
        self.write(line)

    log = debug = info = warning = warn = error = critical = fatal = exception = msg


class StreamOutput(Output):
    """Lines on a stream: the way in which the others are shown, too, where they fail."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def render(self, line: Line) -> str:
        """Make the text that is shown."""
        raise NotImplementedError

    def write(self, line: Line) -> None:
        """Show the line. A stream that is closed or gone loses it."""
        with self._lock, contextlib.suppress(OSError, ValueError, OverflowError):
            self._stream.write(self.render(line) + "\n")
            self._stream.flush()


class JsonOutput(StreamOutput):
    """One JSON object a line."""

    def render(self, line: Line) -> str:
        """Make the object; what a field cannot speak for stands before the fields."""
        at = datetime.fromtimestamp(line.wall, UTC).isoformat(timespec="milliseconds")
        known = {"time": at.replace("+00:00", "Z"), "level": line.level.value}
        known |= {k: v for k, v in (("kind", line.kind), ("app", line.app)) if v}
        return json.dumps({**known, "text": line.text, **_beside(line, (*known, "text"))})


class ConsoleOutput(StreamOutput):
    """Lines for a person: the time, the words, and below them the output of what failed."""

    COLOURS = {Level.DEBUG: "2", Level.INFO: "", Level.WARNING: "33", Level.ERROR: "31;1"}  # noqa: RUF012

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        super().__init__(stream)
        self._colour = colour

    def render(self, line: Line) -> str:
        """Make the text that is shown."""
        at = self._paint("2", time.strftime("%H:%M:%S", time.localtime(line.wall)))
        word = "" if line.level == Level.INFO else f"{line.level.value}: "
        lines = [f"{at} {self._paint(self.COLOURS[line.level], word + line.text)}"]
        # The output of a run that failed; what else is made of it repeats it.
        told = [str(line.fields.get("exception", ""))]
        if line.kind == "run.ended":
            told.append(str(line.fields.get("tail", "")))
        below = "\n".join(filter(None, told))
        lines += [self._paint("2", f"         | {each}") for each in below.splitlines()]
        return "\n".join(lines)

    def _paint(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour else text


class JournalOutput(Output):
    """Fields for journald; where its socket is away, readable lines on the stream."""

    def __init__(self, path: str, stream: TextIO, *, prefixed: bool) -> None:
        self._journal = Journal(path)
        self._aside = _Prefixed(stream) if prefixed else ConsoleOutput(stream, colour=False)
        self._away = False

    def write(self, line: Line) -> None:
        """Send the line."""
        away = not self._journal.send(entries(line))
        if away and not self._away:
            text = f"no journal at {self._journal.path}; what follows is told here"
            self._aside.write(Line(Level.WARNING, line.wall, text))
        self._away = away
        if away:
            self._aside.write(line)

    def close(self) -> None:
        """Let go of the socket."""
        self._journal.close()


class SyslogOutput(Output):
    """Text for a syslog daemon: for an agent that was daemonized where there is no journald."""

    def __init__(self, path: str, stream: TextIO) -> None:
        self._path = path
        self._console = ConsoleOutput(stream, colour=False)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)

    def write(self, line: Line) -> None:
        """Send the line; a syslog daemon that is away or does not keep up loses it."""
        priority = _FACILITY_DAEMON | PRIORITY[line.level]
        at = time.strftime("%b %e %H:%M:%S", time.localtime(line.wall))
        text = f"<{priority}>{at} {IDENTIFIER}[{os.getpid()}]: {line.text}"
        try:
            self._socket.sendto(text.encode("utf-8", "backslashreplace"), self._path)
        except OSError:
            self._console.write(line)

    def close(self) -> None:
        """Let go of the socket."""
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
        made.append((f"FIELD_{key}" if key in _OURS else key, value))
    return made


def _beside(line: Line, taken: tuple[str, ...]) -> dict[str, str | int | float]:
    return {f"field_{k}" if k in taken else k: v for k, v in line.fields.items()}
