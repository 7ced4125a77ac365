"""appagent deployed by appagent: its own repository as an app that runs as root.

`restart` restarts the agent, whose own run that is: the run goes on, the next agent takes it over.
The nodes reach no package index: the release brings the wheels of all that it needs.
"""

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from . import machine, wheel
from .agent import SERVICE, VERSIONS
from .configured import configured
from .daemons import clear, daemon_files, goes_on, in_slice, wait_beat
from .developer import HOME, Developer, noted
from .fleet import ROOT, Fleet
from .host import Host
from .steps import FIRST, wait_at
from .wait import wait_until

TOOLS = "/files/tools"
APP = "appagent"
CONFIG = f"""\
roots:
  - {{path: {ROOT}, run_as: www-data, trusted_owners: [deploy]}}
  - {{path: {TOOLS}, run_as: root, trusted_owners: [deploy]}}
"""
UNITS = "/usr/local/lib/systemd/system"
SECONDS = 300  # a venv is built, with pip, on two cores that carry a whole fleet


def sources() -> dict[str, str]:
    """Return the files of the repository that a release of appagent consists of."""
    top = machine.REPOSITORY
    return {str(path.relative_to(top)): path.read_text() for path in wheel.sources()}


def newer(files: dict[str, str]) -> dict[str, str]:
    """Return the same as another version."""
    return files | {"appagent/__init__.py": files["appagent/__init__.py"] + "\n# newer\n"}


def release(developer: Developer, host: Host, name: str, files: dict[str, str]) -> None:
    """Put a release of appagent on the share, with its wheels, and make it the current one."""
    there = f"{APP}/releases/{name}"
    developer.rsync(there, files)
    wheels = developer.machine.root / HOME / "wheels"
    shutil.copytree(host.root / "opt/wheelhouse", wheels, dirs_exist_ok=True)
    developer.machine.run(["chown", "-R", "deploy:deploy", f"/{HOME}/wheels"])
    to = f"deploy@{developer.server.name}:{developer.root}/{there}/wheels/"
    developer.here(f"rsync -r ~/wheels/ {to}")
    developer.point(APP, name)


def status(host: Host) -> dict[str, Any]:
    """Return what `appagent status` says of appagent."""
    apps = json.loads(host.out(["appagent", "status", APP, "--json"]))["apps"]
    found: dict[str, Any] = next(one for one in apps if one["app"] == APP)
    return found


def deploys(host: Host) -> list[dict[str, Any]]:
    """Return what `appagent history` tells of the deploys of appagent, newest first."""
    found: list[dict[str, Any]]
    found = json.loads(host.out(["appagent", "history", APP, "--json"]))["deploys"]
    return found


def wait_good(host: Host, count: int) -> dict[str, Any]:
    """Wait until so many deploys are done, and return the last one."""

    def done() -> bool:
        told = deploys(host)
        return len(told) == count and told[0]["outcome"] == "done" and status(host)["reached"]

    wait_until(done, SECONDS, f"deploy {count} of appagent is good", 0.5)
    return deploys(host)[0]


def runs(deploy: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Return target, outcome and whether it was taken over, of each run that ran something."""
    told = [(run["target"], run["outcome"], bool(run["adopted"])) for run in deploy["runs"]]
    return [run for run in told if run[1] != "missing"]


def runs_from(host: Host) -> str:
    """Return which version the agent of a node runs."""
    command = host.read(f"/proc/{host.main_pid(SERVICE)}/cmdline").split("\0")
    program = host.out(["readlink", "-f", command[1]])
    assert program.startswith(VERSIONS), command
    return program.removeprefix(VERSIONS).split("/")[1]


@pytest.fixture
def host(fleet: Fleet) -> Iterator[Host]:
    """Give a node that runs what is below TOOLS as root."""
    fleet.of("file")[0].run(f"install -d -m 2775 -o deploy -g deploy {TOOLS}")
    with configured(fleet.apps[:1], CONFIG):
        yield fleet.apps[0]
    # Not removed while it is managed: its stop stops the agent.
    fleet.apps[0].run(["appagent", "forget", APP], check=False)
    there = ["rm", "-rf", f"{TOOLS}/{APP}"]  # while others look at it, a directory may not be empty
    wait_until(lambda: fleet.of("file")[0].ok(there), 60, "it is removed")


def test_appagent_deploys_itself_in_one_deploy(fleet: Fleet, host: Host) -> None:
    """The first time, a newer release, and back: each is one deploy; the next agent ends it."""
    developer = Developer(fleet.host("dev"), fleet.of("file")[0], TOOLS)
    fleet.developer.swap("beside", "1", daemon_files("1"))
    wait_at(fleet.apps, "beside", "1")
    daemon = wait_beat(host, "beside").pid
    first, files = runs_from(host), sources()

    seen = [first]
    for count, target in enumerate(("start", "restart", "restart"), 1):
        name = "2" if count == 2 else "1"
        if count < 3:
            release(developer, host, name, newer(files) if name == "2" else files)
        else:
            developer.point(APP, name)
        deploy = wait_good(host, count)
        install, switch, check = runs(deploy)
        assert install == ("install", "ok", False)
        # The agent that is ended may still hear that make is done; else the next one takes it over.
        assert switch[:2] == (target, "ok")
        assert check[:2] == ("check", "ok")
        seen.append(runs_from(host))
        goes_on(host, "beside", daemon)
    assert len(set(seen)) == 3
    assert seen[1] == seen[3]
    assert in_slice(host, APP) == []
    assert tuple(run.target for run in noted(host, "beside")) == FIRST

    # What it brought is fine in the watchers of systemd, on a host as on the machine that built it.
    said = host.run(f"systemd-analyze verify {UNITS}/appagent.service {UNITS}/appagent.slice")
    assert said.out + said.err == ""
    clear(fleet, ["beside"])
