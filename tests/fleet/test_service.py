"""The service is stopped, restarted, killed and starved: apps live on, runs end, it comes back.

systemd is told to end the agent alone (KillMode=process): runs live in scopes of their own, and an
watcher that hangs on a share which is away must not hold up the service's stop.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from .agent import SERVICE, wait_service
from .asking import (
    history,
    outcomes,
    status,
    stuck_watchers,
    unknown_roots,
    wait_known,
    wait_settled,
)
from .developer import app_files
from .fleet import Fleet
from .host import Host
from .steps import AGAIN, FIRST, PATIENCE, held, process, targets, wait_at, wait_begun
from .told import began, said_by_systemd, told, wait_lost
from .wait import wait_until

WATCHER = "appagent.share.watcher"


def systemctl(host: Host, verb: str) -> None:
    """Tell systemd what to do with the service, and wait for it."""
    host.run(["systemctl", verb, SERVICE], timeout=100)


def kill_agent(host: Host, name: str = "KILL") -> int:
    """Send a signal to the agent, and return which process it was."""
    pid = host.main_pid(SERVICE)
    host.kill(name, pid)
    return pid


def wait_another(host: Host, pid: int) -> None:
    """Wait until systemd has brought up another agent than that one."""
    wait_until(
        lambda: host.main_pid(SERVICE) not in (0, pid), PATIENCE, f"another agent of {host.name}"
    )
    wait_service(host, SERVICE)


def watcher(host: Host) -> int:
    """Return the watcher that looks at the root on the share."""
    return next(int(one["pid"]) for one in status(host)["watchers"] if one["roots"])


def show_stopped_well(host: Host, since: float) -> None:
    """Show that systemd never had to use force, and that the watchdog did not fire."""
    said = said_by_systemd(host, since)
    assert not [line for line in said if "timed out" in line or "Watchdog" in line], said


def run_of(host: Host, app: str) -> int:
    """Return the process of the run that an app has under way."""
    return next(int(one["run"]["pid"]) for one in status(host)["apps"] if one["app"] == app)


@contextmanager
def left_alone(fleet: Fleet, app: str) -> Iterator[None]:
    """Show that an app is the same process on every node after the block, and ran nothing more."""
    fleet.developer.rsync(app, app_files("1"))
    wait_at(fleet.apps, app, "1")
    before = {host.name: process(host, app) for host in fleet.apps}
    assert all(before.values())
    yield
    for host in fleet.apps:
        assert process(host, app) == before[host.name]
        assert targets(host, app) == FIRST
    fleet.developer.remove(app)


def test_runs_outlive_the_agent_and_are_taken_on_by_the_next(fleet: Fleet) -> None:
    """Reload; restart in an install, stop in a restart, kill -9 in an install: all run once."""
    app1, app2, app3 = fleet.apps
    developer = fleet.developer
    since = time.time()
    developer.new_git("outlives")
    developer.push("outlives", app_files("1"))
    with left_alone(fleet, "beside-runs"):
        wait_at(fleet.apps, "outlives", "1")
        for host in fleet.apps:
            pid = host.main_pid(SERVICE)
            systemctl(host, "reload")
            wait_until(lambda host=host: told(host, "config.loaded", since=since), PATIENCE)  # type: ignore[misc]
            assert host.main_pid(SERVICE) == pid
        with ExitStack() as under_way:
            for host, target in ((app1, "install"), (app2, "restart"), (app3, "install")):
                under_way.enter_context(held(host, "outlives", target))
            developer.push("outlives", app_files("2"))
            wait_begun(app1, "outlives", "2", "install")
            wait_begun(app2, "outlives", "2", "restart")
            wait_begun(app3, "outlives", "2", "install")
            runs = {host.name: run_of(host, "outlives") for host in fleet.apps}
            systemctl(app1, "restart")
            systemctl(app2, "stop")
            wait_another(app3, kill_agent(app3))
            assert not app2.ok(["systemctl", "is-active", "-q", SERVICE])
            for host in fleet.apps:
                assert host.ok(["kill", "-0", str(runs[host.name])]), host.name
                assert process(host, "beside-runs")
            for host in (app1, app3):
                assert run_of(host, "outlives") == runs[host.name]
        wait_at([app1, app3], "outlives", "2")
        wait_until(lambda: not app2.ok(["kill", "-0", str(runs["app2"])]), PATIENCE)
        assert targets(app2, "outlives") == (*FIRST, "install", "restart")
        systemctl(app2, "start")
        wait_at([app2], "outlives", "2")
        for host in fleet.apps:
            wait_settled(host, "outlives", "beside-runs")
            assert targets(host, "outlives") == FIRST + AGAIN
            show_stopped_well(host, since)
            assert all(
                run["outcome"] in ("ok", "missing")
                for deploy in history(host, "outlives")
                for run in deploy["runs"]
            )
            assert "failed" not in outcomes(host, "outlives")
            assert process(host, "outlives")
    developer.remove("outlives")


def test_a_run_that_no_record_tells_of_is_taken_on_all_the_same(fleet: Fleet) -> None:
    """All that the agent remembers is lost while it is away and a run lives: it runs once."""
    host, *others = fleet.apps
    developer = fleet.developer
    developer.swap("untold", "1", app_files("1"))
    wait_at(fleet.apps, "untold", "1")
    with held(host, "untold", "restart"):
        developer.swap("untold", "2", app_files("2"))
        wait_begun(host, "untold", "2", "restart")
        run = run_of(host, "untold")
        systemctl(host, "stop")
        host.run("cd /var/lib/appagent && find . -mindepth 1 -not -name lost+found -delete")
        systemctl(host, "start")
        wait_until(lambda: run_of(host, "untold") == run, PATIENCE, "it is taken on")
        wait_at(others, "untold", "2")
        assert host.ok(["kill", "-0", str(run)])
    wait_at([host], "untold", "2")
    wait_settled(host, "untold")
    # That it was installed is forgotten as well; what is restarted after that is one more run.
    assert targets(host, "untold") == (*FIRST, "install", "restart", *AGAIN)
    developer.remove("untold")


def test_a_watcher_that_is_stopped_or_killed_holds_up_nothing_but_looks(fleet: Fleet) -> None:
    """Stopped: unknown until it goes on, or the service is restarted. Killed: another one looks."""
    app1, app2, app3 = fleet.apps
    developer = fleet.developer
    since = time.time()
    developer.swap("looked-at", "1", app_files("1"))
    agents = {host.name: host.main_pid(SERVICE) for host in fleet.apps}
    with left_alone(fleet, "beside-watchers"):
        wait_at(fleet.apps, "looked-at", "1")
        stopped, goes_on = watcher(app1), watcher(app2)
        with app1.stopped(stopped):
            with app2.stopped(goes_on):
                app3.kill("KILL", watcher(app3))
                lost = {host.name: wait_lost(host, since) for host in (app1, app2)}
                developer.swap("looked-at", "2", app_files("2"))
                wait_at([app3], "looked-at", "2")
                for host in (app1, app2):
                    assert began(host, lost[host.name], float("inf")) == []
                    assert unknown_roots(host)
                    assert any("does not answer" in why for why in stuck_watchers(host))
                systemctl(app1, "restart")
                wait_at([app1], "looked-at", "2")
            wait_at([app2], "looked-at", "2")
            assert watcher(app2) == goes_on
        wait_until(lambda: not app1.ok(["kill", "-0", str(stopped)]), PATIENCE, "its end")
        for host in fleet.apps:
            assert targets(host, "looked-at") == FIRST + AGAIN
            show_stopped_well(host, since)
        for host in (app2, app3):
            assert host.main_pid(SERVICE) == agents[host.name]
    developer.remove("looked-at")


def test_the_watchdog_fires_for_a_dead_loop_and_not_for_a_dead_share(fleet: Fleet) -> None:
    """One loop stands still, two nodes are cut off; of these one has its agent ended again."""
    still, away, ended = fleet.apps
    servers, developer = fleet.of("file"), fleet.developer
    developer.swap("watched", "1", app_files("1"))
    with left_alone(fleet, "beside-loops"):
        wait_at(fleet.apps, "watched", "1")
        agents = {host.name: host.main_pid(SERVICE) for host in fleet.apps}
        since = time.time()
        for server in servers:
            server.cut(away, ended)
        lost = {host.name: wait_lost(host, since) for host in (away, ended)}
        kill_agent(still, "STOP")
        developer.swap("watched", "2", app_files("2"))

        systemctl(ended, "reload")
        assert ended.main_pid(SERVICE) == agents[ended.name]
        systemctl(ended, "restart")
        wait_another(ended, kill_agent(ended))
        systemctl(ended, "stop")
        assert not ended.ok(["systemctl", "is-active", "-q", SERVICE])
        systemctl(ended, "start")
        assert unknown_roots(ended)

        wait_another(still, agents[still.name])
        assert any("Watchdog timeout" in line for line in said_by_systemd(still, since))
        wait_at([still], "watched", "2")
        assert away.main_pid(SERVICE) == agents[away.name]
        assert said_by_systemd(away, since) == []
        for host in (away, ended):
            assert began(host, lost[host.name], float("inf")) == []
            assert process(host, "watched")
            assert unknown_roots(host)
        for server in servers:
            server.heal(away, ended)
        wait_at([away, ended], "watched", "2")
        for host in fleet.apps:
            wait_known(host)
            assert targets(host, "watched") == FIRST + AGAIN
            wait_until(
                lambda host=host: len(host.pids(WATCHER)) == len(status(host)["watchers"]),  # type: ignore[misc]
                PATIENCE,
                f"no watcher that hung is left on {host.name}",
            )
        assert away.main_pid(SERVICE) == agents[away.name]
        show_stopped_well(ended, since)
    developer.remove("watched")
