"""Deployers and run-as users from a directory service, which then does not answer, or is gone.

Nothing stops, nothing hangs; a deploy that needs a name waits, says so, and goes on by itself.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from . import directory
from .agent import SERVICE, wait_service
from .configured import configured
from .conftest import RaiseFleet
from .daemons import MAKEFILE, Beat, beats, daemon_files, wait_beat
from .developer import noted
from .directory import PUSHER, RUNNER
from .fleet import Fleet, Shape
from .host import NOTES, Host
from .steps import AGAIN, FIRST, PATIENCE, wait_at
from .wait import wait_until

ROOT = "/files/of-people"
CONFIG = f"""\
roots:
  - {{path: {ROOT}, run_as: runner, trusted_owners: [pusher]}}
defaults: {{retry: {{first: 1s, max: 4s}}}}
"""
SHAPE = Shape(apps=1, file_servers=1, replica=1, dev=False, packages=directory.PACKAGES)
WHO = "id -un; id -un $$(stat -c %u Makefile); id -Gn"
APP = "app"


def put(fleet: Fleet, release: str, files: Mapping[str, str]) -> None:
    """Deploy as somebody does who is known by the directory alone."""
    server = fleet.of("file")[0]
    there = f"{ROOT}/{APP}"
    for name, text in files.items():
        server.write(f"{there}/releases/{release}/{name}", text, owner=f"{PUSHER}:{PUSHER}")
    link = f"ln -s releases/{release} .next && chown -h {PUSHER}:{PUSHER} .next"
    server.run(f"cd {there} && {link} && mv -T .next current")


def files(version: str) -> dict[str, str]:
    """Return the app; its install notes who it is, who has deployed it, and its groups."""
    who = f"install:\n\t@({WHO}) > $(base).who\n"
    return daemon_files(version, MAKEFILE.replace("install:\n", who))


def state(host: Host) -> dict[str, Any]:
    """Return what `appagent status` says of the app; it says so at once, whatever is away."""
    said = json.loads(host.out(["appagent", "status", APP, "--json"], timeout=20))
    found: dict[str, Any] = said["apps"][0]
    return found


@contextmanager
def stopped(host: Host, unit: str) -> Iterator[None]:
    """Let a service be away while the block lasts."""
    host.run(["systemctl", "stop", unit])
    try:
        yield
    finally:
        host.run(["systemctl", "start", unit])


@contextmanager
def no_server(fleet: Fleet) -> Iterator[None]:
    """Let nobody serve the directory while the block lasts."""
    server = fleet.of("file")[0]
    server.run(["systemctl", "stop", directory.SERVER])
    try:
        yield
    finally:
        directory.start(server)


def hung_server(fleet: Fleet) -> AbstractContextManager[None]:
    """Let the server take connections and never answer."""
    server = fleet.of("file")[0]
    return server.stopped(server.main_pid(directory.SERVER))


def no_client(fleet: Fleet) -> AbstractContextManager[None]:
    """Let the node have nobody whom it could ask."""
    return stopped(fleet.apps[0], "nslcd")


FAULTS: dict[str, tuple[Callable[[Fleet], AbstractContextManager[None]], str]] = {
    "2": (hung_server, "the name service did not answer"),
    "3": (no_server, "unknown user runner (run_as)"),
    "4": (no_client, "unknown user runner (run_as)"),
}


def test_users_of_a_directory_deploy_and_run_and_nothing_stops_without_it(
    raise_fleet: RaiseFleet,
) -> None:
    """With its server hung, its server gone, its client gone: then with the agent restarted too."""
    fleet = raise_fleet(SHAPE)
    host, server = fleet.apps[0], fleet.of("file")[0]
    directory.serve(server)
    directory.ask(host, server)
    server.run(["install", "-d", "-m", "755", ROOT])
    with configured([host], CONFIG):
        put(fleet, "1", files("1"))
        wait_at([host], APP, "1")
        who = (host.root / NOTES / f"{APP}.who").read_text().splitlines()
        assert who == ["runner", "pusher", "runner team"]
        pid = wait_beat(host, APP).pid
        assert host.out(["stat", "-c", "%u", f"/proc/{pid}"]) == str(RUNNER)
        done = list(FIRST)
        for version, (fault, words) in FAULTS.items():
            with fault(fleet):
                put(fleet, version, files(version))
                wait_until(lambda words=words: words in said(host), PATIENCE, words)  # type: ignore[misc]
                assert living(host, pid)
                host.run(["systemctl", "restart", SERVICE], timeout=60)
                wait_service(host, SERVICE)
                wait_until(lambda words=words: words in said(host), PATIENCE, f"again {words}")  # type: ignore[misc]
                assert living(host, pid)
                assert [run.target for run in noted(host, APP)] == done
            wait_at([host], APP, version)
            done += AGAIN
            assert [run.target for run in noted(host, APP)] == done
            pid = wait_beat(host, APP, len(beats(host, APP))).pid


def said(host: Host) -> str:
    """Return why the app is as it is."""
    found = state(host)
    return f"{found['why']} {(found['last'] or {}).get('line', '')}"


def living(host: Host, pid: int) -> Beat | None:
    """Return the next beat of the app if it is of this process."""
    beat = wait_beat(host, APP, len(beats(host, APP)))
    return beat if (beat.pid, beat.word) == (pid, "here") else None
