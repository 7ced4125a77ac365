"""Processes that are found again by ids, and ended; real ones."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appagent.host import proc
from appagent.run.launch import Paths
from appagent.run.processes import AppProcesses
from appagent.shim import kill, spec
from appagent.shim.process_group import ProcessGroup

BOOT = "this-boot"
SPEC: spec.Spec = {"grace": 0.0, "processes": [], "unit": ""}  # type: ignore[typeddict-item]


@contextlib.contextmanager
def family(members: int) -> Iterator[set[int]]:
    """A session with so many processes beside its leader."""
    script = f"for i in $(seq {members}); do sleep 600 & done; echo; wait"
    argv = ["sh", "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as leader:
        assert leader.stdout is not None
        leader.stdout.readline()
        try:
            yield {leader.pid, *kill.below(leader.pid)}
        finally:
            os.killpg(leader.pid, 9)


@pytest.fixture
def families() -> Iterator[list[set[int]]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(family(4)) for _ in range(3)]


def sessions(ids: list[list[int]]) -> set[int]:
    return {os.getsid(pid) for pid, _ in ids}


def test_a_mark_of_each_session_is_enough_to_find_all_of_them(families: list[set[int]]) -> None:
    everybody = set[int]().union(*families)
    chosen = kill.sample(kill.identify(everybody), 3)
    assert len(chosen) == 3
    assert kill.family(chosen) == everybody


def test_what_a_run_leaves_is_reported_within_bounds(families: list[set[int]]) -> None:
    ids = ProcessGroup(SPEC).remaining(4)
    assert len(ids) == 4
    assert sessions(ids) >= {os.getsid(min(one)) for one in families}


def test_what_thousands_of_processes_are_left_of_can_still_be_run(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path), str(tmp_path))
    mine = proc.process(os.getpid())
    assert mine is not None
    ids = [[mine.pid, mine.started]] * 4_000
    app_processes = AppProcesses(paths, BOOT, scopes=False)
    app_processes.add("web", ids)
    message: spec.Spec = {**SPEC, "processes": app_processes.to_send("web")}
    assert message["processes"]
    spec.pack(message)


def test_who_has_got_the_number_of_a_process_that_was_found_is_not_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the look and the KILL the one that was found ends and its number is given away."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as other:
        found = [{other.pid}, {other.pid}, {other.pid}]  # … and it is not found after that
        earlier = [True]

        def looked(pid: int) -> proc.Process | None:
            one = look(pid)
            if one is not None and earlier:
                earlier.pop()
                one.started -= 1
            return one

        look = proc.process
        # TERM is for whoever has the number then, too; only KILL comes later than the look.
        monkeypatch.setattr(proc, "process", looked)
        monkeypatch.setattr(kill, "send", lambda pids, number: sent.append((number, {*pids})))
        sent: list[tuple[int, set[int]]] = []
        kill.end(lambda: found.pop() if found else set(), 0.0, lambda _: None)
        other.kill()
    assert (9, set()) in sent
    assert (9, {other.pid}) not in sent
