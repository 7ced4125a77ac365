"""The store keeps what it was given over crashes and damaged files."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from appagent.model.applied import Hold
from appagent.model.notices import Level
from appagent.report import messages
from appagent.state.store import SECRET_BYTES

if TYPE_CHECKING:
    from pathlib import Path
from tests.stores import API, WEB, failing, kinds, opened


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def fill(state: Path) -> bytes:
    """Keep WEB and API there; return the secret."""
    with opened(state) as store:
        secret = store.load().secret
        assert store.save(WEB) == []
        assert store.save(API) == []
    return secret


def test_an_empty_directory_is_a_fresh_start_without_a_word(state: Path) -> None:
    with opened(state) as store:
        loaded = store.load()
    assert loaded.records == {}
    assert loaded.lost == loaded.mounted == frozenset()
    assert loaded.hold is None
    assert len(loaded.secret) == SECRET_BYTES
    assert loaded.notices == ()


def test_what_was_saved_is_there_after_a_restart(state: Path) -> None:
    secret = fill(state)
    with opened(state) as store:
        store.load()
        store.save_roots(frozenset({"/files"}))
        store.save_node_hold(Hold("night", 5.0, "root"))
    with opened(state) as store:
        loaded = store.load()
    assert loaded.records == {"web": WEB, "api": API}
    assert loaded.mounted == {"/files"}
    assert loaded.hold == Hold("night", 5.0, "root")
    assert loaded.secret == secret
    assert loaded.notices == ()


def test_one_half_of_the_node_state_does_not_forget_the_other(state: Path) -> None:
    with opened(state) as store:
        store.load()
        store.save_node_hold(Hold("night"))
    with opened(state) as store:
        store.load()
        store.save_roots(frozenset({"/a", "/b"}))
        store.save_node_hold(None)
    with opened(state) as store:
        loaded = store.load()
    assert loaded.mounted == {"/a", "/b"}
    assert loaded.hold is None


def test_a_dropped_app_is_gone_with_all_that_was_kept(state: Path) -> None:
    fill(state)
    with opened(state) as store:
        store.load()
        (store.app_dir("web") / "Makefile.kept").write_text("install:\n")
        assert store.drop("web") == []
        assert store.drop("never-heard-of") == []
        assert not store.app_dir("web").exists()
    with opened(state) as store:
        loaded = store.load()
    assert loaded.records == {"api": API}
    assert loaded.lost == frozenset()


# Drops `web`. At its N-th change to a name on the disk it is killed (the way of a crash), or that
# one and all after it fail. Python itself tells of each change before it is made.
DROPS = """
import errno, os, signal, sys
from appagent.state.store import Store
store = Store(sys.argv[1])
store.load()
left = int(sys.argv[2])
def change(event, args):
    global left
    if event not in ("os.remove", "os.rmdir", "os.rename"):
        return
    left -= 1
    if left < 0 and sys.argv[3] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if left < 0 and sys.argv[3] == "failing":
        raise OSError(errno.EIO, os.strerror(errno.EIO))
sys.addaudithook(change)
facts = [fact.kind for fact in store.drop("web")]
if sys.argv[3] == "failing":
    assert facts == (["store.failed"] if left < 0 else []), facts
os._exit(0 if left >= 0 else 1)
"""


@pytest.mark.parametrize("how", ["killed", "failing"])
def test_an_app_whose_removal_is_cut_short_is_gone_or_there_and_never_lost(
    state: Path, how: str
) -> None:
    """At each of its steps in turn; the agent ends there, and the next one reads what is left."""
    code, steps = 1, 0
    while code:
        fill(state)
        with opened(state) as store:
            store.load()
            (store.app_dir("web") / "Makefile.kept").write_text("stop:\n")
        argv = [sys.executable, "-c", DROPS, str(state), str(steps), how]
        code = subprocess.run(argv, check=False).returncode
        with opened(state) as store:
            loaded = store.load()
            assert loaded.lost == frozenset(), f"{how} at step {steps}"
            assert loaded.records == ({"web": WEB, "api": API} if steps == 0 else {"api": API})
            left = {path.name for path in (state / "apps").iterdir()}
            assert left == set(loaded.records), "nothing else stays"
        steps += 1
    assert steps > 2


def test_what_could_not_be_removed_of_an_app_is_removed_later(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(state)
    with opened(state) as store:
        store.load()
        with monkeypatch.context() as trouble:
            trouble.setattr(os, "rmdir", failing)
            assert kinds(store.drop("web")) == ["store.failed"]
        assert kinds(store.flush()) == ["store.works"]
    assert [path.name for path in (state / "apps").iterdir()] == ["api"]


def test_nobody_else_can_read_it(state: Path) -> None:
    old = os.umask(0)
    try:
        fill(state)
    finally:
        os.umask(old)
    for path in (state, *state.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\0" * 512, b'{"format": 1, "record": {"app": 7}}', b"[]"]
)
def test_a_damaged_record_is_kept_aside_and_said_and_the_app_is_lost(
    state: Path, content: bytes
) -> None:
    fill(state)
    path = state / "apps" / "web" / "record.json"
    path.write_bytes(content)
    with opened(state) as store:
        loaded = store.load()
        assert loaded.records == {"api": API}
        assert loaded.lost == {"web"}
        assert kinds(loaded.notices) == ["store.damaged"]
        assert loaded.notices[0].app == "web"
        assert messages.level(loaded.notices[0]) == Level.WARNING
        assert str(path) in messages.text(loaded.notices[0])
        assert path.with_name("record.json.damaged").read_bytes() == content
        assert not path.exists()
        store.save(WEB)
    with opened(state) as store:
        loaded = store.load()
    assert loaded.records["web"] == WEB
    assert loaded.notices == ()


def test_a_record_of_a_newer_agent_is_kept_aside(state: Path) -> None:
    fill(state)
    path = state / "apps" / "web" / "record.json"
    path.write_text('{"format": 99, "record": "who knows"}')
    with opened(state) as store:
        loaded = store.load()
    assert kinds(loaded.notices) == ["store.newer"]
    assert loaded.lost == {"web"}
    assert "99" in path.with_name("record.json.newer").read_text()


def test_a_record_of_another_app_is_damaged(state: Path) -> None:
    fill(state)
    (state / "apps" / "web" / "record.json").write_bytes(
        (state / "apps" / "api" / "record.json").read_bytes()
    )
    with opened(state) as store:
        loaded = store.load()
    assert loaded.records == {"api": API}
    assert loaded.lost == {"web"}
    assert kinds(loaded.notices) == ["store.damaged"]


def test_things_that_are_no_files_do_not_stop_the_start(state: Path, tmp_path: Path) -> None:
    fill(state)
    web = state / "apps" / "web" / "record.json"
    api = state / "apps" / "api" / "record.json"
    web.unlink()
    os.mkfifo(web)
    api.rename(tmp_path / "elsewhere.json")
    api.symlink_to(tmp_path / "elsewhere.json")
    (state / "apps" / "a-file").write_text("")
    (state / "node.json").mkdir()
    with opened(state) as store:
        loaded = store.load()
        assert loaded.records == {}
        assert loaded.lost == {"web", "api"}
        assert store.save(WEB) == []
        assert store.save_node_hold(Hold("w")) == []


def test_a_makefile_without_a_record_means_that_the_record_is_lost(state: Path) -> None:
    fill(state)
    (state / "apps" / "web" / "Makefile").write_text("install:\n")
    (state / "apps" / "web" / "record.json").unlink()
    (state / "apps" / "api" / "record.json").unlink()
    with opened(state) as store:
        loaded = store.load()
    assert loaded.lost == {"web"}
    assert loaded.notices == ()


def test_half_written_files_of_a_crash_are_removed(state: Path) -> None:
    fill(state)
    strays = [
        state / "node.json.new",
        state / "secret.new",
        state / "apps" / "web" / "record.json.new",
    ]
    for stray in strays:
        stray.write_text('{"form')
    with opened(state) as store:
        loaded = store.load()
    assert loaded.records == {"web": WEB, "api": API}
    assert loaded.notices == ()
    assert not any(stray.exists() for stray in strays)


def test_a_damaged_secret_is_made_anew_and_what_follows_is_said(state: Path) -> None:
    old = fill(state)
    (state / "secret").write_bytes(old[:-1])
    with opened(state) as store:
        loaded = store.load()
    assert kinds(loaded.notices) == ["store.damaged", "store.secret"]
    assert "restarted" in messages.text(loaded.notices[1])
    assert len(loaded.secret) == SECRET_BYTES
    assert loaded.secret != old
    assert (state / "secret").read_bytes() == loaded.secret
    with opened(state) as store:
        assert store.load().secret == loaded.secret


def test_a_removed_secret_is_said_only_where_apps_are_known(state: Path) -> None:
    fill(state)
    (state / "secret").unlink()
    with opened(state) as store:
        assert kinds(store.load().notices) == ["store.secret"]
