"""The directory of the store: one agent at a time, nobody else's, whole after a crash."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from appagent.state.directory import StateError
from appagent.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Store]:
    store = Store(str(path))
    try:
        yield store
    finally:
        store.close()


SAVES_FOR_EVER = """
import sys
from dataclasses import replace
from appagent.model.applied import Record
from appagent.state.store import Store
store = Store(sys.argv[1])
store.load()
n = 0
while True:
    n += 1
    store.save(Record("web", "/files", ended=f"{n}" * (n % 300 + 1)))
    print(n, flush=True)
"""


def test_killed_at_any_moment_it_has_a_whole_record(state: Path) -> None:
    for lines in (1, 3, 10, 30, 31):
        with subprocess.Popen(
            [sys.executable, "-c", SAVES_FOR_EVER, str(state)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(lines):
                last = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout:
                last = int(line)
        with opened(state) as store:
            loaded = store.load()
            assert loaded.notices == ()
            kept = loaded.records["web"].ended
            assert kept in {f"{n}" * (n % 300 + 1) for n in (last, last + 1)}
            assert not list(state.rglob("*.new"))


# --- the directory -------------------------------------------------------------------------------


def test_two_agents_never_share_it(state: Path) -> None:
    with opened(state), pytest.raises(StateError, match=rf"another agent \(pid {os.getpid()}\)"):
        Store(str(state))
    with opened(state):
        pass


def test_a_removed_lock_file_is_made_again(state: Path) -> None:
    with opened(state) as store:
        store.load()
    (state / "lock").unlink()
    with opened(state), pytest.raises(StateError):
        Store(str(state))


def test_a_dead_agent_leaves_no_lock(state: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SAVES_FOR_EVER, str(state)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(StateError, match=f"pid {writer.pid}"):
            Store(str(state))
        writer.kill()
        writer.stdout.read()
    with opened(state):
        pass


def test_a_directory_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="not a directory"):
        Store(str(tmp_path / "file"))
    with pytest.raises(StateError, match="Not a directory"):
        Store(str(tmp_path / "file" / "state"))
    with pytest.raises(StateError, match="absolute"):
        Store("state")


def test_a_directory_that_others_may_write_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(StateError, match="written by others"):
        Store(str(tmp_path))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a directory to another user needs root")
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(StateError, match="belongs to uid 65534"):
        Store(str(tmp_path))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "a\0b"])
def test_a_name_that_leads_elsewhere_is_refused(state: Path, name: str) -> None:
    with opened(state) as store, pytest.raises(ValueError, match="not a valid app name"):
        store.app_dir(name)
