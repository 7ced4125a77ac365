"""Where a path of a deployer's may lead: what is no file is never opened, no link leads away."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appagent.core.envfile import MAX_BYTES
from appagent.host.mounts import Mounts, real
from appagent.share.disk import Disk, NotPlain
from appagent.share.layouts import inspect
from appagent.share.markers import NotDeployable, is_listed, unchanged
from appagent.share.pulse import Pulse
from tests.share_disk import LOCAL_ROOT, Faults, FaultyDisk, mounted
from tests.share_watcher import Driven, commit, git, put, swap, world
from tests.waiting import until

COMMIT = "a" * 40


@contextmanager
def never_opened(path: Path) -> Iterator[None]:
    """Make a FIFO that somebody waits to write to: whoever opens it, for a moment only, is seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: os.close(os.open(path, os.O_WRONLY)))
    writer.start()
    state = Path(f"/proc/self/task/{writer.native_id}/stat")
    until(lambda: state.read_text().rpartition(")")[2].split()[0] == "S")
    try:
        yield
        assert writer.is_alive(), f"{path} was opened"
    finally:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        writer.join()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path / "root" / "web" / "Makefile")
    return tmp_path / "root"


def why(root: Path) -> str:
    """What stands in the way of the app."""
    with pytest.raises(NotDeployable) as unclear:
        inspect(Disk(), str(root), "web", None)
    return str(unclear.value)


# --- what is opened ------------------------------------------------------------------------------

FILES: dict[str, Callable[[Path], Path]] = {
    "HEAD": lambda web: web / ".git" / "HEAD",
    "a ref": lambda web: put(web / ".git" / "HEAD", "ref: refs/x\n").with_name("refs") / "x",
    "packed refs": lambda web: put(web / ".git" / "HEAD", "ref: refs/x\n").with_name("packed-refs"),
    "commondir": lambda web: put(web / ".git" / "HEAD", COMMIT).with_name("commondir"),
}


@pytest.mark.parametrize("shape", FILES)
def test_what_is_no_file_in_a_git_directory_is_not_opened(root: Path, shape: str) -> None:
    path = FILES[shape](root / "web")
    with never_opened(path):
        assert why(root) == f"{path} is not a regular file"


def test_a_ref_behind_a_link_is_not_opened_either(root: Path) -> None:
    put(root / "web" / ".git" / "HEAD", "ref: refs/x\n")
    (root / "web" / ".git" / "refs").symlink_to(root / "web" / "dev")
    with never_opened(root / "web" / "dev" / "x"):
        assert why(root) == f"{root}/web/dev/x is not a regular file"


def test_what_has_taken_the_place_of_a_marked_file_is_not_opened(root: Path) -> None:
    head = put(root / "web" / ".git" / "HEAD", COMMIT)
    markers = inspect(Disk(), str(root), "web", None).markers
    head.unlink()
    with never_opened(head):
        assert not unchanged(Disk(), markers)


def test_what_an_env_file_leads_to_is_not_opened_unless_it_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "conf").mkdir()
    path = tmp_path / "conf" / "env"
    path.symlink_to("device")
    with never_opened(tmp_path / "conf" / "device"):
        seen = Driven(tmp_path / "root")
        seen.watch(str(path))
        seen.until(lambda: str(path) in seen.envs)
    assert seen.envs[str(path)].state == "broken"
    assert seen.envs[str(path)].why == f"{tmp_path}/conf/device is not a regular file"


# --- where it leads ------------------------------------------------------------------------------


def elsewhere(tmp_path: Path) -> Path:
    """A git directory outside of the root."""
    put(tmp_path / "out" / "refs" / "x", COMMIT)
    return put(tmp_path / "out" / "HEAD", "ref: refs/x\n").parent


def pointed(web: Path, out: Path) -> None:
    put(web / ".git", f"gitdir: {out}\n")


def pointed_by_dots(web: Path, _out: Path) -> None:
    put(web / ".git", "gitdir: ../../out\n")


def common(web: Path, out: Path) -> None:
    put(web / ".git" / "HEAD", "ref: refs/x\n")
    put(web / ".git" / "commondir", f"{out}\n")


def linked(web: Path, out: Path) -> None:
    put(web / ".git" / "HEAD", "ref: refs/x\n")
    (web / ".git" / "refs").symlink_to(out / "refs")


GITS = [pointed, pointed_by_dots, common, linked]


@pytest.mark.parametrize("make", GITS)
def test_git_files_lie_in_the_root(tmp_path: Path, root: Path, make: Callable[..., None]) -> None:
    make(root / "web", elsewhere(tmp_path))
    assert f"neither in {root} nor in release_dirs" in why(root)


@pytest.mark.parametrize("make", GITS)
def test_or_in_a_directory_for_releases(
    tmp_path: Path, root: Path, make: Callable[..., None]
) -> None:
    out = elsewhere(tmp_path)
    make(root / "web", out)
    found = inspect(Disk(), str(root), "web", None, others=[str(out)])
    assert found.release == f"git.1:{COMMIT}"
    assert unchanged(Disk(), found.markers)


@pytest.mark.parametrize("make", GITS)
def test_never_on_another_share(tmp_path: Path, root: Path, make: Callable[..., None]) -> None:
    out = elsewhere(tmp_path)
    make(root / "web", out)
    touched: list[str] = []

    class Spy(Disk):
        def read(self, path: str, most: int, *, base: str = "") -> bytes:
            touched.append(path)
            return super().read(path, most, base=base)

        def names(self, path: str, *, base: str = "") -> dict[str, str]:
            touched.append(path)
            return super().names(path, base=base)

    def allowed(path: str) -> str:
        return "leads to another share" if Path(path).is_relative_to(out) else ""

    with pytest.raises(NotDeployable, match="leads to another share"):
        inspect(Spy(), str(root), "web", None, allowed, others=[str(out)])
    assert not [path for path in touched if path.startswith(str(out))]


def test_the_watcher_knows_the_directories_for_releases(tmp_path: Path, root: Path) -> None:
    (tmp_path / "releases").symlink_to("out")  # as the administrator wrote it
    put(root / "web" / ".git", f"gitdir: {elsewhere(tmp_path)}\n")
    seen = Driven(root, release_dirs=(str(tmp_path / "releases"),))
    seen.watch()
    seen.until(lambda: COMMIT in seen.release("web"))


def test_refs_behind_a_link_are_followed_and_marked(root: Path) -> None:
    put(root / "web" / ".git" / "HEAD", "ref: refs/heads/x\n")
    put(root / "shared" / "one" / "heads" / "x", COMMIT)
    put(root / "shared" / "two" / "heads" / "other")
    refs = root / "web" / ".git" / "refs"
    refs.symlink_to("../../shared/one")
    found = inspect(Disk(), str(root), "web", None)
    assert found.release == f"git.1:{COMMIT}"
    assert unchanged(Disk(), found.markers)
    swap(refs, "../../shared/two")
    assert not unchanged(Disk(), found.markers)
    put(root / "web" / ".git" / "packed-refs", f"# packed\n{'b' * 40} refs/heads/x\n")
    assert inspect(Disk(), str(root), "web", None).release == f"git.1:{'b' * 40}"


@pytest.mark.parametrize("layout", ["git", "symlink"])
def test_marks_are_not_looked_for_behind_a_link(tmp_path: Path, layout: str) -> None:
    seen = world(tmp_path / "root")
    markers = inspect(Disk(), seen.root, layout, None).markers
    assert unchanged(Disk(), markers)
    app = tmp_path / "root" / layout
    app.rename(tmp_path / "moved")
    app.symlink_to(tmp_path / "moved")  # it would lead onto another share
    with pytest.raises(NotADirectoryError, match=f"{app}/"):
        unchanged(Disk(), markers)


@pytest.mark.parametrize("name", ["/etc/passwd", "../out", "/dev/null", "/proc/kmsg"])
def test_an_env_file_leads_only_to_where_the_run_would_follow_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "root").mkdir()
    put(tmp_path / "out", "A=1\n")
    (tmp_path / "conf").mkdir()
    path = tmp_path / "conf" / "env"
    path.symlink_to(name)
    seen = Driven(tmp_path / "root")
    seen.watch(str(path))
    seen.until(lambda: str(path) in seen.envs)
    assert seen.envs[str(path)].state == "broken"
    assert f"neither in {tmp_path}/conf nor in release_dirs" in seen.envs[str(path)].why


def test_an_env_file_may_lead_into_a_root(tmp_path: Path, root: Path) -> None:
    put(root / "web" / "env", "A=1\n")
    path = put(tmp_path / "conf" / "other").with_name("env")
    path.symlink_to(root / "web" / "env")
    seen = Driven(root)
    seen.watch(str(path))
    seen.until(lambda: str(path) in seen.envs)
    assert seen.envs[str(path)].state == "present"


def test_but_never_onto_another_share(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    put(tmp_path / "conf" / "other" / "env", "A=1\n")
    path = tmp_path / "conf" / "env"
    path.symlink_to("other/env")
    seen = Driven(tmp_path / "root")
    seen.faults.mountinfo = mounted(str(tmp_path)[1:], f"{tmp_path}/conf/other"[1:])
    seen.watch(str(path))
    seen.until(lambda: str(path) in seen.envs)
    assert seen.envs[str(path)].state == "broken"
    assert "leads to another share" in seen.envs[str(path)].why


# --- how much of it ------------------------------------------------------------------------------


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
