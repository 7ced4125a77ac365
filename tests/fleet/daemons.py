"""An app with a daemon that tells how it is: that it lives, keeps its log and its /tmp, was ended.

What matters is on the node's own disk, so it can be read of a node that is off.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .fleet import Fleet
from .host import NOTES, Host
from .wait import wait_until

HERE = Path(__file__).parent
MAKEFILE = (HERE / "daemon.mk").read_text()
ALIVE = "here"


@dataclass(frozen=True)
class Beat:
    """What a daemon said of itself."""

    time: float
    pid: int
    word: str


def daemon_files(version: str, makefile: str = MAKEFILE) -> dict[str, str]:
    """Return the files of an app with such a daemon."""
    script = (HERE / "daemon.sh").read_text()
    return {"Makefile": makefile, "VERSION": f"{version}\n", "daemon": script}


def beats(host: Host, app: str) -> list[Beat]:
    """Return what the daemons of an app said on a node, in order."""
    path = host.root / NOTES / f"{app}.beats"
    rows = [line.split(" ") for line in path.read_text().splitlines()] if path.exists() else []
    return [Beat(float(row[0]), int(row[1]), row[2]) for row in rows if len(row) == 3]


def wait_beat(host: Host, app: str, after: int = 0) -> Beat:
    """Wait until a daemon of an app says more than so many beats, and return the last."""
    wait_until(lambda: len(beats(host, app)) > after, 60, f"a beat of {app} on {host.name}")
    return beats(host, app)[-1]


def counted(host: Host, app: str) -> bool:
    """Whether the agent has seen that an app has processes of its own."""
    record = host.read(f"/var/lib/appagent/apps/{app}/record.json")
    return bool(json.loads(record)["record"]["populated"])


def goes_on(host: Host, app: str, pid: int) -> None:
    """Show that this very daemon of an app lives, is the only one, and lacks nothing."""
    said = wait_beat(host, app, len(beats(host, app)))
    assert (said.pid, said.word) == (pid, ALIVE), beats(host, app)[-5:]
    assert {beat.pid for beat in beats(host, app)} == {pid}
    assert {beat.word for beat in beats(host, app)} == {ALIVE}


def last_word(host: Host, app: str) -> str:
    """Return the last that a daemon of an app said: how it ended, where it has."""
    return beats(host, app)[-1].word


def in_slice(host: Host, app: str) -> list[int]:
    """Return the processes of an app's slice, by the host's own count."""
    slice_of = host.out(["systemd-escape", app])
    top = f"/sys/fs/cgroup/appagent.slice/appagent-{slice_of}.slice"
    script = 'find "$1" -name cgroup.procs -exec cat {} + 2> /dev/null || true'
    return [int(word) for word in host.out(["sh", "-c", script, "sh", top]).split()]


def clear(fleet: Fleet, apps: Iterable[str]) -> None:
    """Take apps away from the share and every node, with what they noted."""
    names = list(apps)
    for app in names:
        fleet.developer.remove(app)

    def away(host: Host) -> None:
        for app in names:
            wait_forgotten(host, app)
            assert not in_slice(host, app)
        for path in [path for app in names for path in (host.root / NOTES).glob(f"{app}*")]:
            path.unlink(missing_ok=True)

    fleet.each(away, fleet.apps)


def wait_forgotten(host: Host, app: str) -> None:
    """Tell a node that an app which left the share will not be back; wait until it is stopped."""

    def forgotten() -> bool:
        host.run(["appagent", "forget", app], check=False)
        known = json.loads(host.out("appagent status --json"))["apps"]
        return app not in [one["app"] for one in known]

    wait_until(forgotten, 60, f"{app} of {host.name} is forgotten")
