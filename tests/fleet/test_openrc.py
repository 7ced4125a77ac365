"""Without systemd: OpenRC starts the agent at boot, brings it back, and leaves the apps alone."""

from pathlib import Path

from .conftest import RaiseFleet
from .developer import app_files
from .fleet import Shape
from .openrc import OpenRcHost, add
from .steps import AGAIN, FIRST, PATIENCE, process, targets, wait_at
from .wait import wait_until

CONFIG = """\
environment: production
roots:
  - path: /srv/apps
    run_as: www-data
"""
AGENT = r"^\S*python3 /opt/appagent/current/bin/appagent run$"


def write_app(app: Path, version: str) -> None:
    """Bring an app on the node's own disk to a version."""
    for name, text in app_files(version).items():
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text(text)


def agent(host: OpenRcHost) -> int:
    """Return the agent's process once it is there and answers."""
    wait_until(lambda: host.ok(["appagent", "status"]), PATIENCE, "the agent answers")
    (pid,) = host.pids(AGENT)
    return pid


def test_openrc_starts_the_agent_at_boot_and_keeps_it_and_no_app_dies(
    raise_fleet: RaiseFleet,
) -> None:
    """Boot, reload, restart, kill -9, stop and start, power off."""
    host = add(raise_fleet(Shape(apps=0, file_servers=0, dev=False)), CONFIG)
    write_app(host.root / "srv/apps/web", "1")
    host.power_on()
    wait_at([host], "web", "1")
    assert targets(host, "web") == FIRST
    before, app = agent(host), process(host, "web")
    assert app

    host.service("reload")
    wait_until(lambda: "config.loaded" in host.read("/var/log/appagent.log"), PATIENCE)
    assert agent(host) == before
    host.service("restart")
    restarted = agent(host)
    assert restarted != before
    host.kill("KILL", restarted)
    wait_until(lambda: agent(host) != restarted, PATIENCE, "it is brought back")
    host.service("stop")
    assert host.pids(AGENT) == []
    assert not host.ok(["rc-service", "appagent", "status"])
    assert process(host, "web") == app
    host.service("start")
    agent(host)
    assert process(host, "web") == app
    assert targets(host, "web") == FIRST

    write_app(host.root / "srv/apps/web", "2")
    wait_at([host], "web", "2")
    assert targets(host, "web") == FIRST + AGAIN
    host.power_off()
    host.power_on()
    wait_until(lambda: targets(host, "web") == (*FIRST, *AGAIN, "start", "check"), PATIENCE)
    assert process(host, "web")
