"""Env files as the watcher sees them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from appagent.core import envfile
from appagent.share import env_files
from appagent.share.mount_guard import MountGuard
from tests.share_disk import AWAY, LOCAL_ROOT, Fault, FaultyDisk, mounted
from tests.share_watcher import Driven, put


@pytest.fixture
def seen(tmp_path: Path) -> Driven:
    (tmp_path / "root").mkdir()
    return Driven(tmp_path / "root")


def state(seen: Driven, path: Path) -> str:
    look = seen.envs.get(str(path))
    return look.state if look else ""


def until_unknown(seen: Driven, paths: list[Path]) -> None:
    seen.until(lambda: {state(seen, path) for path in paths} == {"unknown"})


def test_its_digest_is_that_of_its_values(seen: Driven, tmp_path: Path) -> None:
    path = put(tmp_path / "env", "A=1\n# secret comment\nB='two'\n")
    seen.watch(str(path))
    seen.until(lambda: state(seen, path) == "present")
    wanted = envfile.digest(b"secret", [("B", "two"), ("A", "1")])
    assert seen.envs[str(path)].digest == wanted
    path.write_text("B=two\nA=1\n")
    seen.until_looked_again()
    assert seen.envs[str(path)].digest == wanted
    path.write_text("B=two\nA=2\n")
    seen.until(lambda: seen.envs[str(path)].digest != wanted)


def test_one_that_is_missing_comes_and_goes(seen: Driven, tmp_path: Path) -> None:
    path = tmp_path / "conf" / "deep" / "env"
    seen.watch(str(path))
    seen.until(lambda: state(seen, path) == "missing")
    put(path, "A=1\n")
    seen.until(lambda: state(seen, path) == "present")
    path.unlink()
    seen.until(lambda: state(seen, path) == "missing")


def test_a_broken_line_is_told_with_its_place(seen: Driven, tmp_path: Path) -> None:
    path = put(tmp_path / "env", "A=1\nnonsense\n")
    seen.watch(str(path))
    seen.until(lambda: state(seen, path) == "broken")
    assert seen.envs[str(path)].why.startswith(f"{path}:2: ")


def test_what_is_no_file_is_broken(seen: Driven, tmp_path: Path) -> None:
    fifo, large, directory = tmp_path / "fifo", tmp_path / "large", tmp_path / "directory"
    os.mkfifo(fifo)
    large.write_bytes(b"#" * (envfile.MAX_BYTES + 1))
    directory.mkdir()
    seen.watch(str(fifo), str(large), str(directory))
    seen.until(lambda: len(seen.envs) == 3)
    assert {look.state for look in seen.envs.values()} == {"broken"}


def test_a_link_is_followed_and_what_it_leads_to_is_read_again(
    seen: Driven, tmp_path: Path
) -> None:
    target = put(tmp_path / "target", "A=1\n")
    path = tmp_path / "env"
    path.symlink_to("target")
    seen.watch(str(path))
    seen.until(lambda: state(seen, path) == "present")
    first = seen.envs[str(path)].digest
    target.write_text("A=2\n")
    seen.until(lambda: seen.envs[str(path)].digest != first)
    target.unlink()
    seen.until(lambda: state(seen, path) == "unknown")  # listed, and yet not there: who knows


def test_a_read_counts_when_the_next_one_is_alike(seen: Driven, tmp_path: Path) -> None:
    path = put(tmp_path / "env", "A=1\n")
    it = env_files.EnvFile(str(path))
    owner = env_files.EnvFiles(MountGuard(FaultyDisk(lambda: seen.faults), seen.work), seen.work)

    def read() -> str:
        state, _ = it.poll(owner, 0.0)
        return state.state if state else ""

    assert (read(), read(), read()) == ("", "present", "")
    path.write_text("A=half")
    assert read() == ""
    path.write_text("A=half and more\n")
    assert (read(), read()) == ("", "present")


def test_only_what_may_have_changed_is_looked_at(seen: Driven, tmp_path: Path) -> None:
    path, missing = put(tmp_path / "conf" / "env", "A=1\n"), tmp_path / "conf" / "missing"
    seen.watch(str(path), str(missing))
    seen.until(lambda: (state(seen, path), state(seen, missing)) == ("present", "missing"))
    owner = seen.poller.env_files
    files = owner.dirs[str(tmp_path / "conf")]

    def doubtful() -> list[str]:
        return sorted(Path(env.path).name for env in files.doubtful(owner))

    doubtful()
    assert doubtful() == []
    path.write_text("A=2 and more\n")
    assert doubtful() == ["env"]
    put(missing, "A=1\n")
    assert doubtful() == ["env", "missing"]
    missing.unlink()
    seen.faults.mountinfo = mounted(str(tmp_path)[1:])
    assert doubtful() == ["env", "missing"]  # it was mounted just now
    assert doubtful() == ["env"]  # a status is not enough on a share
    seen.faults.faults = [Fault("names", f"{tmp_path}*", errno.EIO)]
    assert doubtful() == ["env", "missing"]


@pytest.mark.parametrize("error", AWAY, ids=errno.errorcode.get)
def test_an_error_is_unknown_and_heals_with_the_same_digest(
    seen: Driven, tmp_path: Path, error: int
) -> None:
    path = put(tmp_path / "conf" / "env", "A=1\n")
    missing = tmp_path / "conf" / "missing"
    seen.faults.mountinfo = mounted(str(tmp_path)[1:])  # a share: a status is not enough there
    seen.watch(str(path), str(missing))
    seen.until(lambda: (state(seen, path), state(seen, missing)) == ("present", "missing"))
    digest = seen.envs[str(path)].digest
    for calls in (("read",), ("names",), ("read", "names", "status")):
        seen.faults.faults = [Fault(call, f"{tmp_path}/conf*", error) for call in calls]
        hit = [path, missing] if "read" in calls else [missing]
        until_unknown(seen, hit)
        seen.faults.faults = []
        seen.until(lambda: (state(seen, path), state(seen, missing)) == ("present", "missing"))
        assert seen.envs[str(path)].digest == digest


def test_it_is_not_missing_because_its_share_is_not_mounted(seen: Driven, tmp_path: Path) -> None:
    path = put(tmp_path / "env", "A=1\n")
    seen.faults.mountinfo = mounted(str(tmp_path)[1:])
    seen.watch(str(path))
    seen.until(lambda: state(seen, path) == "present")
    seen.faults.mountinfo = LOCAL_ROOT
    path.unlink()
    seen.until(lambda: state(seen, path) == "unknown")
    put(path, "A=1\n")
    seen.faults.mountinfo = mounted(str(tmp_path)[1:])
    seen.until(lambda: state(seen, path) == "present")


def test_nor_while_a_root_beside_it_waits_for_its_mount(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    seen = Driven(tmp_path / "root", must_mount=True)
    seen.faults.mountinfo = LOCAL_ROOT
    path = tmp_path / "env"
    seen.watch(str(path))
    seen.until(lambda: state(seen, path) == "unknown")
    assert "is not mounted" in seen.envs[str(path)].why
