"""Lines reach a journald as its protocol wants them; here a real socket stands for it."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appagent.report.journal import Journal, field_name, pack


def parse(data: bytes) -> list[tuple[str, bytes]]:
    """Read a datagram the way journald does."""
    found = []
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack_from("<Q", rest)
            value, end = rest[8 : 8 + length], rest[8 + length : 9 + length]
            assert end == b"\n"
            rest = rest[9 + length :]
        found.append((name.decode("ascii"), value))
        data = rest
    return found


class Journald:
    """A datagram socket that takes what is sent to it, descriptors too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sealed = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def take(self) -> dict[str, str]:
        """Wait for one line, and return its fields."""
        room = socket.CMSG_SPACE(array.array("i").itemsize)
        data, extra, _, _ = self._socket.recvmsg(1 << 20, room)
        for _, kind, rights in extra:
            assert kind == socket.SCM_RIGHTS
            (handle,) = struct.unpack("i", rights)
            assert data == b""
            with os.fdopen(handle, "rb") as memory:
                memory.seek(0)
                data = memory.read()
                wanted = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
                self.sealed = fcntl.fcntl(memory, fcntl.F_GET_SEALS) & wanted == wanted
        return {name: value.decode("utf-8") for name, value in parse(data)}

    def close(self) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    with contextlib.closing(Journald(tmp_path / "socket")) as it:
        yield it


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with contextlib.closing(Journal(str(tmp_path / "socket"))) as it:
        yield it


def test_fields_arrive_as_they_were_sent(journald: Journald, journal: Journal) -> None:
    assert journal.send([("MESSAGE", "web: good = fine"), ("PRIORITY", 6), ("SECONDS", 1.5)])
    assert journald.take() == {"MESSAGE": "web: good = fine", "PRIORITY": "6", "SECONDS": "1.5"}


def test_values_with_newlines_take_the_binary_form(journald: Journald, journal: Journal) -> None:
    tail = "one\ntwo=2\n\nMESSAGE=forged\n"
    assert journal.send([("TAIL", tail), ("MESSAGE", "m")])
    assert journald.take() == {"TAIL": tail, "MESSAGE": "m"}


def test_what_is_too_large_goes_through_a_sealed_memfd(
    journald: Journald, journal: Journal
) -> None:
    large = [(f"FIELD_{letter}", letter * 60_000) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    handles = len(list(Path("/proc/self/fd").iterdir()))
    for each in range(3):
        # The kernel says what fits; make it say no, whatever this machine's limits are.
        journal._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100_000)  # noqa: SLF001
        assert journal.send([("MESSAGE", str(each)), *large])
        assert journald.take() == {"MESSAGE": str(each), **dict(large)}
        assert journald.sealed
    assert len(list(Path("/proc/self/fd").iterdir())) == handles


def test_a_huge_value_is_cut(journald: Journald, journal: Journal) -> None:
    assert journal.send([("TAIL", "x" * 10_000_000)])
    assert len(journald.take()["TAIL"]) == 64 * 1024


def test_odd_characters_are_sent_as_valid_text(journald: Journald, journal: Journal) -> None:
    assert journal.send([("PATH_", "caf\udce9"), ("MESSAGE", "grüße → 日本")])
    assert journald.take() == {"PATH_": "caf\\udce9", "MESSAGE": "grüße → 日本"}


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("run_id", "RUN_ID"),
        ("_PID", "PID"),
        ("__CURSOR", "CURSOR"),
        ("0day", "DAY"),
        ("a-b.c d", "A_B_C_D"),
        ("ä\nMESSAGE=x", "MESSAGE_X"),
        ("", ""),
        ("é", ""),
        ("x" * 100, "X" * 64),
    ],
)
def test_names_are_made_such_that_journald_takes_them(name: str, made: str) -> None:
    assert field_name(name) == made


anything = st.text(st.characters(exclude_categories=()), max_size=50)


@given(st.lists(st.tuples(anything, anything), max_size=5))
def test_no_name_and_no_value_can_forge_another_field(entries: list[tuple[str, str]]) -> None:
    wanted = [(field_name(n), v.encode("utf-8", "backslashreplace")) for n, v in entries]
    assert parse(pack(entries)) == [(name, value) for name, value in wanted if name]


def test_without_a_journal_it_says_so_and_goes_on_when_one_is_back(
    tmp_path: Path, journal: Journal
) -> None:
    assert not journal.send([("MESSAGE", "nobody there")])
    with contextlib.closing(Journald(tmp_path / "socket")) as first:
        assert journal.send([("MESSAGE", "first")])
        assert first.take() == {"MESSAGE": "first"}
    assert not journal.send([("MESSAGE", "gone again")])
    with contextlib.closing(Journald(tmp_path / "socket")) as second:
        assert journal.send([("MESSAGE", "second")])
        assert second.take() == {"MESSAGE": "second"}


def test_a_journal_that_does_not_answer_costs_lines_and_not_the_agent(
    journald: Journald, journal: Journal
) -> None:
    sent = 0
    while not journal.unsent:
        assert journal.send([("MESSAGE", f"line {sent}")])
        sent += 1
    for _ in range(500):
        assert journal.send([("MESSAGE", "lost")])
    assert journal.unsent == 501
    for each in range(sent - 1):
        assert journald.take() == {"MESSAGE": f"line {each}"}
    assert journal.send([("MESSAGE", "heard again")])
    assert journald.take()["MESSAGE"].startswith("501 lines could not be sent")
    assert journald.take() == {"MESSAGE": "heard again"}


def test_an_error_of_the_socket_is_no_crash(journal: Journal) -> None:
    journal.close()
    assert not journal.send([("MESSAGE", "closed")])
