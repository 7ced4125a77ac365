"""How much of a share is read at once, and what is made of what changes meanwhile."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from appagent.core.envfile import MAX_BYTES
from appagent.host.mounts import Mounts, real
from appagent.share.disk import Disk, NotPlain, Pulse
from appagent.share.layouts import inspect
from appagent.share.markers import NotDeployable, is_listed
from tests.share_disk import LOCAL_ROOT, Faults, FaultyDisk
from tests.share_watcher import Driven, commit, git, put, swap

COMMIT = "a" * 40


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path / "root" / "web" / "Makefile")
    return tmp_path / "root"


def why(root: Path) -> str:
    """What stands in the way of the app."""
    with pytest.raises(NotDeployable) as unclear:
        inspect(Disk(), str(root), "web", None)
    return str(unclear.value)


def test_a_ref_of_any_depth_is_unclear_and_nothing_worse(root: Path) -> None:
    put(root / "web" / ".git" / "HEAD", "ref: refs" + "/a" * 1000 + "\n")
    assert why(root).endswith("HEAD names a ref of more than 255 bytes")
    put(root / "web" / ".git" / "HEAD", "ref: refs" + "/a" * 100 + "\n")
    assert "has no ref refs/a/a" in why(root)


def test_a_name_is_looked_for_as_far_up_as_it_takes(root: Path) -> None:
    deep = f"{root}/none" + "/a" * 1500
    assert not is_listed(Disk(), deep, base=str(root))
    assert not is_listed(Disk(), deep)
    with pytest.raises(NotADirectoryError):  # listed, and yet it is none
        is_listed(Disk(), f"{root}/web/Makefile/a/b")


def test_packed_refs_are_found_in_what_is_not_too_large(root: Path) -> None:
    put(root / "web" / ".git" / "HEAD", "ref: refs/heads/x\n")
    others = "".join(f"{number:040x} refs/tags/{number}\n^{COMMIT}\n" for number in range(1000))
    packed = root / "web" / ".git" / "packed-refs"
    put(packed, f"# pack-refs with: peeled\n{COMMIT} refs/heads/x\n{others}")
    assert inspect(Disk(), str(root), "web", None).release == f"git.1:{COMMIT}"
    put(packed, f"{others}{COMMIT} refs/heads/xy\n{COMMIT} a refs/heads/x\n")
    assert "has no ref refs/heads/x" in why(root)
    put(packed, "ab\n" * (1024 * 1024))
    assert why(root) == f"{packed} is larger than 2048 KiB"


def test_a_look_takes_so_many_steps_over_links_and_no_more(root: Path) -> None:
    web = root / "web"
    (web / "a").mkdir()
    for number in range(39):
        (web / f"l{number}").symlink_to("a/../" * 800 + f"l{number + 1}")
    put(web / "l39" / "Makefile")
    swap(web / "current", "l0")
    faults = Faults()
    with pytest.raises(NotDeployable, match="leads over more than 400 directories"):
        inspect(FaultyDisk(lambda: faults), str(root), "web", None)
    assert faults.seen.count("status") <= 400


def test_a_local_path_takes_so_many_steps_too() -> None:
    requested: list[str] = []

    def link(path: str) -> str | None:
        requested.append(path)
        return "a/../" * 800 + "l" if path.endswith("/l") else None

    real("/l", Mounts(LOCAL_ROOT), link)
    assert len(requested) <= 400


def test_a_directory_with_too_many_entries_is_said_so(tmp_path: Path) -> None:
    for number in range(21):
        put(tmp_path / "web" / str(number))
    assert len(Disk(most_entries=21).names(str(tmp_path / "web"))) == 21
    with pytest.raises(OSError, match=r"too many entries \(more than 20\)"):
        Disk(most_entries=20).names(str(tmp_path / "web"))


def test_a_listing_gives_signs_of_life(tmp_path: Path) -> None:
    for number in range(1100):
        put(tmp_path / str(number))

    class Beats(Pulse):
        begun = 0

        def begin(self, doing: str, path: str) -> None:
            self.begun += 1
            super().begin(doing, path)

    pulse = Beats()
    disk = Disk(pulse)
    disk.names(str(tmp_path))
    assert pulse.begun == 3
    fd = disk.open_dir(str(tmp_path))
    disk.entries(fd, str(tmp_path), lambda _name, _is_dir: True)  # also where nothing of it counts
    disk.close(fd)
    assert pulse.begun == 3 + 2 + 2


def test_current_that_becomes_a_directory_in_the_look_is_unclear(root: Path) -> None:
    put(root / "web" / "releases" / "1" / "Makefile")
    swap(root / "web" / "current", "releases/1")

    class Swapped(Disk):
        def names(self, path: str, *, base: str = "") -> dict[str, str]:
            found = super().names(path, base=base)
            if path == f"{root}/web":
                (root / "web" / "current").unlink()
                put(root / "web" / "current" / "Makefile")
            return found

    with pytest.raises(NotDeployable, match="current is not a symlink any more"):
        inspect(Swapped(), str(root), "web", None)


def test_refs_in_a_reftable_are_said_to_be_so(root: Path) -> None:
    put(root / "web" / ".git" / "HEAD", "ref: refs/heads/.invalid\n")
    put(root / "web" / ".git" / "reftable" / "tables.list")
    assert "keeps its refs in a reftable, which is not read here" in why(root)


def test_a_small_file_is_read_whole_and_a_large_one_not(tmp_path: Path) -> None:
    put(tmp_path / "file", "x" * MAX_BYTES)
    assert len(Disk().read(str(tmp_path / "file"), MAX_BYTES, base=str(tmp_path))) == MAX_BYTES
    with pytest.raises(NotPlain, match="is larger than"):
        Disk().read(str(tmp_path / "file"), MAX_BYTES - 1)


def test_a_file_that_was_replaced_meanwhile_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a share, where a node knows what bore a name for a while after another replaced it."""
    path = put(tmp_path / "file", "new")
    opened = os.open

    def stale(name: str, flags: int, *, dir_fd: int | None = None) -> int:
        if name.startswith("/proc/self/fd/"):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return opened(name, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", stale)
    assert Disk().read(str(path), 10, base=str(tmp_path)) == b"new"


def test_a_linked_work_tree_in_a_root_that_is_a_link(tmp_path: Path) -> None:
    put(tmp_path / "disk" / "main" / "Makefile")
    git(tmp_path / "disk" / "main", "init", "-q", "-b", "main")
    commit(tmp_path / "disk" / "main", "one")
    (tmp_path / "root").symlink_to("disk")
    git(
        tmp_path / "disk" / "main",
        "worktree",
        "add",
        "-q",
        "-b",
        "live",
        str(tmp_path / "disk/web"),
    )
    commit_id = commit(tmp_path / "disk" / "web", "two")
    seen = Driven(tmp_path / "root")
    seen.watch()
    seen.until(lambda: commit_id in seen.release("web"))
