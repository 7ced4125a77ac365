"""appagent on a host: installed as the README says, as its systemd unit."""

from . import wheel
from .host import Host
from .wait import wait_until

SERVICE = "appagent.service"
COMMAND = "/opt/appagent/bin/appagent"
WHEELS = "/opt/wheelhouse"
CONFIG = """\
environment: production
roots:
  - path: /files/production
    run_as: www-data
    trusted_owners: [deploy]
"""
INSTALL = r"""
set -eu
cd /opt/systemd
for kind in service slice target socket timer; do
    for file in *.$kind; do
        if [ -f "$file" ]; then install -m 644 "$file" /etc/systemd/system/; fi
    done
done
if [ -f appagent.sysusers ]; then install -D -m 644 appagent.sysusers /etc/sysusers.d/appagent.conf; fi
if [ -f appagent.tmpfiles ]; then install -D -m 644 appagent.tmpfiles /etc/tmpfiles.d/appagent.conf; fi
systemd-sysusers
systemctl daemon-reload
"""


def installed(host: Host) -> bool:
    """Whether the image holds an agent whose command works."""
    return host.ok([COMMAND, "--help"])


def install_files(host: Host, config: str) -> None:
    """Put the configuration and the units in their places."""
    host.write("/etc/appagent/appagent.yaml", config)
    host.run(INSTALL)


def install(host: Host, config: str) -> None:
    """Put everything in its place, and start the service, now and at each boot."""
    install_files(host, config)
    host.run(["systemctl", "enable", "-q", SERVICE])
    start(host)


def start(host: Host) -> None:
    """Start the service if it is not active, and wait until it says that it is ready."""
    host.run(f"systemctl is-active -q {SERVICE} || systemctl restart {SERVICE}", timeout=100)
    wait_service(host, SERVICE)


def wait_service(host: Host, name: str, timeout: float = 60) -> None:
    """Wait until a service is active on a host."""
    wait_until(
        lambda: host.ok(["systemctl", "is-active", "-q", name]), timeout, f"{name} of {host.name}"
    )


def upgrade(host: Host, version: str) -> None:
    """Install appagent as another version over the one that is there, and restart the service."""
    made = wheel.build(host.disk / f"wheel-{version}", version)
    target = host.root / "opt" / made.name
    target.write_bytes(made.read_bytes())
    pip = f"/opt/appagent/bin/pip install -q --no-index --find-links {WHEELS} --upgrade"
    host.run(f"{pip} --force-reinstall --no-deps /opt/{made.name}", timeout=120)
    host.run(["systemctl", "restart", SERVICE], timeout=100)
