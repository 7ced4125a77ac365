"""A history that cannot be written, is damaged or was killed harms nothing, and heals."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from appagent.model.notices import Notice
from appagent.report.history import History, deploys
from tests.unit.history_place import Place, report_deploy


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_kept_aside_and_a_new_one_begun(place: Place, content: bytes) -> None:
    place.file.write_bytes(content)
    with place.opened() as history:
        report_deploy(history.report, 1)
        assert [each["id"] for each in history.deploys()] == ["d1"]
    assert place.kinds() == ["history.damaged"]
    assert place.file.with_name("history.sqlite.damaged").read_bytes() == content


def test_damage_inside_the_file_is_found(place: Place) -> None:
    with place.opened() as history:
        for n in range(200):
            report_deploy(history.report, n)
    content = bytearray(place.file.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    place.file.write_bytes(content)
    with place.opened() as history:
        report_deploy(history.report, 1)
        assert [each["id"] for each in history.deploys()] == ["d1"]
    assert place.kinds() == ["history.damaged"]


def test_a_file_with_other_tables_is_kept_aside(place: Place) -> None:
    with contextlib.closing(sqlite3.connect(place.file)) as db:
        db.execute("CREATE TABLE deploys (a)")
        db.commit()
    with place.opened() as history:
        report_deploy(history.report, 1)
        assert [each["id"] for each in history.deploys()] == ["d1"]
    assert place.kinds() == ["history.damaged"]


def test_a_newer_agents_file_is_kept_aside(place: Place) -> None:
    with contextlib.closing(sqlite3.connect(place.file)) as db:
        db.execute("PRAGMA user_version = 7")
    with place.opened() as history:
        report_deploy(history.report, 1)
        assert [each["id"] for each in history.deploys()] == ["d1"]
    assert place.kinds() == ["history.newer"]
    assert place.file.with_name("history.sqlite.newer").exists()


def wait_for(is_so: Callable[[], bool]) -> None:
    """Wait until something is so; the test's own limit ends it otherwise."""
    moment = threading.Event()
    while not is_so():
        moment.wait(0.01)


def test_a_place_that_cannot_be_written_is_said_once_and_so_is_its_healing(place: Place) -> None:
    place.path = place.path / "state"
    place.path.write_text("a file where the directory should be")
    with place.opened(retry_after=0.01) as history:
        report_deploy(history.report, 1)
        assert history.flush(30)
        report_deploy(history.report, 2)
        assert history.flush(30)
        assert place.kinds() == ["history.failed"]
        assert list(history.deploys()) == []
        place.path.unlink()
        wait_for(lambda: "history.works" in place.kinds())
        assert [each["id"] for each in history.deploys()] == ["d2", "d1"]
    assert place.kinds() == ["history.failed", "history.works"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tiny tmpfs needs root")
def test_a_full_disk_costs_nothing_else(place: Place) -> None:
    tiny = place.path / "tiny"
    tiny.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k,mode=0700", "tmpfs", str(tiny)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        place.path = tiny
        ballast = tiny / "ballast"
        with place.opened(retry_after=0.01) as history:
            report_deploy(history.report, 1)
            assert [each["id"] for each in history.deploys()] == ["d1"]
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
            for n in range(2, 60):
                report_deploy(history.report, n)
            wait_for(lambda: place.kinds() == ["history.failed"])
            ballast.unlink()
            wait_for(lambda: place.kinds() == ["history.failed", "history.works"])
            assert len(list(history.deploys(limit=100))) == 59
    finally:
        subprocess.run(["umount", str(tiny)], check=True)


def test_a_listener_that_is_gone_does_not_end_the_history(place: Place) -> None:
    def report(_: Notice) -> None:
        raise RuntimeError("Event loop is closed")

    place.file.write_bytes(b"no database")
    history = History(str(place.path), report, clock=place.clock)
    report_deploy(history.report, 1)
    assert len(list(history.deploys())) == 1
    assert history.close(30)


def test_a_database_that_somebody_holds_keeps_nobody_waiting(place: Place) -> None:
    with place.opened() as history:
        assert history.flush(30)
        with contextlib.closing(sqlite3.connect(place.file, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            report_deploy(history.report, 1)
            assert not history.close(timeout=0.01)
            db.execute("ROLLBACK")
        assert history.close(timeout=30)
    assert [each["id"] for each in deploys(place.file, None, 10)] == ["d1"]


REPORTS_FOR_EVER = """
import sys, time
from appagent.model.notices import NoticeKind, notice
from appagent.model.words import Now
from appagent.report.history import History
history = History(sys.argv[1], lambda trouble: None)
n = int(sys.argv[2])
while True:
    n += 1
    at = Now(time.monotonic(), time.time())
    ids = {"deploy_id": f"d{n}", "run_id": f"x{n}"}
    history.report(notice(NoticeKind.DEPLOY_SEEN, at, "web", **ids))
    history.report(notice(NoticeKind.RUN_BEGAN, at, "web", **ids))
    history.report(notice(NoticeKind.RUN_ENDED, at, "web", outcome="ok", **ids))
    history.report(notice(NoticeKind.DEPLOY_DONE, at, "web", **ids))
    history.flush()
    print(n, flush=True)
"""


def test_killed_at_any_moment_it_has_what_was_written(place: Place) -> None:
    last = 0
    for lines in (1, 5, 20):
        with subprocess.Popen(
            [sys.executable, "-c", REPORTS_FOR_EVER, str(place.path), str(last)],
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            for _ in range(lines):
                last = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout:
                last = int(line)
        place.clock.wall = 0.0
        with place.opened() as history:
            found = {each["id"]: each for each in history.deploys(limit=1000)}
        assert place.reported == []
        assert all(found[f"d{n}"]["outcome"] == "done" for n in range(1, last + 1))
