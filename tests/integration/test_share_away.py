"""A share that is not there: empty, half empty, not mounted, another one. Nothing stops for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.node import (
    Node,
    SymlinkApp,
    node,
    wait_until,
)
from tests.integration.share_node import (
    ShareNode,
    share_node,
    small_apps,
)
from tests.integration.shown import QUICK

UNSHARE = ["unshare", "--mount", "--propagation", "private"]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[ShareNode]:
    with share_node(tmp_path) as one:
        yield one


def test_an_empty_root_is_no_reason_to_stop_anything(made: ShareNode) -> None:
    small_apps(made, ("one",))
    made.fails("names", str(made.root), empty=True)
    wait_until(
        lambda: "is empty: is the share mounted" in made.app("git-one-")["why"],
        "the empty root is seen",
    )
    made.others_go_on()  # takes far longer than `gone_after`
    assert set(made.states().values()) == {"unknown"}
    assert "is empty" in made.command("status").stdout
    made.heals()
    made.wait_well()
    made.others_go_on()
    assert made.share_calls() == []


def test_a_share_that_lost_most_of_its_apps_stops_none_of_them(made: ShareNode) -> None:
    small_apps(made, ("one",))
    away = made.base / "away"
    away.mkdir()
    for name in ("git-one-", "tree-one-"):
        (made.root / name).rename(away / name)
    wait_until(
        lambda: "more than half of the apps" in made.app("git-one-")["why"],
        "the apps are missed",
    )
    made.others_go_on()
    for name in ("git-one-", "tree-one-"):
        (away / name).rename(made.root / name)
    made.wait_well()
    made.others_go_on()
    assert made.share_calls() == []


def unmounted(made: ShareNode) -> None:
    """The share is not mounted, and the directory below is an ordinary empty one."""
    made.say(mounts=[], faults=[{"call": "names", "path": str(made.root), "empty": True}])


def another_disk(made: ShareNode) -> None:
    """Something else is mounted where the share should be."""
    made.mounted(9, "ext4")
    made.fails("names", str(made.root), empty=True)


def only_an_automounter(made: ShareNode) -> None:
    """The automounter stands there and mounts nothing."""
    made.mounted(9, "autofs")
    made.fails("names", str(made.root), empty=True)


def test_a_share_that_is_not_mounted_is_unknown_also_to_the_next_agent(made: ShareNode) -> None:
    small_apps(made, ("one",))
    for number, away in enumerate((unmounted, another_disk, only_an_automounter), 2):
        away(made)
        made.wait_unknown("mounted")
        made.kill()
        made.start()
        made.wait_unknown("mounted")
        made.others_go_on()
        assert set(made.states().values()) == {"unknown"}, away
        made.heals()
        made.mounted(number)
        made.wait_well()
        assert made.share_calls() == [], away
    made.others_go_on()
    assert made.share_calls() == []


def in_namespace(made: Node, *command: str) -> None:
    """Run a command where the agent's mounts are."""
    assert made.process is not None
    subprocess.run(["nsenter", "-t", str(made.process.pid), "-m", *command], check=True)


def root_of(made: Node) -> dict[str, Any]:
    """What `status` says of the one root."""
    found: dict[str, Any] = made.status()["roots"][0]
    return found


@pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run([*UNSHARE, "true"], check=False).returncode != 0,
    reason="only root can mount",
)
def test_a_disk_that_is_really_unmounted_is_unknown_until_it_is_mounted(tmp_path: Path) -> None:
    with node(tmp_path, mount="required", **QUICK) as made:
        made.defaults["gone_after"] = "200ms"
        made.write_config()
        disk = tmp_path / "disk"
        disk.mkdir()
        made.program = [*UNSHARE, *made.program]
        made.start()
        wait_until(lambda: "is not mounted" in root_of(made)["why"], "the root is unknown")
        (tmp_path / "root" / "below").mkdir()  # what is there is not what should be
        made.root = disk
        app = SymlinkApp(made, "web")
        app.deploy("1")
        for _ in range(2):
            in_namespace(made, "mount", "--bind", str(disk), str(tmp_path / "root"))
            made.wait_for("web", "ok")
            in_namespace(made, "umount", "--lazy", str(tmp_path / "root"))
            state = made.wait_for("web", "unknown")
            assert "is not mounted" in state["why"]
        assert made.targets() == ["install", "start", "check"]
        app.deploy("2")
        in_namespace(made, "mount", "--bind", str(disk), str(tmp_path / "root"))
        wait_until(lambda: made.targets()[3:] == ["install", "restart", "check"], "2 is deployed")
        made.wait_for("web", "ok")
