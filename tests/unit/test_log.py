"""What is logged reads well on each way out, and no way out that fails disturbs the agent."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import pty
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from appagent.model.notices import Fields, Level, Notice, NoticeKind
from appagent.model.words import Now, Outcome
from appagent.report.log import Log, choose, set_up
from appagent.report.terminal import wants_colour

ENDED = Notice(
    NoticeKind.RUN_ENDED,
    Now(5.0, 1_700_000_000.123),
    "web",
    {
        "target": "restart",
        "release": "git.1:abc",
        "run_id": "18bcfe568-1",
        "deploy_id": "18bcfe568-0",
        "reason": "new release",
        "outcome": Outcome.FAILED,
        "exit_code": 2,
        "duration_ms": 812,
        "line": "no such file",
        "tail": "one\n\x1b[31mtwo\x1b[0m",
    },
)
TEXT = "web: make restart failed after 0.8 s: no such file"


def notice(line: str = "words", **fields: str | float) -> Notice:
    """A warning that is this line, whatever its other fields are."""
    known = cast("Fields", {"line": line, **fields})
    return Notice(NoticeKind.RUN_WARNING, Now(0.0, 0.0), "web", known)


HELD = Notice(NoticeKind.APP_HELD, Now(0.0, 0.0), "web", {"by": "ann", "reason": "a freeze"})


class Taker:
    """A datagram socket that stands for journald, or for syslog."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def take(self) -> str:
        return self._socket.recv(1 << 20).decode("utf-8")

    def close(self) -> None:
        self._socket.close()
        self.path.unlink()


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give libraries back their own logging after each test."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def logged(stream: io.StringIO, log_format: str, level: str = "info") -> Log:
    return set_up(log_format, level, stream=stream)


# --- JSON ----------------------------------------------------------------------------------------


def test_json_has_one_object_a_line_with_everything(stream: io.StringIO) -> None:
    log = logged(stream, "json")
    log.report(ENDED)
    log.report(notice())
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first == {
        "time": "2023-11-14T22:13:20.123Z",
        "level": "error",
        "kind": "run.ended",
        "app": "web",
        "text": TEXT,
        "target": "restart",
        "release": "git.1:abc",
        "run_id": "18bcfe568-1",
        "deploy_id": "18bcfe568-0",
        "reason": "new release",
        "outcome": "failed",
        "exit_code": 2,
        "duration_ms": 812,
        "line": "no such file",
        "tail": "one\ntwo",
    }
    assert second["kind"] == "run.warning"


def test_no_field_can_speak_for_what_is_ours(stream: io.StringIO) -> None:
    fields: dict[str, Any] = {
        "level": "calm",
        "event": "e",
        "notice": "f",
        "time": "now",
        "nan": float("nan"),
    }
    logged(stream, "json").report(notice(**fields))
    said = json.loads(stream.getvalue(), parse_constant=pytest.fail)
    assert (said["level"], said["text"], said["time"]) == (
        "warning",
        "web: words",
        "1970-01-01T00:00:00.000Z",
    )
    assert (said["field_level"], said["event"], said["field_time"]) == ("calm", "e", "now")


def test_text_from_outside_is_bounded_and_safe(stream: io.StringIO) -> None:
    log = logged(stream, "json")
    text = "a\nforged line\x1b]0;title\x07 caf\udce9 " + "x" * 10_000
    log.report(notice(text, path="y\x1b[2J\udcff" + "y" * 100_000))
    (line,) = stream.getvalue().splitlines()
    said = json.loads(line)
    assert said["text"].startswith("web: a forged line caf\\xe9 xxx")
    assert len(line) < 40_000


def test_the_level_of_the_log_can_be_changed(stream: io.StringIO) -> None:
    log = logged(stream, "json", "warning")
    log.report(HELD)
    assert not stream.getvalue()
    log.set_level("info")
    log.report(HELD)
    log.write(Level.DEBUG, "hush")
    log.write(Level.INFO, "100 % of it", count=3)
    assert [json.loads(line)["text"] for line in stream.getvalue().splitlines()] == [
        "web: held by ann: a freeze",
        "100 % of it",
    ]


# --- console -------------------------------------------------------------------------------------


def test_the_console_reads_like_a_story(stream: io.StringIO) -> None:
    log = logged(stream, "console", "debug")
    log.report(Notice(NoticeKind.RUN_BEGAN, Now(0, 0), "web", ENDED.fields))
    log.report(ENDED)
    log.report(Notice(NoticeKind.DEPLOY_FAILED, Now(0, 0), "web", ENDED.fields))
    assert [line.partition(" ")[2] for line in stream.getvalue().splitlines()] == [
        "debug: web: make restart (new release)",
        "error: web: make restart failed after 0.8 s: no such file",
        "        | one",
        "        | two",
        "warning: web: restart of abc failed; not rolling back. To try again: appagent trigger web",
    ]
    assert "\x1b" not in stream.getvalue()


def test_an_internal_error_is_logged_with_its_traceback(stream: io.StringIO) -> None:
    log = logged(stream, "console")
    try:
        os.environ["NOT SET"]
    except KeyError:
        log.fault("a task ended")
    assert "error: a task ended" in stream.getvalue()
    assert "| KeyError: 'NOT SET'" in stream.getvalue()


def test_colour_is_for_terminals_whose_user_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    main, side = pty.openpty()
    with os.fdopen(main, "rb", buffering=0) as screen, os.fdopen(side, "w") as terminal:
        assert wants_colour(terminal)
        assert choose(terminal, "/nowhere", "/nowhere") == "console"
        log = set_up("auto", stream=terminal)
        log.report(ENDED)
        assert b"\x1b[1;31m" in screen.read(1000)
        monkeypatch.setenv("NO_COLOR", "1")
        assert not wants_colour(terminal)
        monkeypatch.setenv("NO_COLOR", "")
        monkeypatch.setenv("TERM", "dumb")
        assert not wants_colour(terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert not wants_colour(io.StringIO())


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_stream_that_is_closed_or_broken_is_no_crash(log_format: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with contextlib.suppress(BrokenPipeError), os.fdopen(writer, "w") as broken:
        log = set_up(log_format, stream=broken)
        log.report(ENDED)
        log.report(ENDED)
    log.report(ENDED)


# --- journal and syslog --------------------------------------------------------------------------


def test_the_journal_gets_the_fields(tmp_path: Path, stream: io.StringIO) -> None:
    with contextlib.closing(Taker(tmp_path / "socket")) as journald:
        log = set_up("journal", stream=stream, journal_socket=str(journald.path))
        log.report(ENDED)
        data = journald.take()
        for field in (
            f"MESSAGE={TEXT}",
            "PRIORITY=3",
            "SYSLOG_IDENTIFIER=appagent",
            "KIND=run.ended",
            "APP=web",
            "TARGET=restart",
            "RELEASE=git.1:abc",
            "RUN_ID=18bcfe568-1",
            "DEPLOY_ID=18bcfe568-0",
            "REASON=new release",
            "OUTCOME=failed",
            "EXIT_CODE=2",
            "DURATION_MS=812",
        ):
            assert f"{field}\n" in data
        assert "TAIL\n\x07\0\0\0\0\0\0\0one\ntwo\n" in data
        log.report(notice(message="forged", app_="x", priority=0))
        data = journald.take()
        assert data.count("\nPRIORITY=") == 1
        assert "\nFIELD_MESSAGE=forged\n" in data
        log.close()
    assert not stream.getvalue()


def test_without_a_journal_lines_go_to_stderr_which_says_once_why(
    tmp_path: Path, stream: io.StringIO
) -> None:
    log = set_up("journal", stream=stream, journal_socket=str(tmp_path / "socket"))
    log.report(notice("first"))
    log.report(notice("second"))
    lines = stream.getvalue().splitlines()
    assert "no journal at" in lines[0]
    assert [line.split()[-1] for line in lines[1:]] == ["first", "second"]
    with contextlib.closing(Taker(tmp_path / "socket")) as journald:
        log.report(notice("third"))
        assert journald.take().startswith("MESSAGE=web: third\n")
    log.report(notice("fourth"))
    assert len(stream.getvalue().splitlines()) == 5
    log.close()


def test_auto_takes_the_journal_where_stderr_is_its_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        contextlib.closing(Taker(tmp_path / "socket")) as journald,
        (tmp_path / "stderr").open("w+") as stderr,
    ):
        found = os.fstat(stderr.fileno())
        assert choose(stderr, str(journald.path), "/nowhere") == "json"
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino + 1}")
        assert choose(stderr, str(journald.path), "/nowhere") == "json"
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert choose(stderr, str(journald.path), "/nowhere") == "journal"
        assert choose(stderr, "/nowhere", "/nowhere") == "json"
        log = set_up("journal", stream=stderr, journal_socket="/nowhere")
        log.report(ENDED)
        stderr.seek(0)
        assert stderr.read().splitlines()[1] == f"<3>{TEXT}"


def test_a_daemonized_agent_finds_the_journal_or_syslog(tmp_path: Path) -> None:
    with (
        Path("/dev/null").open("w") as nowhere,
        contextlib.closing(Taker(tmp_path / "log")) as syslog,
    ):
        there = str(syslog.path)
        assert choose(nowhere, there, "/nowhere") == "journal"
        assert choose(nowhere, "/nowhere", there) == "syslog"
        assert choose(nowhere, "/nowhere", "/nowhere") == "json"
        log = set_up("auto", stream=nowhere, journal_socket="/nowhere", syslog_socket=there)
        log.report(ENDED)
        said = syslog.take()
        log.close()
    assert said.startswith("<27>")
    assert said.endswith(f" appagent[{os.getpid()}]: {TEXT}")


# --- libraries -----------------------------------------------------------------------------------


def test_what_libraries_log_goes_the_same_way(stream: io.StringIO) -> None:
    logged(stream, "json")
    logged(stream, "json")
    logging.getLogger("asyncio").error("a %s with %d", "task", 7)
    logging.getLogger("watchdog").debug("chatter")
    warnings.warn("old ways", stacklevel=1)
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (said[0]["text"], said[0]["logger"], said[0]["level"]) == (
        "a task with 7",
        "asyncio",
        "error",
    )
    assert "old ways" in said[-1]["text"]


def test_rich_is_not_imported_and_can_be_by_others(tmp_path: Path) -> None:
    for name in ("rich", "twisted", "better_exceptions"):
        (tmp_path / f"{name}.py").write_text("")
    program = (
        "import sys, appagent.report.log; assert not {'rich', 'twisted'} & set(sys.modules);"
        "import rich, twisted; assert rich and twisted"
    )
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    environ = {**os.environ, "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", program], env=environ, check=True)
