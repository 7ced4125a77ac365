"""What is reported of trees, with both workers of a watcher turned by hand."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from appagent.model.seen import AppSeen
from appagent.model.words import Layout
from appagent.share import manifest
from appagent.share.watchlist import Also, AppSpec
from tests.share_disk import Faults
from tests.share_watcher import (
    Driven,
    GitApp,
    TreeApp,
    driven,
    put,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


def test_a_tree_is_told_with_the_paths_that_change_until_it_stands(root: Path) -> None:
    app = TreeApp(root / "web")
    app.deploy("one")
    seen = driven(root)
    seen.until(lambda: seen.settled("web"))
    before = seen.release("web")
    put(root / "web" / "lib" / "more")
    seen.until(lambda: seen.release("web") != before)
    assert seen.apps["web"].changing == ("lib/more",)
    assert not seen.settled("web")
    seen.until(lambda: seen.settled("web"))
    assert not seen.apps["web"].changing


def test_a_tree_that_lies_as_before_is_not_listed_for_that_again(root: Path) -> None:
    TreeApp(root / "tree").deploy("one")
    seen = driven(root)
    seen.until(lambda: seen.settled("tree"))
    before = seen.release("tree")
    # From the scan after the next on it is scanned without being listed.
    opened = seen.faults.opened.count
    scans = opened(f"{root}/tree")
    seen.until(lambda: opened(f"{root}/tree") >= scans + 2)
    seen.faults = Faults.at(("names",), f"{root}/", errno.EIO)
    TreeApp(root / "tree").deploy("two")
    seen.until(lambda: seen.release("tree") not in ("", before))


@pytest.mark.parametrize("name", [".deploying", "appagent.yaml"])
def test_what_tells_of_a_tree_is_seen_though_it_lay_as_before(root: Path, name: str) -> None:
    TreeApp(root / "tree").deploy("one")
    seen = driven(root)
    seen.until(lambda: seen.settled("tree"))
    seen.until_looked_again()
    put(root / "tree" / name, "settle: 1s\n")
    seen.until(lambda: bool(seen.apps["tree"].incomplete or seen.apps["tree"].settings))
    (root / "tree" / name).unlink()
    seen.until(lambda: not (seen.apps["tree"].incomplete or seen.apps["tree"].settings))


def test_a_tree_that_never_stands_is_never_settled(root: Path) -> None:
    TreeApp(root / "web").deploy("one")
    seen = driven(root, settle=0.3)
    number = 0

    def change() -> bool:
        nonlocal number
        number += 1
        put(root / "web" / "busy", str(number))
        return number > 150

    seen.until(change)
    looks = [one for one in seen.messages if isinstance(one, AppSeen)]
    assert len(looks) > 10
    assert not [one for one in looks if one.at - one.since >= 0.3]
    seen.until(lambda: seen.settled("web"))


def test_the_manifest_of_a_tree_that_stood_is_kept(root: Path, tmp_path: Path) -> None:
    TreeApp(root / "web").deploy("one")
    seen = Driven(root, defaults=AppSpec(settle=0.1))
    kept = tmp_path / "manifests"
    seen.watch(manifests=str(kept))
    seen.until(lambda: seen.settled("web"))
    entries = manifest.read(manifest.path_of(str(kept), "web", seen.release("web")))
    names = [name for name, _ in entries]
    assert names == [b"Makefile\t", b"lib\t", b"lib/code\t", b"lib/other\t"]


def test_a_manifest_that_cannot_be_kept_is_said_once(root: Path, tmp_path: Path) -> None:
    TreeApp(root / "web").deploy("one")
    seen = Driven(root, defaults=AppSpec(settle=0.1))
    seen.watch(manifests=str(put(tmp_path / "full")))
    seen.until(lambda: seen.settled("web"))
    seen.until_looked_again()
    assert len(seen.logs) == 1
    assert "cannot be kept" in seen.logs[0]


def test_the_id_under_other_ignore_lines_is_told_when_asked_for(root: Path) -> None:
    TreeApp(root / "web").deploy("one")
    seen = driven(root)
    seen.until(lambda: seen.settled("web"))
    old = seen.release("web")
    spec = AppSpec(settle=0.1, ignore=("*.tmp",), also=Also("tree.1", ()))
    seen.spec = replace(seen.spec, apps={"web": spec})
    seen.watch()
    seen.until(lambda: seen.release("web") != old and seen.settled("web"))
    assert seen.apps["web"].also == old
    seen.spec = replace(seen.spec, apps={"web": replace(spec, also=None)})
    seen.watch()
    seen.until(lambda: seen.apps["web"].also == "")


def test_also_the_id_of_another_layout(root: Path) -> None:
    app = GitApp(root / "web")
    app.deploy("one")
    seen = driven(root)
    seen.until(lambda: seen.settled("web"))
    old = seen.release("web")
    also = Also("git.1")
    seen.spec = replace(seen.spec, apps={"web": AppSpec(Layout.TREE, 0.1, (), also)})
    seen.watch()
    seen.until(lambda: seen.release("web").startswith("tree.1:") and seen.settled("web"))
    assert seen.apps["web"].also == old
