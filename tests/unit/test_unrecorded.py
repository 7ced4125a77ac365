"""Which runs are taken over from the locks of their apps."""

from __future__ import annotations

import json
from pathlib import Path

from appagent.daemon.recovery import Unrecorded, written
from appagent.model.applied import Identity, Record, Run
from appagent.model.words import Layout, Now, Target, Version
from appagent.run.launch import Places

BOOT = "this-boot"


def taken(base: Path, run_id: str, started: int, record: Record | None) -> list[str]:
    """The runs that an agent takes over, where a lock tells of this one."""
    places = Places(str(base), str(base))
    run = Run(run_id, "web", "/r", Target.INSTALL, Version("r", ""), "", Layout.TREE, "/r/web",
              "new release", "", 1.0, 1.0, Now(0.0, 0.0))  # fmt: skip
    head = {"pid": 7, "started": started, "unit": "", "boot": BOOT, "run_id": run_id,
            "target": "install"}  # fmt: skip
    Path(places.locks).mkdir(exist_ok=True)
    Path(places.lock("web")).write_text(f"{json.dumps(head)}\n{written(run)}\n")
    records = {"web": record} if record is not None else {}
    return [one.id for one in Unrecorded(places, BOOT, records).runs.values()]


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
