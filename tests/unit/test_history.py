"""The history tells deploys and runs as they were, over crashes."""

from __future__ import annotations

import stat
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from appagent.model.codec import to_json
from appagent.report.history import History, deploys
from tests.unit.history_place import DAY, T0, Place, notice, report_deploy


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_deploy_is_told_with_its_runs_and_how_long_each_part_took(place: Place) -> None:
    with place.opened() as history:
        report_deploy(history.report, 1)
        (deploy,) = history.deploys()
    assert (deploy["id"], deploy["app"], deploy["release"], deploy["previous"]) == (
        "d1",
        "web",
        "r1",
        "r0",
    )
    assert (deploy["conf"], deploy["how"], deploy["reason"]) == (
        "env.1:a",
        "inotify",
        "new release",
    )
    assert (deploy["outcome"], deploy["line"][:12]) == ("done", "deployed r1 ")
    assert (deploy["seen"], deploy["ended"]) == (T0, T0 + 5)
    parts = (deploy["settled_ms"], deploy["queue_ms"], deploy["run_ms"], deploy["duration_ms"])
    assert parts == (2000, 500, 2500, 5000)
    first, second = deploy["runs"]
    assert (first["target"], first["outcome"], first["exit_code"]) == ("install", "ok", 0)
    assert (second["target"], second["duration_ms"]) == ("restart", 701)
    assert to_json(deploy)
    assert place.reported == []


def test_parts_that_are_told_win_over_the_clock_on_the_wall(place: Place) -> None:
    with place.opened() as history:
        history.report(notice("deploy.seen", 0, deploy_id="d1"))
        history.report(notice("deploy.done", -3600, deploy_id="d1", duration_ms=1500, run_ms=800))
        (deploy,) = history.deploys()
    assert (deploy["duration_ms"], deploy["run_ms"]) == (1500, 800)


def test_newest_come_first_for_one_app_or_all_and_limited(place: Place) -> None:
    with place.opened() as history:
        for n in range(1, 6):
            report_deploy(history.report, n, app="api" if n % 2 else "web", at=-10.0 * n)
        assert [each["id"] for each in history.deploys()] == ["d5", "d4", "d3", "d2", "d1"]
        assert [each["id"] for each in history.deploys("web")] == ["d4", "d2"]
        assert [each["id"] for each in history.deploys(limit=2)] == ["d5", "d4"]
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
        assert [each["id"] for each in history.deploys()] == ["seen", "tree", "d1"]


def test_a_failed_deploy_keeps_the_end_of_its_output(place: Place) -> None:
    output = "".join(f"\x1b[31mline {n}\x1b[0m\n" for n in range(5000)) + "boom\udcff"
    with place.opened() as history:
        history.report(notice("deploy.seen", 0, deploy_id="d1"))
        end: dict[str, Any] = {"outcome": "failed", "exit_code": 2, "target": "install"}
        end["tail"] = output
        history.report(notice("run.ended", 2, run_id="x", deploy_id="d1", **end))
        history.report(notice("deploy.failed", 2, deploy_id="d1", **end))
        (deploy,) = history.deploys()
    assert (deploy["outcome"], deploy["target"], deploy["exit_code"]) == ("failed", "install", 2)
    for each in (deploy["tail"], deploy["runs"][0]["tail"]):
        assert each.endswith("line 4999\nboom\\xff")
        assert len(each) <= 4000
        assert "\x1b" not in each


def test_a_run_of_no_deploy_is_told_alone(place: Place) -> None:
    with place.opened() as history:
        report_deploy(history.report, 1)
        history.report(notice("run.began", 9, run_id="x", target="stop", reason="asked by root"))
        history.report(notice("run.ended", 9, run_id="x", outcome="ok", duration_ms=5))
        stop, deploy = history.deploys()
    assert (stop["id"], stop["outcome"], stop["reason"]) == ("", "ok", "asked by root")
    assert [run["id"] for run in stop["runs"]] == ["x"]
    assert deploy["id"] == "d1"


def test_what_has_no_end_is_running_while_it_is_alive_and_interrupted_after(place: Place) -> None:
    with place.opened() as history:
        history.report(notice("deploy.seen", 0, deploy_id="d1"))
        history.report(notice("run.began", 1, run_id="x", deploy_id="d1", target="install"))
        (deploy,) = history.deploys(alive={"x"})
        assert (deploy["outcome"], deploy["runs"][0]["outcome"]) == ("running", "running")
        (deploy,) = history.deploys(alive={"d1"})
        assert (deploy["outcome"], deploy["runs"][0]["outcome"]) == ("running", "interrupted")
        (deploy,) = history.deploys()
        assert (deploy["outcome"], deploy["runs"][0]["outcome"]) == ("interrupted", "interrupted")


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
    assert (second["id"], second["outcome"], second["runs"]) == ("d2", "done", [])
    assert (first["id"], first["outcome"]) == ("d1", "interrupted")
    assert (first["runs"][0]["outcome"], first["runs"][0]["adopted"]) == ("ok", True)


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
    assert (deploy["outcome"], deploy["line"]) == ("superseded", "r1 is superseded by r2")


def test_the_same_notice_twice_and_notices_that_are_not_for_it_do_no_harm(place: Place) -> None:
    with place.opened() as history:
        for _ in range(2):
            report_deploy(history.report, 1)
        history.report(notice("app.unknown", 9, deploy_id="d9"))
        history.report(notice("deploy.done", 9))
        history.report(notice("run.ended", 9, "", run_id="x"))
        (deploy,) = history.deploys()
    assert len(deploy["runs"]) == 2


def test_it_survives_a_restart_and_can_be_read_without_an_agent(place: Place) -> None:
    assert list(deploys(place.file, None, 10)) == []
    with place.opened() as history:
        report_deploy(history.report, 1)
    with place.opened() as history:
        report_deploy(history.report, 2)
        assert [each["id"] for each in deploys(place.file, "web", 1)]
    assert [each["id"] for each in deploys(place.file, None, 10)] == ["d2", "d1"]


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
        assert deploy["id"] == "d2"
        assert len(deploy["runs"]) == 2


def test_only_so_many_are_kept(place: Place) -> None:
    with place.opened(most_rows=10) as history:
        for n in range(300):
            report_deploy(history.report, n, at=n)
    with place.opened(most_rows=10) as history:
        kept = list(history.deploys(limit=1000))
    assert [each["id"] for each in kept] == [f"d{n}" for n in reversed(range(290, 300))]


def test_many_notices_at_once_are_taken_in_without_waiting(place: Place) -> None:
    with place.opened() as history:
        for n in range(600):
            history.report(notice("deploy.seen", n, deploy_id=f"d{n}"))
        assert len(list(history.deploys(limit=1000))) == 600


def test_a_deploy_and_a_run_of_no_deploy_have_the_same_keys(place: Place) -> None:
    with place.opened() as history:
        report_deploy(history.report, 1)
        history.report(notice("run.began", 9, run_id="x", target="stop"))
        run, deploy = history.deploys()
    assert set(run) == set(deploy)


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
    assert newest["tail"].endswith("é")  # of what is new all is there
    assert [bool(run["tail"]) for run in newest["runs"]] == [False] * 7 + [True] * 5
    assert len(newest["runs"]) == 12
    assert not oldest["tail"]
    assert len(oldest["runs"]) == 10
    assert oldest["outcome"] == "failed"
