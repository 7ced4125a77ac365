"""A machine that went down: what ran is started, whatever the boot before has left."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appagent.shim import kill
from tests.integration.node import SymlinkApp, node, wait_until
from tests.integration.shown import QUICK, Shown, deploy_all, edit, record


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Shown]:
    """A node that runs."""
    with node(tmp_path, **QUICK) as made:
        made.start()
        yield Shown(made)


def rebooted(body: dict[str, Any]) -> None:
    """Make a record one of another boot."""
    body["applied"]["up"] = body["applied"]["may_run"] = "another-boot.1"
    if body["run"] is not None and body["run"]["identity"] is not None:
        body["run"]["identity"]["boot"] = "another-boot.1"


def test_after_a_reboot_apps_are_started_and_not_installed(shown: Shown) -> None:
    node = shown.node
    apps = deploy_all(shown)
    stopped, held = SymlinkApp(node, "stopped"), SymlinkApp(node, "held")
    for app in (stopped, held):
        app.deploy("1")
        shown.ran(app.name, "install start check")
    node.ask("trigger", app="stopped", target="stop")
    shown.ran("stopped", "stop", "stopped")
    node.ask("hold", app="held", why="a test", seconds=3600.0)
    held.deploy("2")
    node.wait_for("held", "held")
    assert node.stop() == 0
    for name in (*apps, "held"):
        edit(node, name, rebooted)
    node.start()
    for name in apps:
        shown.ran(name, "start check")
    assert [call.version for call in shown.ran("held", "start", "held")] == ["1"]
    shown.nothing(*apps, "held", "stopped")
    assert node.app("stopped")["state"] == "stopped"


@pytest.mark.parametrize(
    ("target", "then"), [("install", "install start check"), ("restart", "start check")]
)
def test_what_a_reboot_cut_short_is_done_again(shown: Shown, target: str, then: str) -> None:
    node = shown.node
    app = SymlinkApp(node, "cut")
    app.deploy("1")
    shown.ran("cut", "install start check")
    gate = node.base / "gate"
    wait = f"until test -e {gate}; do sleep 0.1; done"
    app.deploy("2", node.makefile(f"\t@if [ $@ = {target} ]; then {wait}; fi"))
    wait_until(lambda: shown.new("cut") and shown.new("cut")[-1].target == target, "it has begun")
    shim = node.app("cut")["run"]["pid"]
    node.kill()
    for pid in (shim, *kill.below(shim)):
        with contextlib.suppress(ProcessLookupError):  # a sleep of the recipe's has just ended
            os.kill(pid, signal.SIGKILL)
    shown.take("cut")
    edit(node, "cut", rebooted)
    gate.touch()
    node.start()
    shown.ran("cut", then)
    runs = [run for deploy in node.history("cut") for run in deploy["runs"]]
    assert [run["target"] for run in runs if run["outcome"] == "lost"] == [target]
    shown.nothing("cut")


def test_what_was_restarted_just_before_a_reboot_is_started_after_it(shown: Shown) -> None:
    node = shown.node
    app = SymlinkApp(node, "web")
    app.deploy("1")
    shown.ran("web", "install start check")
    gate = node.base / "gate"
    wait = f"until test -e {gate}; do sleep 0.1; done"
    app.deploy("2", node.makefile(f"\t@if [ $@ = restart ]; then {wait}; fi"))
    wait_until(
        lambda: shown.new("web") and shown.new("web")[-1].target == "restart", "it has begun"
    )
    node.kill()
    gate.touch()
    wait_until(lambda: list((node.state / "runs").glob("*.json")), "its result is on the disk")
    shown.take("web")
    edit(node, "web", rebooted)
    node.start()
    shown.ran("web", "start check")
    shown.nothing("web")


def test_an_app_whose_record_is_damaged_is_started_after_a_reboot(shown: Shown) -> None:
    node = shown.node
    app = SymlinkApp(node, "web")
    app.deploy("1", node.makefile("\t@test $@ != restart"))
    shown.ran("web", "install start check")
    node.kill()
    file = record(node, "web")
    file.write_text(file.read_text()[:100])
    shutil.rmtree(node.runtime)  # no mark of this boot is left
    node.start()
    shown.ran("web", "install start check")
    shown.nothing("web")
