"""The lock of an app: who holds it, what is in it, and which runs it has beyond the records."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appagent.core.reduce import first
from appagent.core.state import Node
from appagent.daemon.recovery import recover
from appagent.host import proc
from appagent.model.applied import Applied, Identity, Record, Run
from appagent.model.notices import Level
from appagent.model.settings import Settings
from appagent.model.words import Layout, Location, Target
from appagent.report import messages
from appagent.run import lockfile
from appagent.run.launch import Paths, spec_for
from appagent.run.lockfile import run_line
from appagent.run.processes import AppProcesses
from appagent.shim import lock
from tests.unit.a_run import VERSION, run_of

if TYPE_CHECKING:  # it is a type and nothing else: see spec.py
    from appagent.shim.spec import Spec

BOOT = "boot-1"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(str(tmp_path / "state"), str(tmp_path / "run"))
    Path(made.locks).mkdir(parents=True)
    return made


@pytest.fixture
def taken() -> Iterator[list[lock.Lock]]:
    """Give a place for locks; they are let go at the end."""
    made: list[lock.Lock] = []
    yield made
    for one in made:
        if one.fd >= 0:
            os.close(one.fd)
            one.fd = -1


def message(paths: Paths, run: Run, boot: str = BOOT) -> Spec:
    return {**spec_for(run, Node(Settings(), boot), paths, b""), "unit": "a.scope"}


def take(paths: Paths, run: Run, boot: str = BOOT) -> lock.Lock:
    made = lock.Lock(paths.lock(run.app))
    assert made.take()
    made.write(message(paths, run, boot))
    return made


def let_go(made: lock.Lock) -> None:
    os.close(made.fd)
    made.fd = -1


# --- the lock ------------------------------------------------------------------------------------


def test_one_has_it_and_is_named_to_the_other(paths: Paths, taken: list[lock.Lock]) -> None:
    taken.append(take(paths, run_of()))
    other = lock.Lock(paths.lock("web"))
    assert not other.take()
    who = f"make restart (pid {os.getpid()}, run {run_of().id})"
    assert lock.holder(paths.lock("web")).endswith(f"still alive: {who}")
    let_go(taken.pop())
    assert other.take()
    taken.append(other)


def test_apps_do_not_stand_in_each_others_way(paths: Paths, taken: list[lock.Lock]) -> None:
    taken += [take(paths, run_of()), take(paths, run_of(app="web.lock"))]
    assert {one.app for one in lockfile.all_in(paths.locks)} == {"web", "web.lock"}


def test_a_child_does_not_keep_it(paths: Paths, taken: list[lock.Lock]) -> None:
    made = take(paths, run_of())
    heard, say = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(say, b"x")
        signal.pause()
    try:
        os.read(heard, 1)
        let_go(made)
        taken.append(take(paths, run_of(8)))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(heard)
        os.close(say)


def test_a_lock_is_its_owners_alone(paths: Paths, taken: list[lock.Lock]) -> None:
    taken.append(take(paths, run_of()))
    assert Path(paths.lock("web")).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": []}', "\0"])
def test_a_holder_that_cannot_be_identified_is_reported_as_that(paths: Paths, text: str) -> None:
    Path(paths.lock("web")).write_text(text)
    assert "see what holds" in lock.holder(paths.lock("web"))


def test_it_is_not_removed_while_a_run_has_it(paths: Paths, taken: list[lock.Lock]) -> None:
    path = Path(paths.lock("web"))
    taken.append(take(paths, run_of()))
    lockfile.remove(str(path))
    assert path.exists()
    let_go(taken.pop())
    lockfile.remove(str(path))
    assert not path.exists()
    lockfile.remove(str(path))  # nor does it matter when it is not there


def test_a_link_in_its_place_is_not_followed(paths: Paths, tmp_path: Path) -> None:
    Path(paths.lock("web")).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        lock.Lock(paths.lock("web")).take()
    assert not (tmp_path / "elsewhere").exists()


# --- what is in it -------------------------------------------------------------------------------


def test_what_a_run_writes_is_read_again(paths: Paths, taken: list[lock.Lock]) -> None:
    made = take(paths, run_of())
    taken.append(made)
    found = lockfile.read(paths.lock("web"))
    assert found is not None
    me = proc.process(os.getpid())
    assert me is not None
    identity = found.identity
    assert (identity.pid, identity.started) == (os.getpid(), me.started)
    assert (identity.unit, identity.boot) == ("a.scope", BOOT)
    assert (found.run_id, found.result) == (run_of().id, None)
    made.end({"outcome": "failed", "line": 'two\nlines, "quoted" \x00 \udc80'})
    result = lockfile.result(paths.lock("web"), run_of().id)
    assert result is not None
    assert result["line"] == 'two\nlines, "quoted" \x00 ?'
    assert lockfile.result(paths.lock("web"), "another") is None


def test_the_processes_of_an_app_are_those_left_before_and_by_the_last_run(paths: Paths) -> None:
    mine = [os.getpid(), proc.started(os.getpid())]
    parent = [os.getppid(), proc.started(os.getppid())]
    made = lock.Lock(paths.lock("web"))
    assert made.take()
    made.write({**message(paths, run_of()), "may_run": True, "processes": [mine]})
    assert AppProcesses(paths, BOOT, scopes=False).remaining("web") == [mine]  # its shim was killed
    made.end({"outcome": "ok", "processes": [parent]})
    let_go(made)
    last = lockfile.read(paths.lock("web"))
    assert last is not None
    assert (last.may_run, last.processes) == (True, [mine])
    assert AppProcesses(paths, BOOT, scopes=False).remaining("web") == [mine, parent]
    assert AppProcesses(paths, "boot-2", scopes=False).remaining("web") == []


def test_the_next_run_takes_the_place_of_the_last(paths: Paths, taken: list[lock.Lock]) -> None:
    made = take(paths, run_of())
    made.end({"outcome": "ok", "line": "x" * 1000})
    let_go(made)
    taken.append(take(paths, run_of(8)))
    found = lockfile.read(paths.lock("web"))
    assert found is not None
    assert (found.run_id, found.result) == (run_of(8).id, None)


def test_half_a_result_is_none(paths: Paths) -> None:
    made = take(paths, run_of())
    made.end({"outcome": "ok"})
    let_go(made)
    path = Path(paths.lock("web"))
    path.write_bytes(path.read_bytes()[:-3])
    assert lockfile.result(str(path), run_of().id) is None


def test_what_lies_there_besides_is_passed_over(paths: Paths) -> None:
    for name in ("web", ".lock", "-x.lock", ".git.lock", "empty.lock"):
        (Path(paths.locks) / name).touch()
    (Path(paths.locks) / "directory.lock").mkdir()
    os.mkfifo(f"{paths.locks}/fifo.lock")
    assert list(lockfile.all_in(paths.locks)) == []
    assert list(lockfile.all_in(f"{paths.locks}/none")) == []


# --- against the records -------------------------------------------------------------------------


RECORD = Record("web", "/files", Applied("r1", VERSION, VERSION, BOOT))
LATE = Identity(1, 1 << 60, "", BOOT)  # started after the process of this test
OLDER, SAME, NEWER = run_of(6).id, run_of(7).id, run_of(8).id


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (None, True),
        (RECORD, True),
        (replace(RECORD, ended=OLDER), True),
        (replace(RECORD, run=run_of(6)), True),
        (replace(RECORD, ended=SAME), False),
        (replace(RECORD, ended=NEWER, ended_shim=LATE), False),
        (replace(RECORD, ended=OLDER, run=run_of(7)), False),
        (replace(RECORD, ended=OLDER, run=replace(run_of(8), identity=LATE)), False),
    ],
)
def test_a_run_that_is_newer_than_its_record_is_taken_over(
    paths: Paths, record: Record | None, *, found: bool
) -> None:
    let_go(take(paths, run_of()))
    records = {"web": record} if record is not None else {}
    over = recover(paths, BOOT, records)
    assert bool(over.runs) is found
    assert [notice.kind for notice in over.notices] == ["run.found"] * found
    if found:
        assert over.runs["web"].id == SAME
        assert messages.level(over.notices[0]) is Level.WARNING
        assert f"make restart (pid {os.getpid()})" in messages.text(over.notices[0])


def test_a_run_of_another_boot_is_over(paths: Paths) -> None:
    let_go(take(paths, run_of(), boot="boot-0"))
    assert recover(paths, BOOT, {}).runs == {}


@pytest.mark.parametrize("text", ["", "{}", '{"format": 99, "run": {}}', run_line(run_of(9))])
def test_a_run_that_cannot_be_read_is_left_to_its_lock(paths: Paths, text: str) -> None:
    made = lock.Lock(paths.lock("web"))
    assert made.take()
    made.write({**message(paths, run_of()), "run": text})
    let_go(made)
    over = recover(paths, BOOT, {})
    assert (over.runs, over.notices) == ({}, [])


def test_what_is_taken_over_is_as_if_it_had_been_recorded() -> None:
    settings = Settings(environment="", node="app1", roots=())
    old = run_of(6, Target.INSTALL)
    record = replace(RECORD, run=old, ended="5")
    node = first(settings, BOOT, {"web": record}, unrecorded={"web": run_of()})
    app = node.apps["web"]
    assert app.record.run == run_of()
    assert app.record.applied == Applied("r1", None, None, BOOT)
    node = first(settings, BOOT, {}, unrecorded={"web": run_of(7, Target.START)})
    app = node.apps["web"]
    assert app.record.root == "/files"
    assert app.record.ran == Location(VERSION.release, "/files/web/releases/2", Layout.SYMLINK)
    assert app.record.applied == Applied()
    node = first(settings, BOOT, {}, lost=["web"], unrecorded={"web": run_of()})
    assert node.apps["web"].record.applied.up == BOOT  # it ran before: never start it beside itself
    assert node.apps["web"].record.root == "/files"
