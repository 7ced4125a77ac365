"""What the agent of a node reports in its journal: when it lost the share, what it began."""

from dataclasses import dataclass

from .host import Host
from .wait import wait_until

LOST = ("watcher.stuck", "root.unknown")
SERVICE = "_SYSTEMD_UNIT=appagent.service"
MANAGER = "UNIT=appagent.service"  # what systemd says of the service


@dataclass(frozen=True)
class Told:
    """A notice in the journal."""

    time: float  # by the node's clock, which is the machine's
    kind: str
    app: str
    target: str
    text: str


def told(host: Host, *kinds: str, since: float = 0.0) -> list[Told]:
    """Return the notices of these kinds (or all) since a time, in order."""
    found = []
    for entry in host.journal(SERVICE, since=since):
        at = int(entry.get("_SOURCE_REALTIME_TIMESTAMP", entry["__REALTIME_TIMESTAMP"])) / 1e6
        kind = entry.get("KIND", "")
        if at >= since and (kind in kinds or not kinds):
            found.append(
                Told(at, kind, entry.get("APP", ""), entry.get("TARGET", ""), entry["MESSAGE"])
            )
    return found


def said_by_systemd(host: Host, since: float = 0.0) -> list[str]:
    """Return what systemd logged about the service since a time."""
    return [entry["MESSAGE"] for entry in host.journal(MANAGER, since=since)]


def wait_lost(host: Host, since: float) -> float:
    """Wait until the agent reports that the share is unavailable; return when it first did."""
    wait_until(lambda: told(host, *LOST, since=since), 60, f"{host.name} notices that it is gone")
    return told(host, *LOST, since=since)[0].time


def began(host: Host, since: float, until: float) -> list[Told]:
    """Return the runs that the agent began between two times."""
    return [run for run in told(host, "run.began", since=since) if run.time < until]
