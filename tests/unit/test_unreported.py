"""What an agent that was killed did not tell the history of its runs, the next one does."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from appagent.daemon.unreported import MOST_KEPT, Unreported
from appagent.model.applied import Later, Run
from appagent.model.notices import Fields, Notice, NoticeKind
from appagent.model.words import Layout, Now, Target, Version
from appagent.report.history import History
from appagent.report.history_db import Row
from appagent.run.launch import Paths
from appagent.run.lockfile import run_line


class Node:
    """A state directory with results and a history."""

    def __init__(self, path: Path) -> None:
        self.paths = Paths(str(path), str(path))
        Path(self.paths.runs).mkdir()
        self.history = History(str(path), lambda _: None)
        self.unreported = Unreported(self.paths, self.history)

    def leave_result(self, run_id: str, **result: object) -> None:
        """A run that was begun for a build, came to its install, and left this result."""
        run = Run(run_id, "web", "/r", Target.BUILD, Version("r1", ""), "", Layout.TREE, "/r/web",
                  "new release", "deploy-1", 1.0, 1.0, Now(0.0, 0.0),
                  then=(Later(Target.INSTALL, 1.0),))  # fmt: skip
        whole = {"outcome": "ok", "seconds": 0.5, "step": "install", "calls": "install",
                 "run": run_line(run), **result}  # fmt: skip
        Path(self.paths.result(run_id)).write_text(json.dumps(whole))

    def results(self) -> list[str]:
        return sorted(path.stem for path in Path(self.paths.runs).iterdir())

    def runs(self) -> list[Row]:
        return [run for deploy in self.history.deploys() for run in deploy["runs"]]

    def sweep(self, *unwritten: str) -> None:
        asyncio.run(self.unreported.sweep(self.results(), unwritten))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    with contextlib.closing(made.history):
        yield made


def test_a_result_has_all_that_the_history_tells_of_a_run(node: Node) -> None:
    node.leave_result(
        "1", outcome="failed", exit_code=2, line="exit 2", tail="no such\x1b[31m file"
    )
    node.unreported.report(["1"])
    (run,) = node.runs()
    assert (run["id"], run["app"], run["deploy_id"], run["target"]) == (
        "1",
        "web",
        "deploy-1",
        "install",
    )
    assert (run["release"], run["reason"], run["outcome"]) == ("r1", "new release", "failed")
    assert (run["exit_code"], run["duration_ms"], run["tail"]) == (2, 500, "no such file")
    assert run["line"] == "exit 2"
    assert run["ended"] is not None


def test_a_run_of_which_only_the_begin_is_known_gets_its_end(node: Node) -> None:
    fields = Fields(run_id="1", target="build", release="r1")
    node.history.report(Notice(NoticeKind.RUN_BEGAN, Now(1.0, 7.0), "web", fields))
    node.leave_result("1")
    node.unreported.report(["1"])
    (run,) = node.runs()
    assert (run["began"], run["target"], run["outcome"]) == (7.0, "install", "ok")


def test_what_was_told_of_an_end_stays(node: Node) -> None:
    line = "a newer release"
    fields = Fields(run_id="1", target="install", outcome="cancelled", line=line)
    node.history.report(Notice(NoticeKind.RUN_ENDED, Now(1.0, 7.0), "web", fields))
    node.leave_result("1", outcome="failed")
    node.unreported.report(["1", "1"])
    (run,) = node.runs()
    assert (run["outcome"], run["ended"], run["line"]) == ("cancelled", 7.0, "a newer release")


@pytest.mark.parametrize(
    "result",
    [{"outcome": "cancelled", "calls": ""}, {"run": ""}, {"run": "\ud800"}, {"outcome": "fine"}],
)
def test_where_nothing_ran_or_nobody_knows_what_there_is_nothing_to_tell(
    node: Node, result: dict[str, object]
) -> None:
    node.leave_result("1", **result)
    node.unreported.report(["1", "2"])
    assert node.runs() == []


def test_results_go_once_the_history_is_on_the_disk(node: Node) -> None:
    node.leave_result("1")
    node.unreported.report(["1"])
    node.sweep()
    assert node.results() == []
    assert [run["id"] for run in node.runs()] == ["1"]


def test_they_stay_while_a_record_is_in_memory_alone(node: Node) -> None:
    node.leave_result("1")
    node.sweep("apps/web/record.json")
    assert node.results() == ["1"]


def test_they_stay_while_the_history_cannot_be_written_but_not_without_end(node: Node) -> None:
    names = [f"{number:05}" for number in range(MOST_KEPT + 2)]
    for name in names:
        (Path(node.paths.runs) / f"{name}.json").touch()
    stuck = create_autospec(History, instance=True, behind=True)
    stuck.flush.return_value = True
    node.unreported = Unreported(node.paths, stuck)
    node.sweep()
    assert node.results() == names[2:]
