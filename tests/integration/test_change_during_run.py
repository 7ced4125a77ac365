"""A change that comes while a target runs is neither lost nor done twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appagent.host import proc
from tests.integration.node import APPS, Node, SymlinkApp, TreeApp, node, wait_until
from tests.integration.shown import QUICK, Shown

MANY = 50


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A node that runs."""
    with node(tmp_path_factory.mktemp("during"), **QUICK) as made:
        made.start()
        yield Shown(made)


def gated(node: Node, target: str, gate: Path) -> str:
    """A Makefile of which one target takes until a gate is open."""
    return node.makefile(
        f"\t@if [ $@ = {target} ]; then until test -e {gate}; do sleep 0.1; done; fi"
    )


def did(shown: Shown, name: str) -> list[tuple[str, str]]:
    """What was taken to its end of an app: target and version, but for the checks."""
    calls = shown.node.calls(name, "end")
    return [(call.target, call.version) for call in calls if call.target != "check"]


@pytest.mark.parametrize("changes", [1, MANY])
@pytest.mark.parametrize("layout", APPS)
def test_changes_during_a_long_restart_make_one_more_deploy(
    shown: Shown, layout: str, changes: int
) -> None:
    node = shown.node
    name = f"{layout}-{changes}"
    gate = node.base / f"gate-{name}"
    makefile = gated(node, "restart", gate)
    app = APPS[layout](node, name)
    app.deploy("1", makefile)
    shown.ran(name, "install start check")
    app.deploy("2", makefile)
    wait_until(lambda: node.targets(name)[-1] == "restart", "the restart has begun")
    newest = str(2 + changes)
    for version in range(3, 3 + changes):
        app.deploy(str(version), makefile)
    shown.marker()
    assert node.app(name)["run"]["target"] == "restart"  # it is let be
    gate.touch()

    wait_until(lambda: did(shown, name)[-1] == ("restart", newest), "the newest is there")
    node.wait_for(name, "ok")
    shown.nothing()
    assert did(shown, name) == [
        ("install", "1"),
        ("start", "1"),
        ("install", "2"),
        # The files of a tree and of a work tree are other ones by now; a release keeps its own.
        ("restart", "2" if layout == "symlink" else newest),
        ("install", newest),
        ("restart", newest),
    ]
    applied = node.app(name)["applied"]
    assert applied["healthy"]["release"] == node.app(name)["seen"]["release"]
    assert node.calls(name)[-1].target == "check"


def test_an_environment_that_changes_during_a_restart_makes_one_more(shown: Shown) -> None:
    node = shown.node
    gate = node.base / "gate-env"
    app = TreeApp(node, "env")
    app.deploy("1", gated(node, "restart", gate))
    shown.ran("env", "install start check")
    node.set_env("env", "GREETING=1\n")
    wait_until(lambda: node.targets("env")[-1] == "restart", "the restart has begun")
    for number in range(2, 10):
        node.set_env("env", f"GREETING={number}\n")
    shown.marker()
    gate.touch()
    wait_until(lambda: shown.new("env")[-1].greeting == "9", "the newest is there")
    node.wait_for("env", "ok")
    shown.marker()
    restarts = [call.greeting for call in shown.new("env") if call.target == "restart"]
    assert restarts == ["1", "9"]


@pytest.mark.parametrize("target", ["build", "install"])
@pytest.mark.parametrize("layout", APPS)
def test_a_newer_release_ends_what_hangs(shown: Shown, layout: str, target: str) -> None:
    node = shown.node
    name = f"{layout}-{target}"
    app = APPS[layout](node, name)
    app.deploy("1")
    shown.ran(name, "install start check")
    pid = node.base / f"{name}.hangs"
    forever = f"trap '' TERM; echo $$$$ >{pid}; while :; do sleep 1; done"
    hang = f"\t@if [ $@ = {target} ]; then {forever}; fi"
    targets = {"install", "start", "restart", "stop", "check", target}
    app.deploy("2", node.makefile(hang, " ".join(sorted(targets))))
    wait_until(lambda: pid.exists() and pid.read_text().strip(), f"the {target} hangs")
    hanging = int(pid.read_text())
    app.deploy("3")
    wait_until(lambda: ("restart", "3") in did(shown, name), "the newer one is there")
    node.wait_for(name, "ok")
    found = proc.process(hanging)  # what has ended may wait for PID 1 to take note of it
    assert found is None or not found.alive
    assert did(shown, name)[2:] == [("install", "3"), ("restart", "3")]
    shown.take(name)
    shown.nothing(name)
    deploys = node.history(name)
    assert [deploy["outcome"] for deploy in deploys] == ["done", "superseded", "done"]
    assert deploys[1]["runs"][-1]["outcome"] == "cancelled"


def test_a_release_that_is_taken_back_during_its_install_ends_it(shown: Shown) -> None:
    node = shown.node
    app = SymlinkApp(node, "back")
    app.deploy("1")
    shown.ran("back", "install start check")
    app.deploy("2", gated(node, "install", node.base / "never"))
    wait_until(lambda: len(shown.new("back")) == 1, "the install has begun")
    app.revert("1")
    shown.ran("back", "install install restart check")
    assert did(shown, "back")[-2:] == [("install", "1"), ("restart", "1")]
    shown.nothing("back")


def test_an_app_that_leaves_during_its_install_is_stopped(shown: Shown) -> None:
    node = shown.node
    app = TreeApp(node, "leaves")
    app.deploy("1")
    shown.ran("leaves", "install start check")
    app.deploy("2", gated(node, "install", node.base / "never"))
    wait_until(lambda: len(shown.new("leaves")) == 1, "the install has begun")
    app.remove()
    shown.ran("leaves", "install stop", "removed")
    shown.nothing("leaves")
