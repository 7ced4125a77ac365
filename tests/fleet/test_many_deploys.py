"""Many deploys: what goes wrong once in a hundred of them, and what one app does to others.

BARE_DEPLOYS says how many deploys there are of apps without processes (60; for evidence 1000).
"""

import functools
import os
import time
from contextlib import ExitStack

from .asking import status
from .configured import configured
from .daemons import clear, counted, daemon_files, wait_beat
from .developer import Developer, app_files, noted
from .fleet import Fleet
from .host import NOTES, Host
from .steps import FIRST, PATIENCE, held, wait_at, wait_begun
from .told import told
from .wait import wait_until

COUNT = int(os.environ.get("BARE_DEPLOYS", "60"))
BARE = [f"bare-{number}" for number in range(20)]
NOTE = f'echo "$$(date +%s.%N) $@ $$(cat VERSION) 0 $$APP_RELEASE" >> /{NOTES}/$$APP_NAME'
TARGETS = "install start restart stop check"
MAKEFILE = f".PHONY: {TARGETS}\n{TARGETS}:\n\t@{NOTE}\n"  # as of an app that reloads nginx
WITNESS_APP = "witness"
WITNESS = f"apps: {{{WITNESS_APP}: {{on_exit: start, retry: {{first: 1s, max: 1s}}}}}}\n"


def test_apps_without_processes_of_their_own_are_never_said_to_have_lost_them(fleet: Fleet) -> None:
    """However often they are deployed: what is there beside a run is not the app.

    After each time the agent counts once more, as a witness shows.
    """
    developer, since = fleet.developer, time.time()
    first, *others = BARE
    for version in ("1", "2"):
        files = {"Makefile": MAKEFILE, "VERSION": f"{version}\n"}
        developer.rsync(f"{first}/releases/{version}", files)
    copies = f"for app in {' '.join(others)}; do cp -r {first} $app; done"
    developer.ssh(f"cd {developer.root} && {copies}")
    with configured(fleet.apps, WITNESS):
        developer.swap(WITNESS_APP, "1", daemon_files("1"))
        rounds = 0
        while rounds * len(BARE) * len(fleet.apps) < COUNT:
            rounds += 1
            swap_all(developer, str(1 + rounds % 2))
            fleet.each(functools.partial(wait_deployed, times=rounds), fleet.apps)
            fleet.each(wait_counted, fleet.apps)
        for host in fleet.apps:
            lost = [
                notice for notice in told(host, "app.exited", since=since) if notice.app in BARE
            ]
            assert not lost, (host.name, rounds, lost)
            states = {one["app"]: one["state"] for one in status(host)["apps"]}
            assert {states[app] for app in BARE} == {"ok"}
        clear(fleet, [*BARE, WITNESS_APP])


def swap_all(developer: Developer, version: str) -> None:
    """Bring all of them to a version, one after the other, so that no two end at one moment."""
    link = f"ln -sfn releases/{version} .next && mv -T .next current"
    all_of_them = f"for app in {' '.join(BARE)}; do (cd $app && {link}) && sleep 0.1; done"
    developer.ssh(f"cd {developer.root} && {all_of_them}")


def wait_deployed(host: Host, times: int) -> None:
    """Wait until each of them was deployed so often on a node."""
    done = times * len(FIRST)
    for app in BARE:
        wait_until(lambda app=app: len(noted(host, app)) >= done, PATIENCE, f"{app}, {times}")  # type: ignore[misc]


def wait_counted(host: Host) -> None:
    """Wait until the agent has counted: it starts the witness anew whose process was killed."""
    pid = wait_beat(host, WITNESS_APP).pid
    wait_until(lambda: counted(host, WITNESS_APP), PATIENCE, "the witness is known to live")
    host.kill("KILL", pid)
    wait_until(lambda: wait_beat(host, WITNESS_APP).pid != pid, PATIENCE, "it is started again")


def test_apps_that_hang_keep_no_other_from_being_deployed(fleet: Fleet) -> None:
    """Two of them, on a machine with two cores: one in its install, one in its restart."""
    host, apps = fleet.apps[0], ("hangs-a", "hangs-b", "goes-on")
    hanging = {"hangs-a": "install", "hangs-b": "restart"}
    for app in apps:
        fleet.developer.swap(app, "1", app_files("1"))
    for app in apps:
        wait_at(fleet.apps, app, "1")
    with ExitStack() as they_hang:
        for app, target in hanging.items():
            they_hang.enter_context(held(host, app, target))
            fleet.developer.swap(app, "2", app_files("2"))
            wait_begun(host, app, "2", target)
        fleet.developer.swap("goes-on", "2", app_files("2"))
        wait_at([host], "goes-on", "2")
        runs = {one["app"]: one["run"] for one in status(host)["apps"]}
        assert {app: runs[app]["target"] for app in hanging} == hanging
    for app in apps:
        wait_at(fleet.apps, app, "2")
        fleet.developer.remove(app)
