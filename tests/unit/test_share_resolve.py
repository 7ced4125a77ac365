"""Where a path of a deployer's may lead: what is no file is never opened, no link leads away."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appagent.share.disk import Disk
from appagent.share.layouts import inspect
from appagent.share.markers import NotDeployable, unchanged
from tests.share_disk import mounted
from tests.share_watcher import Driven, put, swap, world
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
