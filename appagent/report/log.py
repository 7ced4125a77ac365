"""Notices as lines: to the journal with fields, as JSON, or readable on a terminal.

Everything that is logged goes one way: a notice (or a message of a library, by the standard
logging) → structlog: the filter of levels and the processors, which make an event dict of known
order whose texts are bounded and safe to show → one of the outputs. An output never raises and
never waits for long: the daemon's loop must keep running whatever happens to its log.

    journal   fields: KIND APP RELEASE TARGET RUN_ID REASON OUTCOME …; falls back to stderr
    json      one object a line, on stderr
    console   for a person, on stderr; colour only on a terminal, and not with NO_COLOR
    syslog    where `auto` finds neither a journal nor a stderr that leads anywhere
"""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from appagent.host.text import one_line, plain
from appagent.model.notices import Level, Notice
from appagent.report import journal, messages
from appagent.report.sinks import (
    RESERVED,
    EventDict,
    JournalOutput,
    Output,
    StreamOutput,
    SyslogOutput,
    as_json,
    console,
    prefixed,
)
from appagent.report.structlog_setup import structlog
from appagent.report.terminal import is_terminal, wants_colour

LEVELS = {
    Level.DEBUG: logging.DEBUG,
    Level.INFO: logging.INFO,
    Level.WARNING: logging.WARNING,
    Level.ERROR: logging.ERROR,
}

_MOST_FIELDS = 60


class Log:
    """The log of the agent; a reporter. Made by `set_up`. May be used in any thread."""

    def __init__(self, output: Output, level: str = "info") -> None:
        self.output = output
        self.set_level(level)

    def report(self, notice: Notice) -> None:
        """Log a notice."""
        self._logger.log(LEVELS[messages.level(notice)], notice)

    def write(
        self, level: Level, text: str, error: BaseException | None = None, **fields: str | float
    ) -> None:
        """Log a message that is not a notice."""
        self._logger.log(LEVELS[level], text, fields=fields, exc_info=error)

    def fault(self, text: str, error: BaseException | None = None) -> None:
        """Log an exception (or the one being handled) with its traceback: a bug in appagent."""
        self.write(Level.ERROR, text, error or sys.exception())

    def set_level(self, level: str) -> None:
        """Set the minimum level of what is logged."""
        only = structlog.make_filtering_bound_logger(LEVELS[Level(level)])
        self._logger = structlog.wrap_logger(self.output, PROCESSORS, wrapper_class=only).bind()

    def close(self) -> None:
        """Close the sockets. What is logged after that is lost."""
        self.output.close()


def set_up(
    log_format: str = "auto",
    level: str = "info",
    *,
    stream: TextIO | None = None,
    journal_socket: str = journal.SOCKET,
    syslog_socket: str = "/dev/log",
) -> Log:
    """Direct all that is logged to one output, by the `log` settings. May be called again."""
    stream = stream if stream is not None else sys.stderr
    if log_format == "auto":
        log_format = choose(stream, journal_socket, syslog_socket)
    output: Output
    if log_format == "journal":
        form = prefixed if is_journal_stream(stream) else console
        output = JournalOutput(journal_socket, StreamOutput(stream, form))
    elif log_format == "syslog":
        output = SyslogOutput(syslog_socket, StreamOutput(stream, console))
    elif log_format == "json":
        output = StreamOutput(stream, as_json)
    else:
        output = StreamOutput(stream, console, colour=wants_colour(stream))
    log = Log(output, level)
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _Bridge)]:
        root.removeHandler(old)
    root.addHandler(_Bridge(log))
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    return log


def choose(stream: TextIO, journal_socket: str, syslog_socket: str) -> str:
    """Choose the format for `auto`."""
    journal_is_there = Path(journal_socket).is_socket()
    if journal_is_there and is_journal_stream(stream):
        return "journal"
    if _leads_nowhere(stream):  # daemonized
        if journal_is_there:
            return "journal"
        return "syslog" if Path(syslog_socket).is_socket() else "json"
    return "console" if is_terminal(stream) else "json"


def is_journal_stream(stream: TextIO) -> bool:
    """Whether systemd connected this stream to the journal: $JOURNAL_STREAM names the two alike."""
    found = _stat(stream)
    named = os.environ.get("JOURNAL_STREAM", "")
    return found is not None and named == f"{found.st_dev}:{found.st_ino}"


def _leads_nowhere(stream: TextIO) -> bool:
    found = _stat(stream)
    return found is not None and found.st_rdev == os.makedev(1, 3)  # /dev/null


def _stat(stream: TextIO) -> os.stat_result | None:
    try:
        return os.fstat(stream.fileno())
    except (ValueError, OSError):
        return None


def _safe(fields: Mapping[str, object]) -> dict[str, str | int | float]:
    """Bound the fields, and make them safe to show."""
    safe: dict[str, str | int | float] = {}
    for name, value in list(fields.items())[:_MOST_FIELDS]:
        number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
        safe[one_line(str(name), 64)] = value if number else plain(str(value))  # type: ignore[assignment]
    return safe


def _described(_: object, __: str, event: EventDict) -> EventDict:
    """Unpack a notice. Its words are made only here, after the filter of levels."""
    if isinstance(notice := event["event"], Notice):
        event.update(event=messages.text(notice), timestamp=notice.at.wall)
        event.update(kind=notice.kind, app=notice.app, fields=notice.fields)
    return event


def _bounded(_: object, __: str, event: EventDict) -> tuple[tuple[EventDict], dict[str, object]]:
    """Order the event: the reserved keys first, then the fields, which cannot take their place."""
    event["text"] = one_line(event["text"], 8_000)
    made = {key: event[key] for key in RESERVED if event.get(key) not in (None, "")}
    fields = dict(event.get("fields", {}))
    if "exception" in event:
        fields["exception"] = event["exception"]
    for name, value in _safe(fields).items():
        made[f"field_{name}" if name in RESERVED else name] = value
    return (made,), {}  # the argument of the output


PROCESSORS = (
    _described,
    structlog.processors.add_log_level,
    structlog.processors.MaybeTimeStamper(fmt=None),
    structlog.processors.format_exc_info,
    structlog.processors.EventRenamer("text"),
    _bounded,
)


class _Bridge(logging.Handler):
    """Takes what libraries log by the standard logging: asyncio, watchdog, warnings."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level = max(
                (each for each in Level if LEVELS[each] <= record.levelno),
                key=LEVELS.__getitem__,
                default=Level.DEBUG,
            )
            error = record.exc_info[1] if record.exc_info else None
            self._log.write(level, record.getMessage(), error, logger=record.name)
        except Exception:  # noqa: BLE001 - by contract a handler never raises
            self.handleError(record)
