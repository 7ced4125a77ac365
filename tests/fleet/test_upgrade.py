"""What changes below the apps and not in them makes no run: a newer agent, another brick.

A new agent looks at everything anew; a brick that is replaced or filled by a rebalance shows the
same files from another disk.
"""

import time

from . import agent
from .conftest import RaiseFleet
from .developer import app_files
from .fleet import ROOT, Fleet, Shape
from .steps import AGAIN, FIRST, PATIENCE, marker, process, targets, wait_at
from .told import began
from .wait import wait_until

APPS = ("kept-linked", "kept-pushed", "kept-synced")
FILES = 60  # of each app: enough for a rebalance to move some


def processes(fleet: Fleet) -> dict[tuple[str, str], str]:
    """Return the process of each app on each node."""
    return {(host.name, app): process(host, app) for host in fleet.apps for app in APPS}


def looked_at(fleet: Fleet, name: str) -> None:
    """Let every node look at everything: a swap and a tree that are newer are deployed by now."""
    marker(fleet)
    fleet.developer.rsync(name, app_files("1"))
    wait_at(fleet.apps, name, "1")
    marker(fleet)


def test_a_newer_agent_another_brick_and_a_rebalance_make_no_run(raise_fleet: RaiseFleet) -> None:
    """No target runs, every app is the same process, and the next release is deployed as ever."""
    fleet = raise_fleet(Shape(apps=2))
    developer, volume = fleet.developer, fleet.volume
    linked, pushed, synced = APPS
    developer.swap(linked, "1", app_files("1", FILES))
    developer.new_git(pushed)
    developer.push(pushed, app_files("1", FILES))
    developer.rsync(synced, app_files("1", FILES))
    for app in APPS:
        wait_at(fleet.apps, app, "1")
    before = processes(fleet)
    assert all(before.values())
    since = time.time()

    def show_no_run(after: str) -> None:
        looked_at(fleet, f"after-{after}")
        assert processes(fleet) == before, after
        for host in fleet.apps:
            assert [run for run in began(host, since, float("inf")) if run.app in APPS] == []
            assert {targets(host, app) for app in APPS} == {FIRST}, (after, host.name)

    for host in fleet.apps:
        agent.upgrade(host, "99.1")
        assert "99.1" in host.out([agent.COMMAND, "status"])
    show_no_run("upgrade")
    volume.replace_brick(fleet.of("file")[1])
    show_no_run("replacement")
    volume.grow()
    assert volume.rebalance() > 0
    # Directories are as they were made on the new bricks until somebody with all rights looks.
    server = fleet.of("file")[0]
    seen = f"test -w {ROOT}/marker/releases && test -w {ROOT}/{pushed}/.git"

    def whole() -> bool:
        server.run(f"find {ROOT} -ls > /dev/null", check=False)
        return server.ok(seen, "deploy")

    wait_until(whole, PATIENCE, "the share is whole", 1)
    show_no_run("rebalance")

    developer.swap(linked, "2", app_files("2", FILES))
    developer.push(pushed, app_files("2", FILES))
    developer.rsync(synced, app_files("2", FILES))
    for app in APPS:
        wait_at(fleet.apps, app, "2")
        assert {targets(host, app) for host in fleet.apps} == {FIRST + AGAIN}
