"""A share whose calls never return: nothing waits for it, and all is well once they do."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.node import (
    PATIENCE,
    SymlinkApp,
    wait_until,
)
from tests.integration.share_node import (
    ShareNode,
    ask_for_looks,
    share_node,
    small_apps,
)
from tests.share_disk import CALLS

EVERY_CALL = (*CALLS, "close")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[ShareNode]:
    with share_node(tmp_path) as one:
        yield one


def test_a_call_that_never_returns_stops_nothing_and_status_answers(made: ShareNode) -> None:
    small_apps(made, ("one",))
    for call in EVERY_CALL:
        made.fails(call, f"{made.root}/*", hang=True)
        ask_for_looks(made, list(made.states()))
        made.wait_unknown("does not answer", call)
        assert set(made.states().values()) == {"unknown"}, call
        made.others_go_on()
        made.heals()
        made.wait_well()
        assert made.share_calls() == [], call
    made.others_go_on()
    assert made.share_calls() == []


def test_every_command_answers_while_a_share_hangs(made: ShareNode) -> None:
    small_apps(made, ("one",))
    made.fails("*", f"{made.root}*", hang=True)
    made.wait_unknown("does not answer")
    codes = {
        ("status",): 0,
        ("status", "--check"): 75,
        ("status", "symlink-one-"): 0,
        ("explain", "symlink-one-"): 0,
        ("history",): 0,
        ("logs", "symlink-one-"): 0,
        ("trigger", "symlink-one-"): 75,
        ("cancel", "symlink-one-"): 1,
        ("hold", "symlink-one-", "--why", "x"): 0,
        ("resume", "symlink-one-"): 0,
        ("forget", "symlink-one-"): 1,
        ("wait", "--timeout", "100ms"): 75,
        ("check-config",): 0,
    }
    told = {}
    for command, code in codes.items():
        done = told[command] = made.command(*command)  # each has a bound of its own
        assert done.returncode == code, (command, done.stdout, done.stderr)
    assert f"{made.root}: unknown for " in told["status",].stdout
    assert "does not answer" in told["status", "symlink-one-"].stdout
    assert "does not answer" in told["explain", "symlink-one-"].stdout
    assert "does not answer" in told["trigger", "symlink-one-"].stderr
    assert made.share_calls() == []


def test_a_watcher_that_hangs_for_long_is_killed_and_there_is_never_a_second(
    made: ShareNode,
) -> None:
    made.say(kill=4.0)
    small_apps(made, ("one",))
    watchers = {watcher.pid for watcher in made.watchers()}
    assert len(watchers) == 2
    made.fails("*", f"{made.root}*", hang=True)
    gone: set[int] = set()
    for _ in range(2):  # one is killed, the next hangs as well
        before = {watcher.pid for watcher in made.watchers()}

        def changed(before: set[int] = before) -> bool:
            now = {watcher.pid for watcher in made.watchers()}
            assert len(now) <= 2
            return len(now) == 2 and now != before

        wait_until(changed, "another watcher is there")
        gone |= before - {watcher.pid for watcher in made.watchers()}
    assert len(gone) == 2
    made.wait_unknown()
    made.heals()
    made.wait_well()
    made.others_go_on()
    assert made.share_calls() == []


def test_a_watcher_that_is_stopped_or_dies_is_told_and_replaced(made: ShareNode) -> None:
    made.say(kill=4.0)
    small_apps(made, ("one",))
    on_share = next(
        watcher for watcher in made.status()["watchers"] if watcher["watcher"] == str(made.root)
    )
    os.kill(on_share["pid"], signal.SIGSTOP)
    made.wait_unknown("does not answer")
    made.wait_well()  # it was killed, and a new one looks
    made.fails("names", str(made.root), die=True)
    made.wait_unknown("ended (3)")
    made.others_go_on()
    made.heals()
    made.wait_well()
    assert made.share_calls() == []


@pytest.mark.parametrize("fault", ["spin", "hang"])
def test_a_watcher_ends_with_its_daemon_whatever_it_is_doing(made: ShareNode, fault: str) -> None:
    """Also when no thread of it can be told that the daemon has been killed."""
    small_apps(made, ("one",))
    made.fails("names", str(made.root), **{fault: True})
    made.wait_unknown("does not answer")
    watchers = made.watchers()
    assert len(watchers) == 2
    made.kill()
    try:
        wait_until(
            lambda: not any(watcher.is_running() for watcher in watchers), "no watcher is left"
        )
    finally:
        for watcher in watchers:
            with contextlib.suppress(psutil.NoSuchProcess):
                watcher.kill()


def test_a_first_look_at_a_share_that_hangs_deploys_nothing_until_it_answers(
    made: ShareNode,
) -> None:
    SymlinkApp(made, "web").deploy("1")
    made.fails("*", f"{made.root}*", hang=True)
    made.start()
    made.wait_unknown("does not answer")
    made.others_go_on()
    assert made.states() == {}
    made.heals()
    wait_until(lambda: made.states() == {"web": "ok"}, "the app is deployed")
    assert made.share_calls() == ["web install", "web start", "web check"]


@pytest.mark.parametrize("how", ["thread", "process"])
def test_a_term_ends_the_agent_though_a_watcher_hangs(made: ShareNode, how: str) -> None:
    small_apps(made, ("one",))
    if how == "thread":
        made.fails("*", f"{made.root}*", hang=True)
    else:
        on_share = next(
            watcher for watcher in made.status()["watchers"] if watcher["watcher"] == str(made.root)
        )
        os.kill(on_share["pid"], signal.SIGSTOP)
    made.wait_unknown("does not answer")
    watchers = made.watchers()
    assert made.stop() == 0
    gone, alive = psutil.wait_procs(watchers, PATIENCE)
    assert (len(gone), alive) == (2, [])
    assert made.share_calls() == []
