"""What the command says on a node, asked as a person or a script does."""

import json
from typing import Any

from .host import Host
from .steps import PATIENCE
from .wait import wait_until

COMMAND = 20.0  # s: it starts a Python, on two cores that carry a whole fleet
LATER = 75  # what `appagent wait` ends with while it is not there yet


def status(host: Host) -> dict[str, Any]:
    """Return what `appagent status` says."""
    found: dict[str, Any] = json.loads(host.out("appagent status --json", timeout=COMMAND))
    return found


def stuck_watchers(host: Host) -> list[str]:
    """Return why the watchers that look at roots are stuck; "" for one that is not."""
    return [watcher["stuck"] for watcher in status(host)["watchers"] if watcher["roots"]]


def unknown_roots(host: Host) -> list[str]:
    """Return why roots are unknown."""
    return [root["why"] for root in status(host)["roots"] if not root["known"]]


def wait_known(host: Host) -> None:
    """Wait until the agent knows all its roots."""
    wait_until(lambda: not unknown_roots(host), PATIENCE, f"{host.name} knows its roots")


def history(host: Host, app: str) -> list[dict[str, Any]]:
    """Return the deploys that `appagent history` tells of an app, newest first."""
    said = host.out(["appagent", "history", app, "--json"], timeout=COMMAND)
    deploys: list[dict[str, Any]] = json.loads(said)["deploys"]
    return deploys


def outcomes(host: Host, app: str) -> list[str]:
    """Return how the deploys of an app ended, newest first."""
    return [deploy["outcome"] for deploy in history(host, app)]


def wait_settled(host: Host, *apps: str) -> None:
    """Wait until everything, or these apps, are as it is wanted."""
    words = ["appagent", "wait", "--timeout", f"{PATIENCE:g}s", *apps]
    host.run(words, timeout=PATIENCE + COMMAND)
