"""What the locks of the apps say beyond the records: runs to adopt, apps that may run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appagent.daemon.recovery import recover
from appagent.model.applied import Identity, Record, Run
from appagent.model.words import Layout, Now, Target, Version
from appagent.run.launch import Paths
from appagent.run.lockfile import run_line

BOOT = "this-boot"


def taken(base: Path, run_id: str, started: int, record: Record | None) -> list[str]:
    """The runs that an agent takes over, where a lock tells of this one."""
    paths = Paths(str(base), str(base))
    run = Run(run_id, "web", "/r", Target.INSTALL, Version("r", ""), "", Layout.TREE, "/r/web",
              "new release", "", 1.0, 1.0, Now(0.0, 0.0))  # fmt: skip
    head = {"pid": 7, "started": started, "unit": "", "boot": BOOT, "run_id": run_id,
            "target": "install"}  # fmt: skip
    Path(paths.locks).mkdir(exist_ok=True)
    Path(paths.lock("web")).write_text(f"{json.dumps(head)}\n{run_line(run)}\n")
    records = {"web": record} if record is not None else {}
    return [one.id for one in recover(paths, BOOT, records).runs.values()]


def write_lock(paths: Paths, app: str, **head: object) -> None:
    """A lock whose run cannot be read."""
    whole = {"pid": 7, "started": 1, "unit": "", "boot": BOOT, "run_id": "a-1",
             "target": "install", "may_run": False, **head}  # fmt: skip
    Path(paths.locks).mkdir(exist_ok=True)
    Path(paths.lock(app)).write_text(f"{json.dumps(whole)}\n\n")


def known(run_id: str, started: int, boot: str = BOOT) -> Record:
    return Record("web", "/r", ended=run_id, ended_shim=Identity(5, started, "", boot))


def test_a_run_that_began_after_all_known_ones_is_taken_over(tmp_path: Path) -> None:
    assert taken(tmp_path, "b-2", 200, known("b-1", 100)) == ["b-2"]
    assert taken(tmp_path, "b-2", 200, None) == ["b-2"]


def test_also_where_the_clock_was_set_back_since(tmp_path: Path) -> None:
    assert taken(tmp_path, "a-2", 200, known("b-1", 100)) == ["a-2"]


def test_the_tenth_run_of_a_millisecond_comes_after_the_ninth(tmp_path: Path) -> None:
    assert taken(tmp_path, "a-10", 200, known("a-9", 100)) == ["a-10"]


def test_also_where_what_is_known_is_of_another_boot(tmp_path: Path) -> None:
    assert taken(tmp_path, "a-1", 200, known("b-1", 900, "another")) == ["a-1"]


def test_a_known_run_and_an_older_one_are_not(tmp_path: Path) -> None:
    assert taken(tmp_path, "b-1", 100, known("b-1", 100)) == []
    assert taken(tmp_path, "c-1", 50, known("b-1", 100)) == []


@pytest.mark.parametrize(
    ("head", "may_run"),
    [
        ({"may_run": True}, True),
        ({"may_run": True, "boot": "another"}, False),
        ({"may_run": False}, False),
        ({"target": "start"}, True),
        ({"target": "install or restart"}, True),
        ({"target": "stop"}, False),
    ],
)
def test_an_app_without_a_record_may_run_if_its_lock_says_so(
    tmp_path: Path, head: dict[str, object], *, may_run: bool
) -> None:
    paths = Paths(str(tmp_path), str(tmp_path))
    write_lock(paths, "web", **head)
    assert recover(paths, BOOT, {}).may_run == ({"web"} if may_run else set())
    assert recover(paths, BOOT, {"web": known("a-1", 1)}).may_run == set()


def test_a_record_that_cannot_be_read_says_nothing_of_what_may_run(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path), str(tmp_path))
    for name in ("locked", "kept"):
        write_lock(paths, name, may_run=True)
    records = {"kept": known("a-1", 1)}
    assert recover(paths, BOOT, records, {"locked", "damaged"}).may_run == {"locked"}
