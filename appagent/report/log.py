"""Notices as lines: to the journal with fields, as JSON, or readable on a terminal.

Everything that is logged goes one way: a notice (or a message of a library, by the standard
logging) → structlog → `Line` → one of the outputs. An output never raises and never waits for
long: the daemon's loop must keep running whatever happens to its log.

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
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, TextIO

from appagent.model.notices import Level, Notice
from appagent.report import journal, messages
from appagent.report.sinks import (
    ConsoleOutput,
    JournalOutput,
    JsonOutput,
    Line,
    Output,
    SyslogOutput,
)
from appagent.report.structlog_setup import structlog
from appagent.report.terminal import is_terminal, wants_colour
from appagent.report.text import one_line, plain

LEVELS = {
    Level.DEBUG: logging.DEBUG,
    Level.INFO: logging.INFO,
    Level.WARNING: logging.WARNING,
    Level.ERROR: logging.ERROR,
}

_MOST_FIELDS = 60


class Log:
    """The log of the agent; a reporter. Made by `set_up`."""

    def __init__(self, output: Output, level: str = "info") -> None:
        self.output = output
        self.set_level(level)

    def report(self, notice: Notice) -> None:
        """Log a notice. May be called in any thread."""
        level = LEVELS[messages.level(notice)]
        if level >= self._level:
            structlog.get_logger().log(level, messages.text(notice), notice=notice)

    def write(self, level: Level, text: str, **fields: str | float) -> None:
        """Log a message that is not a notice."""
        structlog.get_logger().log(LEVELS[level], text, **fields)

    def fault(self, text: str, error: BaseException | None = None) -> None:
        """Log an exception (or the one being handled) with its traceback: a bug in appagent."""
        structlog.get_logger().error(text, exc_info=error or True)

    def set_level(self, level: str) -> None:
        """Set the minimum level of what is logged."""
        self._level = LEVELS[Level(level)]
        _configure(self.output, self._level)

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
        output = JournalOutput(journal_socket, stream, prefixed=is_journal_stream(stream))
    elif log_format == "syslog":
        output = SyslogOutput(syslog_socket, stream)
    elif log_format == "json":
        output = JsonOutput(stream)
    else:
        output = ConsoleOutput(stream, colour=wants_colour(stream))
    log = Log(output, level)
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _Bridge)]:
        root.removeHandler(old)
    root.addHandler(_Bridge())
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


def _configure(output: Output, level: int) -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            _as_line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: output,
        cache_logger_on_first_use=False,
    )


def _as_line(
    _: object, __: str, entry: MutableMapping[str, Any]
) -> tuple[tuple[Line], dict[str, Any]]:
    """Make the line for the outputs, with all text bounded and safe to show."""
    text, level = str(entry.pop("event", "")), Level(entry.pop("level"))
    notice = entry.pop("notice", None)
    given: Mapping[str, object] = entry
    kind, app, wall = "", "", time.time()
    if isinstance(notice, Notice):
        given, kind, app, wall = notice.fields, notice.kind, notice.app, notice.at.wall
    fields = {
        one_line(str(name), 64): _safe(value) for name, value in list(given.items())[:_MOST_FIELDS]
    }
    return (Line(level, wall, one_line(text, 8_000), kind, app, fields),), {}


def _safe(value: object) -> str | int | float:
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return plain(str(value))


class _Bridge(logging.Handler):
    """Takes what libraries log by the standard logging: asyncio, watchdog, warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level = LEVELS[_level_of(record)]
            structlog.get_logger().log(
                level, record.getMessage(), exc_info=record.exc_info, logger=record.name
            )
        except Exception:  # noqa: BLE001 - by contract a handler never raises
            self.handleError(record)


def _level_of(record: logging.LogRecord) -> Level:
    for level, number in reversed(LEVELS.items()):
        if record.levelno >= number:
            return level
    return Level.DEBUG
