"""What a look at one app finds: each layout, and everything that is no release."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from appagent.model.words import Layout
from appagent.share.disk import Disk
from appagent.share.layouts import NoApp, inspect
from appagent.share.markers import NotDeployable, unchanged
from tests.share_disk import AWAY, NO_FAULT, Fault, Faults, FaultyDisk
from tests.share_watcher import commit, git, put, swap


def found_in(root: Path, layout: Layout | None = None, name: str = "web") -> tuple[str, str]:
    found = inspect(Disk(), str(root), name, layout)
    return found.release, found.release_dir


# --- symlink -------------------------------------------------------------------------------------


def test_current_leads_to_the_release(tmp_path: Path) -> None:
    release = put(tmp_path / "web" / "releases" / "7" / "Makefile").parent
    swap(tmp_path / "web" / "current", "releases/7")
    found = inspect(Disk(), str(tmp_path), "web", None)
    assert found.layout is Layout.SYMLINK
    assert found.release == f"symlink.1:releases/7:{release.stat().st_ino}"
    assert found.release_dir == str(release)
    assert found.base == str(tmp_path / "web")
    assert found.owner == os.geteuid()
    assert found.incomplete == ""


def test_the_app_itself_may_be_a_link(tmp_path: Path) -> None:
    release = put(tmp_path / "root" / ".releases" / "web-7" / "GNUmakefile").parent
    (tmp_path / "root" / "web").symlink_to(".releases/web-7")
    release_id, release_dir = found_in(tmp_path / "root")
    assert release_id == f"symlink.1:.releases/web-7:{release.stat().st_ino}"
    assert release_dir == str(release)


def test_an_absolute_link_into_the_root_stays_in_the_root(tmp_path: Path) -> None:
    put(tmp_path / "disk" / "web" / "releases" / "7" / "Makefile")
    (tmp_path / "root").symlink_to("disk")
    root = tmp_path / "root"
    swap(root / "web" / "current", f"{root}/web/releases/7")
    assert found_in(root)[1] == f"{root}/web/releases/7"


def test_a_link_to_a_link_is_followed_to_the_end(tmp_path: Path) -> None:
    web = tmp_path / "web"
    put(web / "releases" / "7" / "Makefile")
    (web / "releases" / "latest").symlink_to("../releases/./7")
    swap(web / "current", "releases/latest")
    found = inspect(Disk(), str(tmp_path), "web", None)
    assert found.release_dir == str(web / "releases" / "7")
    assert unchanged(Disk(), found.markers)
    put(web / "releases" / "8" / "Makefile")
    swap(web / "releases" / "latest", "8")
    assert not unchanged(Disk(), found.markers)


def test_a_release_that_was_made_anew_under_its_name_is_another(tmp_path: Path) -> None:
    release = put(tmp_path / "web" / "releases" / "7" / "Makefile").parent
    swap(tmp_path / "web" / "current", "releases/7")
    before = found_in(tmp_path)[0]
    release.rename(tmp_path / "kept")
    put(release / "Makefile")
    assert found_in(tmp_path)[0] != before


def test_a_link_may_lead_outside_of_the_root(tmp_path: Path) -> None:
    put(tmp_path / "releases" / "7" / "Makefile")
    (tmp_path / "root" / "web").mkdir(parents=True)
    swap(tmp_path / "root" / "web" / "current", "../../releases/7")
    assert found_in(tmp_path / "root")[1] == str(tmp_path / "releases" / "7")


def test_but_not_to_where_it_is_not_allowed_to(tmp_path: Path) -> None:
    put(tmp_path / "releases" / "7" / "Makefile")
    (tmp_path / "root" / "web").mkdir(parents=True)
    swap(tmp_path / "root" / "web" / "current", "../../releases/7")

    def allowed(path: str) -> str:
        return "leads to another share" if path.endswith("/releases") else ""

    with pytest.raises(NotDeployable, match="/releases leads to another share"):
        inspect(Disk(), str(tmp_path / "root"), "web", None, allowed)


def test_odd_letters_of_a_link_are_written_plainly_in_the_id(tmp_path: Path) -> None:
    put(tmp_path / "web" / "releases" / "a b+%ü" / "Makefile")
    swap(tmp_path / "web" / "current", "releases/a b+%ü")
    assert found_in(tmp_path)[0].startswith("symlink.1:releases/a%20b+%25%C3%BC:")


def test_a_very_long_link_is_cut_in_the_id(tmp_path: Path) -> None:
    web = tmp_path / "web"
    put(web / "releases" / "7" / "Makefile")
    swap(web / "current", "./" * 500 + "releases/7")
    assert len(found_in(tmp_path)[0]) < 260


# --- git -----------------------------------------------------------------------------------------


def work_tree(at: Path) -> str:
    put(at / "Makefile")
    git(at, "init", "-q", "-b", "main")
    return commit(at, "one")


def test_the_commit_of_head_is_the_release(tmp_path: Path) -> None:
    first = work_tree(tmp_path / "web")
    assert found_in(tmp_path) == (f"git.1:{first}", str(tmp_path / "web"))
    second = commit(tmp_path / "web", "two")
    assert found_in(tmp_path)[0] == f"git.1:{second}"
    git(tmp_path / "web", "reset", "-q", "--hard", first)
    assert found_in(tmp_path)[0] == f"git.1:{first}"


def test_a_detached_head_and_a_packed_ref_are_read(tmp_path: Path) -> None:
    first = work_tree(tmp_path / "web")
    git(tmp_path / "web", "pack-refs", "--all", "--prune")
    assert found_in(tmp_path)[0] == f"git.1:{first}"
    second = commit(tmp_path / "web", "two")
    git(tmp_path / "web", "checkout", "-q", "--detach", first)
    assert found_in(tmp_path)[0] == f"git.1:{first}"
    git(tmp_path / "web", "checkout", "-q", "main")
    assert found_in(tmp_path)[0] == f"git.1:{second}"


def test_a_branch_in_a_directory_and_an_annotated_tag_beside_it(tmp_path: Path) -> None:
    work_tree(tmp_path / "web")
    git(tmp_path / "web", "checkout", "-q", "-b", "feature/x/y")
    commit_id = commit(tmp_path / "web", "two")
    git(tmp_path / "web", "tag", "-a", "-m", "t", "v1")
    git(tmp_path / "web", "pack-refs", "--all", "--prune")
    assert found_in(tmp_path)[0] == f"git.1:{commit_id}"


def test_a_linked_work_tree_is_one_too(tmp_path: Path) -> None:
    work_tree(tmp_path / "main")
    git(tmp_path / "main", "worktree", "add", "-q", "-b", "live", str(tmp_path / "web"))
    commit_id = commit(tmp_path / "web", "two")
    found = inspect(Disk(), str(tmp_path), "web", None)
    assert found.release == f"git.1:{commit_id}"
    put(tmp_path / "main" / ".git" / "worktrees" / "web" / "index.lock")
    assert inspect(Disk(), str(tmp_path), "web", None).incomplete == ".git/index.lock"


def test_marks_tell_every_way_in_which_head_moves(tmp_path: Path) -> None:
    web = tmp_path / "web"
    first = work_tree(web)

    def pack() -> None:
        git(web, "pack-refs", "--all", "--prune")

    moves: list[tuple[Callable[[], object], Callable[[], object]]] = [
        (lambda: None, lambda: commit(web, "a")),
        (lambda: git(web, "checkout", "-q", "-b", "other"), lambda: commit(web, "b")),
        (lambda: None, lambda: git(web, "checkout", "-q", "main")),
        (pack, lambda: commit(web, "c")),
        (lambda: None, pack),
        (lambda: None, lambda: git(web, "checkout", "-q", "--detach", first)),
    ]
    for before, move in moves:
        before()
        markers = inspect(Disk(), str(tmp_path), "web", None).markers
        assert unchanged(Disk(), markers)
        move()
        with suppress(OSError):  # a mark that is gone says "look properly" as well
            assert not unchanged(Disk(), markers)


def test_a_checkout_under_way_is_incomplete(tmp_path: Path) -> None:
    work_tree(tmp_path / "web")
    lock = put(tmp_path / "web" / ".git" / "index.lock")
    assert inspect(Disk(), str(tmp_path), "web", None).incomplete == ".git/index.lock"
    lock.unlink()
    assert inspect(Disk(), str(tmp_path), "web", None).incomplete == ""


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("", "nor the name of a ref"),
        ("garbage\n", "nor the name of a ref"),
        ("ref: ../../etc/passwd\n", "nor the name of a ref"),
        ("ref: refs/heads/../../x\n", "nor the name of a ref"),
        ("ref: refs/heads/nothing\n", "has no ref refs/heads/nothing"),
        ("ref: refs/heads/self\n", "from ref to ref"),
        ("x" * 5000, "is larger than 4 KiB"),
    ],
)
def test_a_head_that_is_none_is_unclear(tmp_path: Path, head: str, said: str) -> None:
    put(tmp_path / "web" / "Makefile")
    put(tmp_path / "web" / ".git" / "HEAD", head)
    put(tmp_path / "web" / ".git" / "refs" / "heads" / "self", "ref: refs/heads/self\n")
    with pytest.raises(NotDeployable, match=said):
        inspect(Disk(), str(tmp_path), "web", None)


def test_a_git_file_that_leads_nowhere_is_unclear(tmp_path: Path) -> None:
    put(tmp_path / "web" / "Makefile")
    put(tmp_path / "web" / ".git", "something else\n")
    with pytest.raises(NotDeployable, match="does not hold gitdir"):
        inspect(Disk(), str(tmp_path), "web", None)


# --- all of them ---------------------------------------------------------------------------------


def test_anything_else_is_a_tree(tmp_path: Path) -> None:
    put(tmp_path / "web" / "makefile")
    found = inspect(Disk(), str(tmp_path), "web", None)
    assert (found.layout, found.release) == (Layout.TREE, "")
    assert found.release_dir == str(tmp_path / "web")


def test_the_configuration_can_say_the_layout(tmp_path: Path) -> None:
    work_tree(tmp_path / "web")
    assert inspect(Disk(), str(tmp_path), "web", Layout.TREE).layout is Layout.TREE
    with pytest.raises(NotDeployable, match="current does not exist"):
        inspect(Disk(), str(tmp_path), "web", Layout.SYMLINK)
    put(tmp_path / "web" / "current")
    with pytest.raises(NotDeployable, match="current is not a symlink"):
        inspect(Disk(), str(tmp_path), "web", Layout.SYMLINK)
    put(tmp_path / "plain" / "Makefile")
    with pytest.raises(NotDeployable, match=r"no \.git"):
        inspect(Disk(), str(tmp_path), "plain", Layout.GIT)


def test_a_directory_without_a_makefile_is_no_app(tmp_path: Path) -> None:
    put(tmp_path / "web" / "README")
    (tmp_path / "web" / "Makefile").mkdir()
    with pytest.raises(NoApp, match="no Makefile in"):
        inspect(Disk(), str(tmp_path), "web", None)
    put(tmp_path / "readme")
    (tmp_path / "readlink").symlink_to("readme")
    with pytest.raises(NoApp, match="is not a directory"):
        inspect(Disk(), str(tmp_path), "readlink", None)


def test_a_link_to_nothing_is_an_error_and_a_link_to_itself_unclear(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    swap(tmp_path / "web" / "current", "releases/9")
    with pytest.raises(FileNotFoundError):
        inspect(Disk(), str(tmp_path), "web", None)
    swap(tmp_path / "web" / "current", "current")
    with pytest.raises(NotDeployable, match="from link to link"):
        inspect(Disk(), str(tmp_path), "web", None)


def test_a_path_that_no_log_can_hold_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "web" / "a\nb" / "Makefile")
    swap(tmp_path / "web" / "current", "a\nb")
    with pytest.raises(NotDeployable, match="must not have"):
        inspect(Disk(), str(tmp_path), "web", None)


@pytest.mark.parametrize("layout", list(Layout))
def test_a_deploying_file_says_that_it_is_not_complete(tmp_path: Path, layout: Layout) -> None:
    work_tree(tmp_path / "web")
    swap(tmp_path / "web" / "current", ".")
    put(tmp_path / "web" / ".deploying")
    assert inspect(Disk(), str(tmp_path), "web", layout).incomplete == ".deploying"


def test_the_apps_own_settings_are_read(tmp_path: Path) -> None:
    put(tmp_path / "web" / "Makefile")
    assert inspect(Disk(), str(tmp_path), "web", None).settings is None
    put(tmp_path / "web" / "appagent.yaml", "settle: 5s\n")
    assert inspect(Disk(), str(tmp_path), "web", None).settings == "settle: 5s\n"


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (make_fifo, "is not a regular file"),
        (make_socket, "is not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
        (lambda path: path.mkdir(), "is not a regular file"),
        (lambda path: path.write_bytes(b"#" * 65537), "is larger than 64 KiB"),
        (lambda path: path.write_bytes(b"\xff"), "is not UTF-8"),
    ],
)
def test_settings_that_cannot_be_read_keep_the_app_from_being_seen(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    put(tmp_path / "web" / "Makefile")
    make(tmp_path / "web" / "appagent.yaml")
    with pytest.raises(NotDeployable, match=f"appagent.yaml {said}"):
        inspect(Disk(), str(tmp_path), "web", None)


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("error", AWAY, ids=errno.errorcode.get)
def test_an_error_at_any_call_fails_the_whole_look(
    tmp_path: Path, layout: Layout, error: int
) -> None:
    work_tree(tmp_path / "web")
    git(tmp_path / "web", "pack-refs", "--all", "--prune")
    put(tmp_path / "web" / "appagent.yaml", "settle: 5s\n")
    swap(tmp_path / "web" / "current", ".")
    faults = Faults()
    disk = FaultyDisk(lambda: faults)
    inspect(disk, str(tmp_path), "web", layout)
    calls = list(faults.seen)
    assert len(calls) >= 3

    class FailsAt(FaultyDisk):
        left = 0

        def _meet(self, call: str, path: str) -> Fault:
            del call
            self.left -= 1
            if self.left < 0:
                raise OSError(error, os.strerror(error), path)
            return NO_FAULT

    for at in range(len(calls)):
        failing = FailsAt(lambda: faults)
        failing.left = at
        with pytest.raises(OSError, match=os.strerror(error)):
            inspect(failing, str(tmp_path), "web", layout)
