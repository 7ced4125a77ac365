"""A disk that cannot be written stops nothing, and nothing is lost by it."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from appagent.model.notices import Level
from appagent.report import messages

if TYPE_CHECKING:
    from pathlib import Path
from tests.stores import API, WEB, Disk, kinds, opened


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_failing_disk_is_said_once_and_so_is_its_healing(state: Path, number: int) -> None:
    disk = Disk()
    with opened(state, disk) as store:
        store.load()
        disk.number = number
        notices = store.save(WEB)
        assert kinds(notices) == ["store.failed"]
        assert messages.level(notices[0]) == Level.ERROR
        assert os.strerror(number) in messages.text(notices[0])
        newer = replace(WEB, stopped=True)
        assert store.save(newer) == []
        assert store.save(API) == []
        assert store.save_roots(frozenset({"/files"})) == []
        assert store.flush() == []
        assert list(store.unwritten) == [
            "apps/api/record.json",
            "apps/web/record.json",
            "node.json",
        ]
        disk.number = 0
        assert kinds(store.flush()) == ["store.works"]
        assert list(store.unwritten) == []
        assert store.flush() == []
    with opened(state) as store:
        loaded = store.load()
    assert loaded.records == {"web": newer, "api": API}
    assert loaded.mounted == {"/files"}


def test_it_is_tried_again_with_the_next_save_of_any_app(state: Path) -> None:
    disk = Disk()
    with opened(state, disk) as store:
        store.load()
        disk.number = errno.ENOSPC
        store.save(WEB)
        disk.number = 0
        assert kinds(store.save(API)) == ["store.works"]
    with opened(state) as store:
        assert store.load().records == {"web": WEB, "api": API}


def test_trouble_with_one_app_leaves_the_others_alone(state: Path) -> None:
    disk = Disk()
    disk.only = "/web/"
    with opened(state, disk) as store:
        store.load()
        disk.number = errno.EIO
        assert kinds(store.save(WEB)) == ["store.failed"]
        assert store.save(API) == []
        assert list(store.unwritten) == ["apps/web/record.json"]


def test_another_kind_of_trouble_is_said_too(state: Path) -> None:
    disk = Disk()
    with opened(state, disk) as store:
        store.load()
        disk.number = errno.ENOSPC
        assert kinds(store.save(WEB)) == ["store.failed"]
        disk.number = errno.EROFS
        assert kinds(store.save(WEB)) == ["store.failed"]
        disk.number = errno.ENOSPC
        assert store.save(WEB) == []


def test_an_app_dropped_on_a_failing_disk_is_gone_later(state: Path) -> None:
    disk = Disk()
    with opened(state, disk) as store:
        store.load()
        disk.number = errno.ENOSPC
        store.save(WEB)
        assert kinds(store.drop("web")) == ["store.works"]
    with opened(state) as store:
        assert store.load().records == {}


def test_a_secret_that_cannot_be_written_is_used_and_written_later(state: Path) -> None:
    disk = Disk()
    disk.number = errno.ENOSPC
    with opened(state, disk) as store:
        loaded = store.load()
        assert kinds(loaded.notices) == ["store.failed"]
        disk.number = 0
    with opened(state) as store:
        assert store.load().secret == loaded.secret


def test_a_record_too_large_to_be_read_again_is_not_written(state: Path) -> None:
    with opened(state) as store:
        store.load()
        store.save(WEB)
        huge = replace(WEB, ended="x" * 5_000_000)
        assert kinds(store.save(huge)) == ["store.failed"]
        assert kinds(store.save(WEB)) == ["store.works"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tiny tmpfs needs root")
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(place)], check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with opened(place / "state") as store:
            store.load()
            store.save(WEB)
            ballast = place / "ballast"
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
            newer = replace(WEB, stopped=True)
            assert kinds(store.save(newer)) == ["store.failed"]
            assert not list(store.path.rglob("*.new"))
            ballast.unlink()
            assert kinds(store.flush()) == ["store.works"]
        with opened(place / "state") as store:
            assert store.load().records == {"web": newer}
    finally:
        subprocess.run(["umount", str(place)], check=True)
