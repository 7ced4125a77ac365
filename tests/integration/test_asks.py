"""What people ask of a running agent: trigger, cancel, hold, resume, forget; and what vanishes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appagent.model.exit_codes import Refused
from tests.integration.node import Node, SymlinkApp, TreeApp, node, wait_until
from tests.integration.shown import MARKER, QUICK, Shown

FAILED, USAGE, LATER = 1, 64, 75
TARGETS = "build install start restart stop check"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A node that runs."""
    with node(tmp_path_factory.mktemp("asks"), **QUICK) as made:
        made.start()
        yield Shown(made)


def deployed(shown: Shown, name: str, makefile: str | None = None) -> SymlinkApp:
    """An app that is there."""
    app = SymlinkApp(shown.node, name)
    app.deploy("1", makefile)
    shown.ran(name, "install start check")
    return app


def refused(node: Node, do: str, **request: object) -> Refused:
    """Ask for something that is refused."""
    with pytest.raises(Refused) as found:
        node.ask(do, **request)
    return found.value


# --- trigger -------------------------------------------------------------------------------------


def test_a_target_that_is_asked_for_runs_with_what_follows_from_it(shown: Shown) -> None:
    node = shown.node
    app = SymlinkApp(node, "all")
    app.deploy("1", node.makefile(targets=TARGETS))
    shown.ran("all", "build install start check")
    for target, runs in {
        "build": "build install restart check",
        "install": "install restart check",
        "start": "start check",
        "restart": "restart check",
        "check": "check",
    }.items():
        done = node.command("trigger", "all", target, "--wait", "--timeout", "60s")
        assert done.returncode == 0, done.stderr
        calls = shown.ran("all", runs)
        assert {call.version for call in calls} == {"1"}
    assert node.command("trigger", "all", "--wait", "--timeout", "60s").returncode == 0
    shown.nothing("all")  # without a target: look, and do what is to be done


def test_a_trigger_ends_a_backoff(shown: Shown) -> None:
    node = shown.node
    flag = node.base / "fixed"
    body = f"\t@if [ $@ = install ]; then test -e {flag}; fi"
    node.apps["stuck"] = {"retry": {"first": "1h", "max": "1h"}}
    node.reload_well()
    app = SymlinkApp(node, "stuck")
    app.deploy("1", node.makefile(body))
    retrying = node.wait_for("stuck", "retrying")
    assert "make install failed" in retrying["why"]
    node.ask("trigger", app="stuck")
    wait_until(lambda: len(shown.new("stuck")) == 2, "it was tried again")
    node.wait_for("stuck", "retrying")
    flag.touch()
    node.ask("cancel", app="stuck")  # so does this
    shown.ran("stuck", "install install install start check")


def test_a_stop_lasts_over_releases_and_the_agent_until_a_start(shown: Shown) -> None:
    node = shown.node
    app = deployed(shown, "halted")
    node.ask("trigger", app="halted", target="stop")
    shown.ran("halted", "stop", "stopped")
    app.deploy("2")
    node.restart()
    node.wait_for("halted", "stopped")
    shown.nothing("halted")
    assert refused(node, "trigger", app="halted", target="restart").code == LATER
    assert refused(node, "trigger", app="halted").code == LATER
    node.ask("trigger", app="halted", target="start")
    assert shown.ran("halted", "install start check")[-1].version == "2"
    node.ask("trigger", app="halted", target="stop")
    shown.ran("halted", "stop", "stopped")
    node.ask("resume", app="halted")
    shown.ran("halted", "start check")


def test_what_cannot_be_asked_for_is_refused_in_words(shown: Shown) -> None:
    node = shown.node
    deployed(shown, "plain")
    assert refused(node, "trigger", app="nobody").code == USAGE
    assert refused(node, "trigger", app="plain", target="dance").code == USAGE
    assert refused(node, "cancel", app="plain").code == FAILED
    assert refused(node, "resume", app="plain").code == FAILED
    assert refused(node, "forget", app="plain").code == FAILED
    assert refused(node, "hold", app="plain", why=" ").code == USAGE
    shown.nothing("plain")


# --- cancel --------------------------------------------------------------------------------------


def test_an_install_that_runs_is_ended_and_a_restart_is_not(shown: Shown) -> None:
    node = shown.node
    flag = node.base / "go-on"
    body = f"\t@if [ $@ != start ]; then until test -e {flag}; do sleep 0.1; done; fi"
    app = SymlinkApp(node, "slow")
    app.deploy("1", node.makefile(body))
    wait_until(lambda: shown.new("slow"), "the install runs")
    node.ask("cancel", app="slow")
    shown.ran("slow", "install", "cancelled")
    assert node.history("slow")[0]["runs"][-1]["outcome"] == "cancelled"
    assert refused(node, "wait", apps=["slow"]).code == FAILED
    node.restart()
    left = node.wait_for("slow", "cancelled")
    assert "appagent trigger slow" in left["why"]
    assert left["cancelled"]["by"]
    shown.nothing("slow")
    flag.touch()
    node.ask("trigger", app="slow")
    shown.ran("slow", "install start check")
    flag.unlink()
    app.deploy("2", node.makefile(body.replace("$@ != start", "$@ = restart")))
    wait_until(lambda: len(shown.new("slow")) == 2, "the restart runs")
    assert refused(node, "cancel", app="slow").code == FAILED
    flag.touch()
    shown.ran("slow", "install restart check")


# --- hold ----------------------------------------------------------------------------------------


def test_a_hold_keeps_what_is_applied_until_it_is_resumed(shown: Shown) -> None:
    node = shown.node
    app, other = deployed(shown, "held"), deployed(shown, "free")
    node.ask("hold", app="held", why="the database is moved")
    app.deploy("2")
    other.deploy("2")
    node.set_env("held", "GREETING=hello\n")
    shown.ran("free", "install restart check")
    held = node.wait_for("held", "held")
    assert held["why"].startswith("the database is moved (by ")
    node.restart()
    node.wait_for("held", "held")
    shown.nothing("held")
    assert refused(node, "trigger", app="held", target="restart").code == LATER
    assert node.command("wait", "held", "--timeout", "10s").returncode == 0
    node.ask("resume", app="held")
    calls = shown.ran("held", "install restart check")
    assert (calls[-1].version, calls[-1].greeting) == ("2", "hello")


def test_a_hold_ends_by_itself(shown: Shown) -> None:
    node = shown.node
    app = deployed(shown, "brief")
    done = node.command("hold", "brief", "--why", "a moment", "--for", "2s")
    assert done.returncode == 0, done.stderr
    app.deploy("2")
    shown.ran("brief", "install restart check")
    assert len(node.notices("app.resumed", "brief")) == 1


def test_the_whole_node_can_be_held(shown: Shown) -> None:
    node = shown.node
    app = deployed(shown, "every")
    node.ask("hold", why="a holiday")
    app.deploy("2")
    fresh = SymlinkApp(node, "fresh")
    fresh.deploy("1")
    shown.nothing("every", "fresh")
    assert node.app("every")["state"] == "held"
    node.ask("resume")
    assert not node.app(MARKER)["hold"]  # it ends every hold
    shown.ran("every", "install restart check")
    shown.ran("fresh", "install start check")


# --- what is gone --------------------------------------------------------------------------------


def test_most_apps_gone_at_once_are_not_believed(tmp_path_factory: pytest.TempPathFactory) -> None:
    with node(tmp_path_factory.mktemp("vanish"), **QUICK) as made:
        shown = Shown(made)
        made.start()
        apps = {name: TreeApp(made, name) for name in ("one", "two", "three", "stays")}
        for app in apps.values():
            app.deploy("1")
        for name in apps:
            shown.ran(name, "install start check")
        shown.marker()
        away = made.base / "away"
        away.mkdir()
        gone = ("one", "two", "three")
        for name in gone:
            apps[name].path.rename(away / name)
        for name in gone:
            made.wait_for(name, "unknown")
        shown.nothing(*apps)
        for name in gone:
            assert f"appagent forget {name}" in made.app(name)["why"]
        made.restart()  # … by no agent
        for name in gone:
            made.wait_for(name, "unknown")
        shown.nothing(*apps)
        made.ask("forget", app="one")
        shown.ran("one", "stop", "removed")
        (away / "two").rename(apps["two"].path)
        made.wait_for("two", "ok")
        shown.nothing("two", "three", "stays")
        assert made.app("three")["state"] == "unknown"
        made.ask("forget", app="three")
        shown.ran("three", "stop", "removed")
        shown.nothing(*apps)


def test_an_app_that_comes_back_in_time_was_never_gone(shown: Shown) -> None:
    node = shown.node
    node.apps["back"] = {"gone_after": "1h"}
    node.reload_well()
    app = TreeApp(node, "back")
    app.deploy("1")
    shown.ran("back", "install start check")
    away = app.path.rename(node.base / "back.away")
    node.wait_for("back", "unknown")
    away.rename(app.path)
    node.wait_for("back", "ok")
    shown.nothing("back")
