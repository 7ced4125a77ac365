"""The history tells deploys and runs as they were, over crashes; failing, it harms nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from appagent.model.codec import to_json
from appagent.model.notices import Fields, Notice, NoticeKind
from appagent.model.words import Now, Outcome
from appagent.report.history import History, deploys
from appagent.report.history_db import PastDeploy

T0 = 1_700_000_000.0
DAY = 86_400.0


def notice(kind: str, at: float, app: str = "web", /, **fields: Any) -> Notice:  # noqa: ANN401
    return Notice(NoticeKind(kind), Now(at, T0 + at), app, cast("Fields", fields))


class Clock:
    def __init__(self) -> None:
        self.wall = T0 + 100.0

    def __call__(self) -> Now:
        return Now(self.wall - T0, self.wall)


class Place:
    """A state directory with a history that reports its trouble into a list."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "history.sqlite"
        self.clock = Clock()
        self.told: list[Notice] = []

    @contextlib.contextmanager
    def opened(self, *, most_rows: int = 10_000, again: float = 5.0) -> Iterator[History]:
        history = History(
            str(self.path), self.told.append, clock=self.clock, most_rows=most_rows, again=again
        )
        try:
            yield history
        finally:
            history.close(timeout=30)

    def kinds(self) -> list[str]:
        return [each.kind for each in self.told]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def report_deploy(
    report: Callable[[Notice], None], n: int, app: str = "web", at: float = 0.0
) -> None:
    """Report all of a deploy with two runs."""
    deploy = {"deploy_id": f"d{n}", "release": f"r{n}", "previous": f"r{n - 1}"}
    report(notice("deploy.seen", at, app, how="inotify", reason="new release", **deploy))
    report(notice("deploy.settled", at + 2, app, conf="env.1:a", **deploy))
    report(notice("deploy.began", at + 2.5, app, **deploy))
    for step, target in enumerate(("install", "restart")):
        run: dict[str, Any] = {"run_id": f"d{n}-{step}", "deploy_id": f"d{n}", "target": target}
        report(notice("run.began", at + 3 + step, app, release=f"r{n}", reason="new", **run))
        end: dict[str, Any] = {"outcome": Outcome.OK, "exit_code": 0, "duration_ms": 700 + step}
        report(notice("run.ended", at + 3.7 + step, app, **run, **end))
    report(notice("deploy.done", at + 5, app, **deploy))


def test_a_deploy_is_told_with_its_runs_and_how_long_each_part_took(place: Place) -> None:
    with place.opened() as history:
        report_deploy(history.report, 1)
        (deploy,) = history.deploys()
    assert (deploy.id, deploy.app, deploy.release, deploy.previous) == ("d1", "web", "r1", "r0")
    assert (deploy.conf, deploy.how, deploy.reason) == ("env.1:a", "inotify", "new release")
    assert (deploy.outcome, deploy.line[:12]) == ("done", "deployed r1 ")
    assert (deploy.seen, deploy.ended) == (T0, T0 + 5)
    parts = (deploy.settled_ms, deploy.queue_ms, deploy.run_ms, deploy.duration_ms)
    assert parts == (2000, 500, 2500, 5000)
    first, second = deploy.runs
    assert (first.target, first.outcome, first.exit_code) == ("install", "ok", 0)
    assert (second.target, second.duration_ms) == ("restart", 701)
    assert to_json(deploy)
    assert place.told == []


def test_parts_that_are_told_win_over_the_clock_on_the_wall(place: Place) -> None:
    with place.opened() as history:
        history.report(notice("deploy.seen", 0, deploy_id="d1"))
        history.report(notice("deploy.done", -3600, deploy_id="d1", duration_ms=1500, run_ms=800))
        (deploy,) = history.deploys()
    assert (deploy.duration_ms, deploy.run_ms) == (1500, 800)


def test_newest_come_first_for_one_app_or_all_and_limited(place: Place) -> None:
    with place.opened() as history:
        for n in range(1, 6):
            report_deploy(history.report, n, app="api" if n % 2 else "web", at=-10.0 * n)
        assert [each.id for each in history.deploys()] == ["d5", "d4", "d3", "d2", "d1"]
        assert [each.id for each in history.deploys("web")] == ["d4", "d2"]
        assert [each.id for each in history.deploys(limit=2)] == ["d5", "d4"]
        assert list(history.deploys("nobody")) == []
        assert list(history.deploys(limit=0)) == []


def test_deploys_are_in_the_order_in_which_they_began_not_in_which_they_were_seen(
    place: Place,
) -> None:
    with place.opened() as history:
        history.report(notice("deploy.seen", 0, deploy_id="tree"))  # … and settles
        report_deploy(history.report, 1, at=1.0)
        history.report(notice("deploy.began", 9, deploy_id="tree"))
        history.report(notice("run.began", 9, run_id="r", deploy_id="tree", target="install"))
        history.report(notice("deploy.seen", 10, deploy_id="seen"))
        assert [each.id for each in history.deploys()] == ["seen", "tree", "d1"]


def test_a_failed_deploy_keeps_the_end_of_its_output(place: Place) -> None:
    output = "".join(f"\x1b[31mline {n}\x1b[0m\n" for n in range(5000)) + "boom\udcff"
    with place.opened() as history:
        history.report(notice("deploy.seen", 0, deploy_id="d1"))
        end: dict[str, Any] = {"outcome": "failed", "exit_code": 2, "target": "install"}
        end["tail"] = output
        history.report(notice("run.ended", 2, run_id="x", deploy_id="d1", **end))
        history.report(notice("deploy.failed", 2, deploy_id="d1", **end))
        (deploy,) = history.deploys()
    assert (deploy.outcome, deploy.target, deploy.exit_code) == ("failed", "install", 2)
    for each in (deploy.tail, deploy.runs[0].tail):
        assert each.endswith("line 4999\nboom\\xff")
        assert len(each) <= 4000
        assert "\x1b" not in each


def test_a_run_of_no_deploy_is_told_alone(place: Place) -> None:
    with place.opened() as history:
        report_deploy(history.report, 1)
        history.report(notice("run.began", 9, run_id="x", target="stop", reason="asked by root"))
        history.report(notice("run.ended", 9, run_id="x", outcome="ok", duration_ms=5))
        stop, deploy = history.deploys()
    assert (stop.id, stop.outcome, stop.reason) == ("", "ok", "asked by root")
    assert [run.id for run in stop.runs] == ["x"]
    assert deploy.id == "d1"


def test_what_has_no_end_is_running_while_it_is_alive_and_interrupted_after(place: Place) -> None:
    with place.opened() as history:
        history.report(notice("deploy.seen", 0, deploy_id="d1"))
        history.report(notice("run.began", 1, run_id="x", deploy_id="d1", target="install"))
        (deploy,) = history.deploys(alive={"x"})
        assert (deploy.outcome, deploy.runs[0].outcome) == ("running", "running")
        (deploy,) = history.deploys(alive={"d1"})
        assert (deploy.outcome, deploy.runs[0].outcome) == ("running", "interrupted")
        (deploy,) = history.deploys()
        assert (deploy.outcome, deploy.runs[0].outcome) == ("interrupted", "interrupted")


def test_an_adopted_run_ends_in_the_deploy_in_which_it_began(place: Place) -> None:
    with place.opened() as history:
        history.report(notice("deploy.seen", 0, deploy_id="d1", release="r1"))
        history.report(notice("run.began", 1, run_id="x", deploy_id="d1", target="install"))
    with place.opened() as history:
        history.report(notice("deploy.seen", 5, deploy_id="d2", release="r1"))
        end: dict[str, Any] = {"outcome": "ok", "duration_ms": 6000, "adopted": "yes"}
        history.report(notice("run.ended", 7, run_id="x", deploy_id="d2", **end))
        history.report(notice("deploy.done", 8, deploy_id="d2"))
        second, first = history.deploys()
    assert (second.id, second.outcome, second.runs) == ("d2", "done", ())
    assert (first.id, first.outcome) == ("d1", "interrupted")
    assert (first.runs[0].outcome, first.runs[0].adopted) == ("ok", True)


def test_a_deploy_that_came_to_nothing_is_no_history(place: Place) -> None:
    with place.opened() as history:
        history.report(notice("deploy.seen", 0, deploy_id="d1"))
        history.report(notice("deploy.void", 1, deploy_id="d1"))
        assert list(history.deploys()) == []


def test_a_superseded_deploy_is_kept_as_such(place: Place) -> None:
    with place.opened() as history:
        history.report(notice("deploy.began", 0, deploy_id="d1", release="r1"))
        history.report(notice("deploy.superseded", 1, deploy_id="d1", release="r1", newer="r2"))
        (deploy,) = history.deploys()
    assert (deploy.outcome, deploy.line) == ("superseded", "r1 is superseded by r2")


def test_the_same_notice_twice_and_notices_that_are_not_for_it_do_no_harm(place: Place) -> None:
    with place.opened() as history:
        for _ in range(2):
            report_deploy(history.report, 1)
        history.report(notice("app.unknown", 9, deploy_id="d9"))
        history.report(notice("deploy.done", 9))
        history.report(notice("run.ended", 9, "", run_id="x"))
        (deploy,) = history.deploys()
    assert len(deploy.runs) == 2


def test_it_survives_a_restart_and_can_be_read_without_an_agent(place: Place) -> None:
    assert list(deploys(place.file, None, 10)) == []
    with place.opened() as history:
        report_deploy(history.report, 1)
    with place.opened() as history:
        report_deploy(history.report, 2)
        assert [each.id for each in deploys(place.file, "web", 1)]
    assert [each.id for each in deploys(place.file, None, 10)] == ["d2", "d1"]


def test_nobody_else_can_read_it(place: Place) -> None:
    with place.opened() as history:
        report_deploy(history.report, 1)
        assert history.flush(30)
        for path in place.path.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_what_is_older_than_90_days_is_forgotten(place: Place) -> None:
    with place.opened() as history:
        report_deploy(history.report, 1, at=0.0)
        report_deploy(history.report, 2, at=20 * DAY)
    place.clock.wall = T0 + 100 * DAY
    with place.opened() as history:
        (deploy,) = history.deploys()
        assert deploy.id == "d2"
        assert len(deploy.runs) == 2


def test_only_so_many_are_kept(place: Place) -> None:
    with place.opened(most_rows=10) as history:
        for n in range(300):
            report_deploy(history.report, n, at=n)
    with place.opened(most_rows=10) as history:
        kept = list(history.deploys(limit=1000))
    assert [each.id for each in kept] == [f"d{n}" for n in reversed(range(290, 300))]


# --- when it fails -------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_kept_aside_and_a_new_one_begun(place: Place, content: bytes) -> None:
    place.file.write_bytes(content)
    with place.opened() as history:
        report_deploy(history.report, 1)
        assert [each.id for each in history.deploys()] == ["d1"]
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
        assert [each.id for each in history.deploys()] == ["d1"]
    assert place.kinds() == ["history.damaged"]


def test_a_file_with_other_tables_is_kept_aside(place: Place) -> None:
    with contextlib.closing(sqlite3.connect(place.file)) as db:
        db.execute("CREATE TABLE deploys (a)")
        db.commit()
    with place.opened() as history:
        report_deploy(history.report, 1)
        assert [each.id for each in history.deploys()] == ["d1"]
    assert place.kinds() == ["history.damaged"]


def test_a_newer_agents_file_is_kept_aside(place: Place) -> None:
    with contextlib.closing(sqlite3.connect(place.file)) as db:
        db.execute("PRAGMA user_version = 7")
    with place.opened() as history:
        report_deploy(history.report, 1)
        assert [each.id for each in history.deploys()] == ["d1"]
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
    with place.opened(again=0.01) as history:
        report_deploy(history.report, 1)
        assert history.flush(30)
        report_deploy(history.report, 2)
        assert history.flush(30)
        assert place.kinds() == ["history.failed"]
        assert list(history.deploys()) == []
        place.path.unlink()
        wait_for(lambda: "history.works" in place.kinds())
        assert [each.id for each in history.deploys()] == ["d2", "d1"]
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
        with place.opened(again=0.01) as history:
            report_deploy(history.report, 1)
            assert [each.id for each in history.deploys()] == ["d1"]
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
    assert [each.id for each in deploys(place.file, None, 10)] == ["d1"]


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
            told = {each.id: each for each in history.deploys(limit=1000)}
        assert place.told == []
        assert all(told[f"d{n}"].outcome == "done" for n in range(1, last + 1))


def test_many_notices_at_once_are_taken_in_without_waiting(place: Place) -> None:
    with place.opened() as history:
        for n in range(600):
            history.report(notice("deploy.seen", n, deploy_id=f"d{n}"))
        assert len(list(history.deploys(limit=1000))) == 600


def test_what_is_told_can_be_made_json(place: Place) -> None:
    with place.opened() as history:
        report_deploy(history.report, 1)
        data = json.loads(to_json(next(history.deploys())))
    assert isinstance(data, dict)
    assert set(data) == set(PastDeploy.__dataclass_fields__)


def report_failures(history: History, numbers: range, runs: int = 7) -> None:
    """Report deploys that failed again and again, with 3.8 KB of output each time."""
    for n in numbers:
        common = {"deploy_id": f"d{n}", "tail": "é\n" * 1_900, "outcome": "failed"}
        history.report(notice("deploy.seen", n, **common))
        for run in range(runs):
            history.report(notice("run.ended", n, run_id=f"r{n}-{run}", **common))
        history.report(notice("deploy.failed", n, **common))
        assert history.flush(60)


def cost(history: History) -> tuple[int, int]:
    """Tell all of it, as an answer of the daemon does: bytes of the answer, peak of memory."""
    tracemalloc.start()
    try:
        size = sum(len(to_json(deploy)) for deploy in history.deploys(limit=1000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return size, peak


def test_however_long_a_history_of_failures_grows_it_is_told_in_little_memory(
    place: Place,
) -> None:
    with place.opened() as history:
        report_failures(history, range(10))
        _, peak = cost(history)
        report_failures(history, range(10, 60))
        size, _ = cost(history)
        report_failures(history, range(60, 240))
        more_size, more_peak = cost(history)
        assert more_size < 2 * size
        assert more_peak < 2 * peak


def test_of_what_failed_long_ago_no_output_is_told(place: Place) -> None:
    with place.opened() as history:
        report_failures(history, range(60), runs=12)
        newest, *_, oldest = history.deploys(limit=60)
    assert newest.tail.endswith("é")  # of what is new all is there
    assert [bool(run.tail) for run in newest.runs] == [False] * 7 + [True] * 5
    assert len(newest.runs) == 12
    assert not oldest.tail
    assert len(oldest.runs) == 10
    assert oldest.outcome == "failed"
