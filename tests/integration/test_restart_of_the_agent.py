"""Restarting or upgrading the agent runs nothing; what was lost or rebooted it makes good."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.node import (
    Node,
    SymlinkApp,
    TreeApp,
    node,
    write_files,
)
from tests.integration.shown import QUICK, Shown, deploy_all, record

NEWER = [sys.executable, str(Path(__file__).with_name("newer_agent.py"))]
TREES = ("own", "tree")


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Shown]:
    """A node that runs."""
    with node(tmp_path, **QUICK) as made:
        made.start()
        yield Shown(made)


def picture(node: Node) -> dict[str, Any]:
    """What is applied and why nothing is to be done, of each app."""
    apps = {app["app"]: app for app in node.status()["apps"] if not app["app"].startswith("zz")}
    keys = ("state", "applied", "last_good", "plan", "failures", "stopped", "layout")
    return {name: {key: app[key] for key in keys} for name, app in apps.items()}


# --- nothing has changed -------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stop", "crash"])
def test_a_restart_with_nothing_changed_runs_nothing(shown: Shown, number: int) -> None:
    node = shown.node
    apps = deploy_all(shown)
    failing, stopped, held = (SymlinkApp(node, name) for name in ("failing", "stopped", "held"))
    node.apps["failing"] = {"on_failure": "leave"}
    node.reload_well()
    for app in (failing, stopped, held):
        app.deploy("1")
        shown.ran(app.name, "install start check")
    failing.deploy("2", node.makefile("\t@test $@ != restart"))
    shown.ran("failing", "install restart", "failed")
    node.ask("trigger", app="stopped", target="stop")
    shown.ran("stopped", "stop", "stopped")
    node.ask("hold", app="held", why="a test", seconds=3600.0)
    held.deploy("2")
    node.wait_for("held", "held")
    names = (*apps, "failing", "stopped", "held")
    shown.nothing(*names)
    before, told = picture(node), len(node.notices())

    node.stop(number)
    node.start()
    shown.nothing(*names)
    assert picture(node) == before
    since = [notice for notice in node.notices()[told:] if notice.get("app") in names]
    assert [notice for notice in since if notice["kind"].startswith(("deploy.", "run."))] == []


def test_an_upgrade_that_names_trees_otherwise_runs_nothing(shown: Shown) -> None:
    node = shown.node
    apps = deploy_all(shown)
    assert node.stop() == 0
    program, node.program = node.program, NEWER
    node.start()
    shown.nothing(*apps)
    assert sorted(notice["app"] for notice in node.notices("app.rerecorded")) == [*TREES]
    for name in TREES:
        assert node.app(name)["applied"]["installed"].startswith("tree.2:")
        assert node.app(name)["state"] == "ok"
    node.restart()  # under the new kind of id there is nothing left to be re-recorded
    shown.nothing(*apps)
    assert len(node.notices("app.rerecorded")) == len(TREES)
    write_files(apps["tree"].path, {"version": "2"})
    assert shown.ran("tree", "install restart check")[-1].version == "2"

    # The way back: an id of a kind that nobody can make any more says nothing.
    assert node.stop() == 0
    node.program = program
    node.start()
    for name in TREES:
        shown.ran(name, "install restart check")
    shown.nothing(*apps)


def test_what_changes_during_an_upgrade_is_deployed(shown: Shown) -> None:
    node = shown.node
    apps = deploy_all(shown)
    assert node.stop() == 0
    write_files(apps["own"].path, {"version": "2"})
    node.program = NEWER
    node.start()
    assert shown.ran("own", "install restart check")[-1].version == "2"
    shown.nothing(*apps)
    assert [notice["app"] for notice in node.notices("app.rerecorded")] == ["tree"]


@pytest.mark.parametrize("how", ["restart", "reload"])
def test_other_ignore_lines_are_no_deploy(shown: Shown, how: str) -> None:
    node = shown.node
    apps = deploy_all(shown)
    node.defaults["ignore"] = ["*.tmp"]
    node.apps["own"] = {"ignore": ["*.out", "*.tmp"]}
    if how == "restart":
        assert node.stop() == 0
        node.write_config()
        node.start()
    else:
        node.reload_well()
    shown.nothing(*apps)
    assert sorted(notice["app"] for notice in node.notices("app.rerecorded")) == [*TREES]
    for name in TREES:
        write_files(apps[name].path, {"new.tmp": "ignored"})
    shown.nothing(*apps)
    write_files(apps["tree"].path, {"new.txt": "not ignored"})
    shown.ran("tree", "install restart check")
    shown.nothing(*apps)


# --- what was remembered is lost -----------------------------------------------------------------


def deleted(node: Node) -> None:
    """The record alone is gone."""
    record(node, "lost").unlink()


def damaged(node: Node) -> None:
    """The record is half written."""
    record(node, "lost").write_text(record(node, "lost").read_text()[:100])


def newer(node: Node) -> None:
    """The record is one of an agent to come."""
    body = json.loads(record(node, "lost").read_text())
    record(node, "lost").write_text(json.dumps({**body, "format": 2}))


def everything(node: Node) -> None:
    """All that is kept is gone; what the boot keeps is not."""
    shutil.rmtree(node.state)


@pytest.mark.parametrize("lose", [deleted, damaged, newer, everything])
@pytest.mark.parametrize("kind", [SymlinkApp, TreeApp])
def test_an_app_whose_record_is_lost_is_installed_and_restarted(
    shown: Shown, kind: type[TreeApp], lose: Callable[[Node], None]
) -> None:
    node = shown.node
    app, other = kind(node, "lost"), TreeApp(node, "other")
    for one in (app, other):
        one.deploy("1")
        shown.ran(one.name, "install start check")
    assert node.stop() == 0
    lose(node)
    node.start()
    shown.ran("lost", "install restart check")
    if lose is everything:
        shown.ran("other", "install restart check")
    if lose in (damaged, newer):
        told = node.notices(f"store.{lose.__name__}")
        assert [(notice["app"], notice["level"]) for notice in told] == [("lost", "warning")]
        assert "record.json" in told[0]["text"]
        aside = record(node, "lost").with_name(f"record.json.{lose.__name__}")
        assert told[0]["aside"] == str(aside)
        assert aside.exists()
    node.restart()  # that was all
    shown.nothing("lost", "other")
    assert len(node.notices("store.")) == (1 if lose in (damaged, newer) else 0)
    app.remove()
    shown.ran("lost", "stop", "removed")


def test_a_lost_secret_restarts_and_does_not_install(shown: Shown) -> None:
    node = shown.node
    app = SymlinkApp(node, "web")
    node.set_env("web", "GREETING=hello\n")
    app.deploy("1")
    shown.ran("web", "install start check")
    assert node.stop() == 0
    (node.state / "secret").unlink()
    node.start()
    shown.ran("web", "restart check")
    assert len(node.notices("store.secret")) == 1
    node.restart()
    shown.nothing("web")


# --- a full disk ---------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A filesystem with room for next to nothing."""
    place.mkdir(mode=0o700)
    options = "size=2m,mode=0700"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=False)
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def remember_on(disk: Path, made: Node) -> None:
    """Have a node keep its state there; but for the history, which gives room back at times."""
    made.state = disk / "state"
    made.settings["state_dir"] = str(made.state)
    made.write_config()
    made.state.mkdir(mode=0o700)
    (made.state / "history.sqlite").symlink_to(made.base / "history.sqlite")


def fill(place: Path) -> Path:
    """Fill a filesystem to its last byte; the file that does."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    return ballast


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_full_disk_is_said_once_and_deploys_go_on_from_memory(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk, node(tmp_path / "node", **QUICK) as made:
        remember_on(disk, made)
        made.start()
        shown = Shown(made)
        app, other = SymlinkApp(made, "web"), TreeApp(made, "other")
        for one in (app, other):
            one.deploy("1")
            shown.ran(one.name, "install start check")

        made.restart()  # what its runs have left is removed now, and makes no room later on
        ballast = fill(disk)
        for version in ("2", "3"):
            app.deploy(version, made.makefile("\t@echo what make says has no place either"))
            assert shown.ran("web", "install restart check")[-1].version == version
        other.deploy("2")
        shown.ran("other", "install restart check")
        shown.nothing("web", "other")
        assert [notice["level"] for notice in made.notices("store.failed")] == ["error"]
        assert "keeping it in memory" in made.notices("store.failed")[0]["text"]
        assert "apps/web/record.json" in made.status()["unwritten"]
        assert made.notices("store.works") == []

        ballast.unlink()
        app.deploy("4")
        assert shown.ran("web", "install restart check")[-1].version == "4"
        assert len(made.notices("store.works")) == 1
        assert made.status()["unwritten"] == []
        made.restart()  # all of it was kept
        shown.nothing("web", "other")
        assert [len(made.notices(kind)) for kind in ("store.failed", "store.works")] == [1, 1]
        assert made.stop() == 0
