"""What an app has run on each node: waiting for it, showing that it was just that, holding it up.

That something did *not* happen is shown after a `marker`: an app that was pushed later and is
deployed by now, so the nodes have looked since.
"""

import contextlib
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

from .developer import Noted, app_files, noted
from .fleet import Fleet
from .host import NOTES, Host
from .wait import wait_until

PATIENCE = 120.0  # s; only a broken agent needs as much
FIRST = ("install", "start", "check")
AGAIN = ("install", "restart", "check")
markers = itertools.count(1)


def at(host: Host, app: str, version: str) -> bool:
    """Whether the last that an app ran on a node is the check of this version."""
    runs = noted(host, app)
    return bool(runs) and (runs[-1].target, runs[-1].version) == ("check", version)


def wait_at(hosts: Iterable[Host], app: str, version: str) -> None:
    """Wait until an app has come to the check of a version on each of these nodes."""
    for host in hosts:
        what = f"{app} of {host.name} comes to {version}"
        wait_until(lambda host=host: at(host, app, version), PATIENCE, what)  # type: ignore[misc]


def wait_begun(host: Host, app: str, version: str, target: str) -> None:
    """Wait until a target of a version has begun on a node."""
    wait_until(
        lambda: [run for run in ran(host, app, version) if run.target == target],
        PATIENCE,
        f"{target} of {app} {version} begins on {host.name}",
    )


def ran(host: Host, app: str, version: str) -> list[Noted]:
    """Return what an app ran of one version on a node."""
    return [run for run in noted(host, app) if run.version == version]


def targets(host: Host, app: str) -> tuple[str, ...]:
    """Return the targets that an app ran on a node, in order."""
    return tuple(run.target for run in noted(host, app))


def last_run(host: Host, app: str) -> dict[str, Any]:
    """Return the run of an app that history knows last."""
    deploys = json.loads(host.out(["appagent", "history", app, "--json"]))["deploys"]
    found: dict[str, Any] = deploys[0]["runs"][-1]
    return found


def process(host: Host, app: str) -> str:
    """Return the process that an app has started on a node, if it is alive."""
    path = host.root / NOTES / f"{app}.pid"
    pid = path.read_text().strip() if path.exists() else ""
    if not pid:
        return ""
    found = host.run(["ps", "-o", "args=", "-p", pid], check=False).out.strip()
    return pid if found == "sleep infinity" else ""  # another boot may have given it to another


def marker(fleet: Fleet, hosts: Iterable[Host] | None = None) -> None:
    """Deploy one more release of an app that is there for this, and wait until each node has it."""
    version = str(next(markers))
    fleet.developer.swap("marker", version, app_files(version))
    wait_at(fleet.apps if hosts is None else hosts, "marker", version)


@contextlib.contextmanager
def held(host: Host, app: str, target: str) -> Iterator[None]:
    """Hold a target of an app up on a node, once it has noted itself, while the block lasts."""
    path = host.root / NOTES / f"{app}.hold-{target}"
    path.touch()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
