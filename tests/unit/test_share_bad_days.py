"""The share's bad days, as a watcher sees them: errors at any call, mounts that come and go."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from appagent.model.seen import AppSeen
from tests.share_disk import AWAY, CALLS, LOCAL_ROOT, Faults, mounted
from tests.share_watcher import (
    EVERY,
    LAYOUTS,
    Driven,
    SymlinkApp,
    driven,
    known,
    names,
    put,
    releases,
    swap,
    world,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.mark.parametrize("call", CALLS)
def test_any_error_at_any_call_makes_apps_unknown_and_heals_without_a_new_id(
    root: Path, call: str
) -> None:
    seen = world(root)
    for error in AWAY:
        fail_and_heal(seen, call, error)


def fail_and_heal(seen: Driven, call: str, error: int) -> None:
    before = releases(seen)
    hit = {
        "names": EVERY,
        "status": EVERY,
        "readlink": ["symlink"],
        "read": ["git", "symlink"],
        "open_dir": ["tree"],
        "entries": ["tree"],
        "readlink_at": ["tree"],
    }[call]
    # The root itself answers; what lies below does not.
    seen.faults = Faults.at((call,), f"{seen.root}/", error)
    seen.poll_now()
    seen.until(lambda: all(not seen.apps[name].known for name in hit))
    assert all(os.strerror(error) in seen.apps[name].why for name in hit)
    for name in set(EVERY) - set(hit):
        assert seen.release(name) == before[name]
    assert known(seen)
    assert names(seen) == ("git", "symlink", "tree")
    seen.faults = Faults()
    seen.until(lambda: releases(seen) == before)
    apps = [one for one in seen.messages if isinstance(one, AppSeen) and one.known]
    assert {one.release for one in apps} == set(before.values())


def test_a_root_that_cannot_be_listed_is_unknown_and_heals(root: Path) -> None:
    seen = world(root)
    for error in (*AWAY, errno.ENOENT):
        lose_and_find(seen, error)


def lose_and_find(seen: Driven, error: int) -> None:
    before = releases(seen)
    seen.faults = Faults.at((), seen.root, error)
    seen.until(lambda: not known(seen))
    assert os.strerror(error) in seen.roots[seen.root].why
    count = len(seen.messages)
    seen.until_looked_again()
    assert len(seen.messages) == count  # reported once; the apps are not polled one by one
    seen.faults = Faults()
    seen.until(lambda: known(seen))
    assert names(seen) == ("git", "symlink", "tree")
    # Fresh looks follow, and say the same.
    seen.until(
        lambda: {one.app for one in seen.messages[count:] if isinstance(one, AppSeen)} == set(EVERY)
    )
    assert releases(seen) == before


def test_a_root_is_not_looked_at_where_its_share_is_not_mounted(root: Path) -> None:
    SymlinkApp(root / "symlink").deploy("one")
    seen = driven(root, must_mount=True)
    seen.faults.mountinfo = LOCAL_ROOT
    seen.until(lambda: seen.root in seen.roots)
    look = seen.roots[seen.root]
    assert not look.known
    assert not look.mounted
    assert "is not mounted: it lies on ext4 at /" in look.why
    assert "names" not in seen.faults.seen
    seen.faults.mountinfo = mounted(str(root)[1:])
    seen.until(lambda: seen.release("symlink") != "")
    assert seen.roots[seen.root].mounted
    assert seen.roots[seen.root].fstype == "fuse.glusterfs"


def test_a_share_that_goes_away_leaves_nothing_gone(root: Path) -> None:
    seen = driven(root, must_mount=True)
    SymlinkApp(root / "symlink").deploy("one")
    seen.faults.mountinfo = mounted(str(root)[1:])
    seen.until(lambda: seen.release("symlink") != "")
    release = seen.release("symlink")
    shutil.move(root / "symlink", root.parent / "aside")  # an ordinary empty directory is left
    seen.faults.mountinfo = LOCAL_ROOT
    seen.until(lambda: not known(seen))
    seen.until_looked_again()
    assert all(one.known for one in seen.messages if isinstance(one, AppSeen))
    shutil.move(root.parent / "aside", root / "symlink")
    seen.faults.mountinfo = mounted(str(root)[1:])
    seen.until(lambda: known(seen))
    assert seen.release("symlink") == release


def test_a_look_during_which_something_was_mounted_is_void(root: Path) -> None:
    SymlinkApp(root / "symlink").deploy("one")
    seen = driven(root)
    first, second = mounted(str(root)[1:]), mounted(str(root)[1:]).replace("40 27", "41 27")
    seen.faults.mountinfo = first
    seen.until(lambda: seen.release("symlink") != "")
    release = seen.release("symlink")
    shutil.move(root / "symlink", root.parent / "aside")
    original = seen.poller.disk.names

    def swapped(path: str, *, base: str = "") -> dict[str, str]:
        listed = original(path, base=base)
        seen.faults.mountinfo = second if seen.faults.mountinfo == first else first
        return listed

    seen.poller.disk.names = swapped  # type: ignore[method-assign]
    seen.until(lambda: not known(seen))
    assert "mounted again during the poll" in seen.roots[seen.root].why
    seen.poller.disk.names = original  # type: ignore[method-assign]
    shutil.move(root.parent / "aside", root / "symlink")
    seen.until(lambda: known(seen))
    assert seen.release("symlink") == release


@pytest.mark.parametrize(("share", "table"), [("", "mounted"), ("/files", "local")])
def test_what_belongs_to_another_watcher_is_left_alone(root: Path, share: str, table: str) -> None:
    SymlinkApp(root / "symlink").deploy("one")
    seen = Driven(root)
    seen.faults.mountinfo = mounted(str(root)[1:]) if table == "mounted" else LOCAL_ROOT
    seen.watch(share=share)
    seen.until(lambda: seen.root in seen.roots)
    assert not known(seen)
    assert "names" not in seen.faults.seen


def test_only_an_automounter_is_no_share_yet(root: Path) -> None:
    seen = driven(root)
    seen.faults.mountinfo = LOCAL_ROOT + f"40 27 0:40 / {root} rw - autofs systemd-1 rw\n"
    seen.until(lambda: seen.root in seen.roots)
    assert "only the automounter" in seen.roots[seen.root].why
    assert "names" in seen.faults.seen  # which is what makes it mount


def test_a_link_to_another_share_is_not_followed(root: Path, tmp_path: Path) -> None:
    put(tmp_path / "other" / "7" / "Makefile")
    (root / "web").mkdir()
    swap(root / "web" / "current", f"{tmp_path}/other/7")
    seen = driven(root, known=("web",))
    seen.faults.mountinfo = mounted(str(root)[1:], f"{tmp_path}/other"[1:])
    seen.until(lambda: "web" in seen.apps)
    assert "leads to another share" in seen.apps["web"].why


@pytest.mark.parametrize("layout", EVERY)
def test_a_fault_in_the_look_at_one_app_is_that_apps_alone_and_is_logged_once(
    root: Path, layout: str
) -> None:
    seen = world(root)
    seen.faults = Faults.at(prefix=f"{root}/{layout}", bug="list index out of range")
    seen.poll_now(layout)
    seen.until(lambda: not seen.apps[layout].known)
    bug = "internal error (this is a bug in appagent; please report it)"
    why = f"{bug}: LookupError: list index out of range"
    assert seen.apps[layout].why == why
    for name in set(EVERY) - {layout}:
        before = seen.release(name)
        LAYOUTS[name](root / name).deploy("two")
        seen.until(lambda name=name, before=before: seen.release(name) not in ("", before))  # type: ignore[misc]
    seen.until_looked_again()
    assert not seen.apps[layout].known
    assert len(seen.logs) == 1
    assert seen.logs[0].startswith(f"{root}/{layout}: {why}\nTraceback")
    assert known(seen)
    seen.faults = Faults()
    seen.until(lambda: seen.release(layout) != "")


def test_faults_in_the_first_looks_at_many_apps_hold_up_nobody(root: Path) -> None:
    broken = [f"broken{number}" for number in range(5)]
    for name in (*broken, "web"):
        SymlinkApp(root / name).deploy("one")
    seen = Driven(root, known=tuple(broken))
    seen.faults = Faults.at(prefix=f"{root}/broken", bug="of ours")
    seen.watch()
    seen.turn()
    seen.turn()  # the root, and with it each new name
    assert "web" in names(seen)
    assert seen.release("web")
    assert not any(seen.apps[name].known for name in broken)
    assert len(seen.logs) == len(broken)


def test_a_fault_in_the_look_at_a_root_makes_it_unknown_until_it_heals(root: Path) -> None:
    seen = world(root)
    seen.faults = Faults.at(("names",), str(root), bug="of ours")
    seen.poll_now()
    seen.until(lambda: not known(seen))
    assert "please report it): LookupError: of ours" in seen.roots[seen.root].why
    seen.faults = Faults()
    seen.poll_now()
    seen.until(lambda: known(seen))


def test_a_fault_in_the_look_at_an_env_file_is_that_files_alone(root: Path) -> None:
    SymlinkApp(root / "web").deploy("one")
    good, bad = str(put(root.parent / "good.env", "A=1\n")), str(root.parent / "bad.env")
    seen = Driven(root)
    seen.faults = Faults.at(prefix=bad, bug="of ours")
    seen.watch(bad, good)
    seen.until(lambda: seen.envs.keys() == {good, bad} and seen.release("web") != "")
    assert seen.envs[good].state == "present"
    assert seen.envs[bad].state == "unknown"
    assert "please report it): LookupError: of ours" in seen.envs[bad].why
