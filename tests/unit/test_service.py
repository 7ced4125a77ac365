"""The service manager hears what it should; here a real socket stands for it."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appagent.report.sd_notify import Service


class Manager:
    """A datagram socket that takes what is sent to it."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)

    def take(self) -> bytes:
        """Wait for one message."""
        return self._socket.recv(1 << 16)

    def is_empty(self) -> bool:
        """Whether nothing else was sent."""
        with contextlib.suppress(BlockingIOError):
            return not self._socket.recv(1 << 16, socket.MSG_DONTWAIT)
        return True

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with contextlib.closing(Manager(address)) as it:
        yield it


@pytest.fixture
def service(manager: Manager) -> Iterator[Service]:
    assert manager.is_empty()
    with contextlib.closing(Service()) as it:
        yield it


def test_ready_goes_alone(manager: Manager, service: Service) -> None:
    service.status("3 apps: all good")
    service.ready()
    assert manager.take() == b"STATUS=3 apps: all good"
    assert manager.take() == b"READY=1"


def test_reloading_comes_with_its_time_in_one_message(manager: Manager, service: Service) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    service.reloading()
    first, second = manager.take().split(b"\n")
    assert first == b"RELOADING=1"
    name, _, usec = second.partition(b"=")
    assert name == b"MONOTONIC_USEC"
    assert before <= int(usec) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    service.ready()
    assert manager.take() == b"READY=1"


def test_the_other_messages(manager: Manager, service: Service) -> None:
    service.alive()
    service.stopping()
    service.extend(2.5)
    assert [manager.take() for _ in range(3)] == [
        b"WATCHDOG=1",
        b"STOPPING=1",
        b"EXTEND_TIMEOUT_USEC=2500000",
    ]


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("grüße → 日本 \U0001f600", "STATUS=grüße → 日本 \U0001f600".encode()),
        ("two\nREADY=1", b"STATUS=two READY=1"),
        ("\x1b[31mred\x1b[0m\x00", b"STATUS=red"),
        ("caf\udce9", b"STATUS=caf\\xe9"),
    ],
)
def test_a_status_of_any_characters_arrives_as_utf8(
    manager: Manager, service: Service, text: str, sent: bytes
) -> None:
    service.status(text)
    assert manager.take() == sent


def test_a_long_status_is_cut_to_what_systemd_takes(manager: Manager, service: Service) -> None:
    service.status("日" * 10_000)
    assert len(manager.take()) < 4096


def test_the_same_status_is_sent_once(manager: Manager, service: Service) -> None:
    for text in ("a", "a", "b", "a"):
        service.status(text)
    assert [manager.take() for _ in range(3)] == [b"STATUS=a", b"STATUS=b", b"STATUS=a"]
    assert manager.is_empty()


def test_an_abstract_address_works(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"appagent-test-{os.getpid()}"
    with contextlib.closing(Manager("\0" + name)) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        service = Service()
        service.ready()
        assert manager.take() == b"READY=1"
        service.close()


def test_no_child_can_speak_for_us(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    with contextlib.closing(Service()) as service:
        assert service.managed
        assert service.watchdog_interval == 5.0
        assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & set(os.environ)
        service.alive()
        assert manager.take() == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("usec", "pid", "interval"),
    [
        ("2000000", "", 1.0),
        ("2000000", "1", None),
        ("0", "", None),
        ("-5", "", None),
        ("soon", "", None),
        ("", "", None),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time_and_only_if_it_watches_us(
    manager: Manager,
    monkeypatch: pytest.MonkeyPatch,
    usec: str,
    pid: str,
    interval: float | None,
) -> None:
    assert manager.is_empty()
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid)
    with contextlib.closing(Service()) as service:
        assert service.watchdog_interval == interval


@pytest.mark.parametrize("address", [None, "", "/nowhere/at/all", "relative"])
def test_without_a_manager_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, address: str | None
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    with contextlib.closing(Service()) as service:
        assert not service.managed
        assert service.watchdog_interval is None
        service.ready()
        service.status("fine")
        service.reloading()
        service.alive()
        service.extend(1)
        service.stopping()
    service.ready()


def test_a_manager_that_went_away_is_no_crash(tmp_path: Path, manager: Manager) -> None:
    with contextlib.closing(Service()) as service:
        manager.close()
        (tmp_path / "notify").unlink()
        service.ready()
        service.status("still here")
