"""appagent on a host: installed as the README says, as its systemd unit."""

import json

from . import wheel
from .host import Host
from .wait import wait_until

SERVICE = "appagent.service"
COMMAND = "/usr/local/bin/appagent"
VERSIONS = "/opt/appagent/versions"
CONFIG = """\
environment: production
roots:
  - path: /files/production
    run_as: www-data
    trusted_owners: [deploy]
log: {level: debug}  # tests count what began
"""
UPGRADE = r"""
set -eu
python3 -m venv "$1"
"$1/bin/pip" install -q --no-index --find-links /opt/wheelhouse "$2"
"$1/share/appagent/put-in-place"
systemctl restart appagent
"""


def installed(host: Host) -> bool:
    """Whether the image holds an agent."""
    return host.ok(f"ls {VERSIONS}/*/bin/appagent")


def install(host: Host, config: str) -> None:
    """Configure the agent that lies in the image, and let it be the node's: a running service."""
    host.write("/etc/appagent/appagent.yaml", config)
    host.run(f"{VERSIONS}/*/share/appagent/put-in-place")
    start(host)


def start(host: Host) -> None:
    """Start the service if it is not active, and wait until it says that it is ready."""
    host.run(f"systemctl is-active -q {SERVICE} || systemctl restart {SERVICE}", timeout=100)
    wait_service(host, SERVICE)


def forget_gone(host: Host, root: str) -> None:
    """Say of apps that are not on the share any more, as those of earlier tests, that it is meant.

    Many that go at once would be kept, for nobody believes that.
    """
    there = host.out(["ls", "-A", root]).splitlines()
    for app in json.loads(host.out([COMMAND, "status", "--json"]))["apps"]:
        if app["app"] not in there:
            host.run([COMMAND, "forget", app["app"]], check=False)


def wait_service(host: Host, name: str, timeout: float = 60) -> None:
    """Wait until a service is active on a host."""
    wait_until(
        lambda: host.ok(["systemctl", "is-active", "-q", name]), timeout, f"{name} of {host.name}"
    )


def upgrade(host: Host, version: str) -> None:
    """Install another version beside the one that is there, switch to it, restart the service."""
    made = wheel.build(host.disk / f"wheel-{version}", version)
    (host.root / "opt" / made.name).write_bytes(made.read_bytes())
    words = [f"{VERSIONS}/{version}", f"/opt/{made.name}"]
    host.run(["sh", "-c", UPGRADE, "sh", *words], timeout=180)
    wait_service(host, SERVICE)
