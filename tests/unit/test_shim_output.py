"""Output: where it goes, how it is cut, and what of it is shown."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appagent.host.units import log_matches, output_matches
from appagent.shim.output import (
    TAIL,
    Log,
    clean,
    failure_line,
    journal,
    journal_tail,
    open_log,
    trim,
)


@pytest.mark.parametrize(
    ("shown", "raw"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("red", "\x1b[31mred\x1b[0m"),
        ("bold", "\x1b[1;38;5;200mbold\x1b[m"),
        ("title", "\x1b]0;evil\x07title"),
        ("title", "\x1b]0;evil\x1b\\title"),
        ("link", "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\"),
        ("sixel", "\x1bPq#0;2;0;0;0\x1b\\sixel"),
        ("cleared", "\x1b[2J\x1b[Hcleared"),
        ("charset", "\x1b(Bcharset"),
        ("reset", "\x1bcreset"),
        ("a b", "a\0 \x07b\x08"),
        ("done\n", "10%\r50%\rdone\n"),
        ("dos\nlines\n", "dos\r\nlines\r\n"),
        ("csi", "\x9b31mcsi"),
        ("x", "\u202ex\u2066"),
        ("é?", b"\xc3\xa9\xff"),
        ("cut", "cut\x1b["),
        ("cut", "cut\x1b"),
    ],
)
def test_what_is_shown_is_free_of_what_moves_a_terminal(shown: str, raw: str | bytes) -> None:
    assert clean(raw) == shown


@given(st.binary(max_size=200))
def test_nothing_that_a_terminal_obeys_is_ever_shown(raw: bytes) -> None:
    text = clean(raw)
    assert not {letter for letter in text if ord(letter) < 32} - {"\n", "\t"}
    assert not {letter for letter in text if 0x7F <= ord(letter) < 0xA0}


@pytest.mark.parametrize(
    ("tail", "line"),
    [
        ("", ""),
        ("\n \n", ""),
        ("one\ntwo\n", "two"),
        ("oops\nmake: *** [Makefile:3: install] Error 3\n",
         "oops"),
        ("make: *** No rule.  Stop.\n", "make: *** No rule.  Stop."),
        ("oops\nmake[1]: *** [x] Error 1\nmake: *** [y] Error 2\n", "oops"),
    ],
)  # fmt: skip
def test_the_last_words_are_the_apps_and_makes(tail: str, line: str) -> None:
    assert failure_line(tail) == line


def test_a_file_is_cut_while_it_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    writer = open_log(str(path))
    os.write(writer, b"old\n" * 1000 + b"new\n")
    assert trim(str(path), 1000)
    os.write(writer, b"newest\n")
    os.close(writer)
    assert path.read_bytes() == b"newest\n"
    assert (tmp_path / "web.log.1").read_bytes().endswith(b"old\nnew\n")
    assert (tmp_path / "web.log.1").stat().st_size == 250
    assert not trim(str(path), 1000)
    assert trim(str(path), 3)
    assert not trim(str(tmp_path / "none"), 3)


def test_a_log_is_never_opened_through_a_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"x" * 100)
    path = tmp_path / "web.log"
    path.symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"):
        open_log(str(path))
    assert not trim(str(path), 10)
    assert precious.stat().st_size == 100


def test_the_tail_is_of_what_was_written_since(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_bytes(b"before\n")
    log = Log(str(path), 100_000)
    assert log.tail() == b""
    os.write(log.fd, b"now\n")
    assert log.tail() == b"now\n"
    os.write(log.fd, b"x" * 2 * TAIL + b"end\n")
    assert len(log.tail()) == TAIL
    assert log.tail().endswith(b"end\n")
    os.write(log.fd, b"y" * 100_000 + b"cut\n")
    log.watch()
    assert path.stat().st_size == 0
    assert log.tail().endswith(b"ycut\n")
    os.write(log.fd, b"after\n")
    assert log.tail().endswith(b"ycut\nafter\n")
    assert len(log.tail()) == TAIL


def test_the_faster_a_log_grows_the_more_often_it_is_looked_at(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "web.log"), 32_000)
    for _ in range(20):
        idle = log.watch()
    os.write(log.fd, b"x" * 20_000)
    assert log.watch() < idle


def test_the_journal_gets_a_header_that_names_the_app(tmp_path: Path) -> None:
    path = str(tmp_path / "stdout")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        fd = journal("web", path)
        taken, _ = listener.accept()
        os.write(fd, b"hello\n")
        os.close(fd)
        with taken:
            data = b""
            while more := taken.recv(1000):
                data += more
    assert data == b"appagent-web\nappagent-web.slice\n6\n0\n0\n0\n0\nhello\n"


def test_a_journal_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        journal("web", str(tmp_path / "none"))


def test_the_tail_of_a_stream_comes_from_journalctl(tmp_path: Path) -> None:
    tool = tmp_path / "journalctl"
    tool.write_text('#!/bin/sh\n[ "$1" = --sync ] || echo "$@"\n')
    tool.chmod(0o755)
    said = journal_tail("web", 12.5, str(tool)).decode()
    assert said == (
        "--quiet --no-pager --output=cat --reverse --lines=100 --since=@12.500000 "
        f"{' '.join(output_matches('web', os.geteuid()))}\n"
    )
    assert journal_tail("web", 1.0, str(tmp_path / "none")) == b""


def test_the_tail_of_a_stream_is_in_the_order_in_which_it_was_printed(tmp_path: Path) -> None:
    tool = tmp_path / "journalctl"
    tool.write_text('#!/bin/sh\ncase "$*" in *--reverse*) printf "3\\n2\\n1\\n";; esac\n')
    tool.chmod(0o755)
    assert journal_tail("web", 1.0, str(tool)) == b"1\n2\n3\n"


def test_a_line_of_an_app_is_known_by_fields_that_its_writer_cannot_set() -> None:
    """Those that begin with _ are journald's own; the name is anybody's to take."""
    for uid in (0, 1000):
        alternatives = " ".join(log_matches("web", uid)).split(" + ")
        assert all(" _" in one for one in alternatives), alternatives
    assert output_matches("a-b", 0) == [
        "SYSLOG_IDENTIFIER=appagent-a-b",
        r"_SYSTEMD_SLICE=appagent-a\x2db.slice",
        "+",
        "SYSLOG_IDENTIFIER=appagent-a-b",
        r"_SYSTEMD_UNIT=appagent-a\x2db.slice",
        "_SYSTEMD_UNIT=appagent.service",
    ]
    assert output_matches("web", 1000) == ["SYSLOG_IDENTIFIER=appagent-web", "_UID=1000"]


def test_where_there_is_no_room_output_is_lost_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "web.log"
    path.write_text("of an earlier run\n")
    monkeypatch.setattr("appagent.shim.output._ROOM", 1 << 62)
    warnings: list[str] = []
    log = Log(str(path), 100_000, warnings)
    os.write(log.fd, b"no room for this\n")
    log.watch()
    assert log.tail() == b""
    assert path.read_text() == "of an earlier run\n"
    assert warnings == [f"output is lost: {path}: no room on the disk"]
    os.close(log.fd)
