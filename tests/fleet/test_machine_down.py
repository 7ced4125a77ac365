"""The machine goes down: apps with `on_shutdown: stop` are stopped by their Makefiles first.

systemd ends what is in the scopes of apps only after the service of the agent. A daemon tells who
has ended it: its Makefile, or systemd with TERM.
"""

import pytest

from .agent import SERVICE
from .configured import configured
from .daemons import MAKEFILE, beats, clear, daemon_files, goes_on, last_word, wait_beat
from .developer import noted
from .fleet import Fleet
from .host import NOTES, Host
from .steps import FIRST, wait_at
from .told import said_by_systemd
from .wait import wait_until

CONFIG = """\
apps:
  ends-a: {on_shutdown: stop}
  ends-b: {on_shutdown: stop}
  hangs: {on_shutdown: stop, grace: 1s, timeout: {stop: 3s}}
"""
STOPS = {"ends-a", "ends-b", "hangs"}
APPS = (*sorted(STOPS), "stays")
SHORT = "[Service]\nTimeoutStopSec=3\n"  # shorter than what the stops take
DROP_IN = f"/etc/systemd/system/{SERVICE}.d/short.conf"


def waits_for(app: str) -> str:
    """Return a Makefile whose stop takes a while, and ends only once another app is in its own."""
    begun = "\t@[ -e $(base).stopping ] || touch $(base).stopping\n"
    meet = f"\t@until [ -e $(NOTES)/{app}.stopping ]; do sleep 0.1; done; sleep 4\n"
    return MAKEFILE.replace("stop:\n\t$(note)\n", f"stop:\n\t$(note)\n{begun}{meet}")


def hangs() -> str:
    """Return a Makefile whose stop does not end on TERM either, as long as a file is there."""
    wait = "\t@trap '' TERM; while [ -e $(base).hangs ]; do sleep 0.2; done\n"
    return MAKEFILE.replace("stop:\n\t$(note)\n", f"stop:\n\t$(note)\n{wait}")


def deploy(fleet: Fleet, host: Host) -> None:
    """Bring the apps to a node."""
    (host.root / NOTES / "hangs.hangs").touch()
    makefiles = {"ends-a": waits_for("ends-b"), "ends-b": waits_for("ends-a"), "hangs": hangs()}
    for app in APPS:
        fleet.developer.swap(app, "1", daemon_files("1", makefiles.get(app, MAKEFILE)))
    for app in APPS:
        wait_at([host], app, "1")
        wait_beat(host, app)


def go_down(host: Host, verb: str) -> None:
    """Power off or reboot as a person does, and wait until the machine is off."""
    host.run(["systemctl", "--no-block", verb])
    wait_until(lambda: not host.running, 120, f"{verb} of {host.name}")
    host.power_off()


def targets(host: Host, app: str) -> list[str]:
    """Return the targets that an app ran on a node, in order."""
    return [run.target for run in noted(host, app)]


def test_a_restart_of_the_service_alone_stops_nothing(fleet: Fleet) -> None:
    """Whatever `on_shutdown` says: it is about the machine."""
    host = fleet.apps[0]
    with configured([host], CONFIG):
        fleet.developer.swap("ends-a", "1", daemon_files("1"))
        wait_at([host], "ends-a", "1")
        pid = wait_beat(host, "ends-a").pid
        for verb in ("restart", "stop", "start"):
            host.run(["systemctl", verb, SERVICE])
            goes_on(host, "ends-a", pid)
        assert tuple(targets(host, "ends-a")) == FIRST
        clear(fleet, ["ends-a"])


@pytest.mark.parametrize("verb", ["poweroff", "reboot"])
def test_apps_that_ask_for_it_are_stopped_before_the_machine_is_down(
    fleet: Fleet, verb: str
) -> None:
    """Side by side, for longer than the service's own time to stop; and one that hangs ends too."""
    host = fleet.apps[0]
    with configured([host], CONFIG):
        host.write(DROP_IN, SHORT)
        host.run("systemctl daemon-reload")
        deploy(fleet, host)
        go_down(host, verb)
        for app in APPS:
            stopped = ["stop"] if app in STOPS else []
            assert targets(host, app) == [*FIRST, *stopped], app
        words = {app: last_word(host, app) for app in APPS}
        assert words == {"ends-a": "ended", "ends-b": "ended", "hangs": "TERM", "stays": "TERM"}
        done = [max(beat.time for beat in beats(host, app)) for app in ("ends-a", "ends-b")]
        assert max(done) < beats(host, "stays")[-1].time  # that one is systemd's, and comes after
        said = said_by_systemd(host)
        assert not [line for line in said if "timed out" in line], said
        assert not [line for line in journal(host) if "Failed unmounting" in line]

        (host.root / DROP_IN[1:]).unlink()
        host.power_on()
        for app in APPS:
            wait_until(lambda app=app: targets(host, app)[-2:] == ["start", "check"], 60, app)  # type: ignore[misc]
            assert len(targets(host, app)) == len(FIRST) + (app in STOPS) + 2
        (host.root / NOTES / "hangs.hangs").unlink()
        for node in fleet.apps:  # where none of them was stopped yet, none waits for the other
            for app in ("ends-a", "ends-b"):
                (node.root / NOTES / f"{app}.stopping").touch()
        clear(fleet, APPS)


def journal(host: Host) -> list[str]:
    """Return all that systemd said in the last boot."""
    return [entry["MESSAGE"] for entry in host.journal("_PID=1", boot="0")]
