"""inotify in the watcher: what rings, what does not, and what happens when it does not suffice."""

from __future__ import annotations

import asyncio
import errno
import threading
import time
from pathlib import Path

import pytest
from watchdog.observers.inotify_c import InotifyFD

from appagent.share.inotify import Inotify, Watcher
from appagent.share.watchlist import AppSpec, Watchlist
from tests.share_watcher import (
    Driven,
    GitApp,
    SymlinkApp,
    TreeApp,
    Watching,
    opened,
    put,
    root_of,
    swap,
)
from tests.waiting import until


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def driven(root: Path) -> Driven:
    """Both workers by hand, on a root that inotify watches: all else is a minute away."""
    TreeApp(root / "tree").deploy("one")
    SymlinkApp(root / "web").deploy("one")
    seen = Driven(root, watch="inotify", defaults=AppSpec(settle=0.1))
    seen.watch()
    seen.until(lambda: seen.settled("tree") and seen.settled("web"))
    return seen


def test_a_change_rings_for_its_own_app_only(root: Path, driven: Driven) -> None:
    driven.until_looked_again()
    driven.faults.seen.clear()
    put(root / "tree" / "lib" / "new")
    before = driven.release("tree")
    driven.until(lambda: driven.release("tree") not in ("", before))
    assert driven.apps["tree"].how == "inotify"
    assert "readlink" not in driven.faults.seen  # nobody looked at the other one


def test_what_is_ignored_does_not_ring(root: Path, driven: Driven) -> None:
    put(root / "tree" / "app.log", "a line\n")
    driven.until_looked_again()
    driven.faults.seen.clear()
    for number in range(50):
        put(root / "tree" / "app.log", str(number))
    driven.until_looked_again()
    assert "entries" not in driven.faults.seen


def test_steady_changes_cause_a_look_each_interval_and_not_each_change(
    root: Path, driven: Driven
) -> None:
    driven.until_looked_again()
    driven.faults.seen.clear()
    end = time.monotonic() + 1.0
    changes = 0
    while time.monotonic() < end:
        changes += 1
        put(root / "tree" / "lib" / "busy", str(changes))
        driven.turn()
    scans = driven.faults.seen.count("entries") / 2  # directories
    assert 3 < scans < changes
    assert scans < 1.0 / driven.spec.scan_interval + 10  # a few at once are free


def waiting_long(root: Path) -> Driven:
    """A root whose interval is over long after the test."""
    seen = Driven(root, watch="inotify", interval=600.0, defaults=AppSpec(settle=0.1))
    seen.watch()
    return seen


def test_the_last_event_of_a_change_is_looked_at_without_waiting_for_the_interval(
    root: Path,
) -> None:
    SymlinkApp(root / "web").deploy("one")
    put(root / "web" / "releases" / "two" / "Makefile")
    seen = waiting_long(root)
    seen.until(lambda: "one" in seen.release("web"))
    (root / "web" / "next").symlink_to("releases/two")
    seen.until_looked_again()  # the new name rang, and there was nothing to see yet
    (root / "web" / "next").replace(root / "web" / "current")
    seen.until(lambda: "two" in seen.release("web"))


def test_a_commit_is_seen_without_waiting_for_the_interval(root: Path) -> None:
    app = GitApp(root / "web")
    app.deploy("one")
    seen = waiting_long(root)
    seen.until(lambda: seen.settled("web"))
    before = seen.release("web")
    thread = threading.Thread(target=app.deploy, args=("two",))
    thread.start()  # while the watcher looks
    seen.until(lambda: seen.release("web") not in ("", before))
    thread.join()


def test_no_more_watches_means_polling_and_is_said(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TreeApp(root / "tree").deploy("one")
    for number in range(10):
        put(root / "tree" / "many" / str(number) / "file")
    left = 5

    original = InotifyFD.add_callback

    def add(*arguments: object) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "inotify watch limit reached")
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(InotifyFD, "add_callback", add)
    seen = Driven(root, watch="auto", defaults=AppSpec(settle=0.1))
    seen.watch()
    seen.until(lambda: seen.settled("tree"))
    assert len(seen.logs) == 1
    assert "is polled: inotify: inotify watch limit reached" in seen.logs[0]
    assert "max_user_watches" in seen.logs[0]
    before = seen.release("tree")
    put(root / "tree" / "many" / "9" / "file", "changed")
    seen.until(lambda: seen.release("tree") not in ("", before))
    assert seen.apps["tree"].how == "scan"


def test_no_more_descriptors_means_polling_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> None:
        raise OSError(errno.EMFILE, "inotify instance limit reached")

    monkeypatch.setattr("appagent.share.inotify.InotifyFD", none_left)
    app = SymlinkApp(root / "web")
    app.deploy("one")
    seen = Driven(root, watch="auto")
    seen.watch()
    seen.until(lambda: seen.release("web") != "")
    assert "instance limit" in seen.logs[0]
    app.deploy("two")
    seen.until(lambda: "two" in seen.release("web"))


def test_a_root_made_anew_is_watched_anew_and_both_is_known(root: Path, driven: Driven) -> None:
    root.rename(root.parent / "aside")
    driven.until(lambda: not driven.roots[driven.root].known)
    assert any("polled until it is available again" in line for line in driven.logs)
    app = SymlinkApp(root / "web")
    app.deploy("other")
    driven.until(lambda: "other" in driven.release("web"))
    driven.until_looked_again()
    app.deploy("more")
    driven.until(lambda: "more" in driven.release("web"))
    assert driven.apps["web"].how == "inotify"


def test_poll_means_poll(root: Path) -> None:
    app = SymlinkApp(root / "web")
    app.deploy("one")

    async def play() -> None:
        seen = Watching()
        seen.watcher.watch(Watchlist((root_of(root, "poll"),), (), b"s"))
        await seen.until(lambda: seen.release("web"))
        pid = seen.watcher.pid
        assert not [file for file in opened(pid) if "inotify" in file]
        await seen.watcher.close()

    asyncio.run(play())


# --- the watcher itself --------------------------------------------------------------------------


def test_a_watcher_rings_with_the_path_and_stops_when_it_is_closed(tmp_path: Path) -> None:
    rung: list[tuple[str, bool]] = []
    watcher = Inotify().watcher(lambda path, is_dir: rung.append((path, is_dir)))
    assert watcher.watch([str(tmp_path)]) == 1
    assert watcher.watch([str(tmp_path)]) == 0
    (tmp_path / "dir").mkdir()
    until(lambda: (f"{tmp_path}/dir", True) in rung)
    put(tmp_path / "file")
    until(lambda: (f"{tmp_path}/file", False) in rung)
    watcher.close()
    rung.clear()
    witness: list[str] = []
    other = Inotify().watcher(lambda path, _is_dir: witness.append(path))
    other.watch([str(tmp_path)])
    put(tmp_path / "more")
    until(lambda: witness)
    assert not rung


def test_a_directory_that_was_replaced_is_watched_anew(tmp_path: Path) -> None:
    rung: list[str] = []
    watcher: Watcher = Inotify().watcher(lambda path, _is_dir: rung.append(path))
    inner = tmp_path / "inner"
    inner.mkdir()
    watcher.watch([str(inner)])
    inner.rename(tmp_path / "aside")
    inner.mkdir()
    until(lambda: rung)
    assert watcher.watch([str(inner)]) == 1
    rung.clear()
    put(inner / "file")
    until(lambda: f"{inner}/file" in rung)
    (inner / "file").unlink()
    inner.rmdir()
    until(lambda: "" in rung)  # only who is still watched is told
    assert watcher.watch([]) == 0


def test_a_directory_that_is_gone_already_is_looked_at_again(tmp_path: Path) -> None:
    watcher = Inotify().watcher(lambda _path, _is_dir: None)
    assert watcher.watch([str(tmp_path / "nothing")]) == 1
    swap(tmp_path / "readlink", ".")
    assert watcher.watch([str(tmp_path / "readlink")]) == 1


def test_a_lost_event_rings(tmp_path: Path) -> None:
    rung: list[str] = []
    watcher = Inotify().watcher(lambda path, _is_dir: rung.append(path))
    watcher.watch([str(tmp_path)])
    watcher.on_queue_overflow()
    assert rung == [""]


def test_what_lay_in_a_directory_that_was_moved_is_watched_anew(tmp_path: Path) -> None:
    rung: list[str] = []
    watcher = Inotify().watcher(lambda path, _is_dir: rung.append(path))
    deep = tmp_path / "outer" / "inner"
    deep.mkdir(parents=True)
    watcher.watch([str(deep.parent), str(deep)])
    deep.parent.rename(tmp_path / "aside")
    deep.mkdir(parents=True)
    until(lambda: "" in rung)
    assert watcher.watch([str(deep.parent), str(deep)]) == 2
    rung.clear()
    put(tmp_path / "aside" / "inner" / "file")
    put(deep / "file")
    until(lambda: f"{deep}/file" in rung)
    assert {path for path in rung if "aside" in path} == set()


def test_a_root_whose_parent_was_replaced_is_watched_anew(tmp_path: Path) -> None:
    root = tmp_path / "above" / "root"
    SymlinkApp(root / "web").deploy("one")
    seen = Driven(root, watch="inotify")
    seen.watch()
    seen.until(lambda: seen.release("web") != "")
    root.parent.rename(tmp_path / "aside")
    app = SymlinkApp(root / "web")
    app.deploy("two")
    seen.until(lambda: "two" in seen.release("web"))
    seen.until_looked_again()
    app.deploy("three")
    seen.until(lambda: "three" in seen.release("web"))
    assert seen.apps["web"].how == "inotify"
