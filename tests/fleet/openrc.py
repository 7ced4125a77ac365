"""A host whose first process is OpenRC's, as Debian's package has it, and no systemd.

The package is laid over the hosts' image without its maintainer scripts: those would turn the
services of a server with systemd into scripts that nobody needs here.
"""

import fcntl
from dataclasses import dataclass
from pathlib import Path

from . import image, machine
from .fleet import Fleet
from .host import Host
from .wait import wait_until

UNPACK = r"""
cd /tmp
apt-get update -qq
apt-get download -qq openrc librc1 libeinfo1 insserv
for package in *.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C /
done
# Debian has it in a package that mounts what a whole machine has.
printf '#!/sbin/openrc-run\nstart() { :; }\n' > /etc/init.d/localmount
chmod 755 /etc/init.d/localmount
"""


def layers() -> list[Path]:
    """Return the layers of the image with OpenRC on top; build that one if it is not there."""
    below = image.layers()
    base = below[-1:]
    with (machine.CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        recipe = [base[0].name, UNPACK]
        top = image.layer("openrc", recipe, base, unpack)
    return [top, *below]


def unpack(into: Path, below: list[Path]) -> None:
    """Build the layer with OpenRC."""
    into.mkdir()
    image.run_over(into, below, UNPACK)


@dataclass
class OpenRcHost(Host):
    """A host that boots OpenRC."""

    init: str = "/sbin/openrc-init"

    def wait_booted(self, timeout: float) -> None:
        """Wait until the default runlevel is entered."""
        wait_until(lambda: "default" in self.out(["rc-status", "-r"]), timeout, self.died(), 0.05)

    def service(self, verb: str) -> None:
        """Tell OpenRC what to do with the agent, and wait for it."""
        self.run(["rc-service", "appagent", verb], timeout=100)


def add(fleet: Fleet, config: str) -> OpenRcHost:
    """Add a host with OpenRC and a configured agent to a fleet; it is not powered on."""
    host = OpenRcHost(fleet.name, "app1", "app", fleet.addresses()["app1"], fleet.network, layers())
    fleet.hosts[host.name] = host
    host.create(fleet.addresses())
    (host.root / "usr/bin/systemctl").unlink()
    (host.root / "etc/appagent").mkdir(parents=True, exist_ok=True)
    (host.root / "etc/appagent/appagent.yaml").write_text(config)
    put = "/opt/appagent/versions/*/share/appagent/put-in-place"
    machine.sh("chroot", host.root, "/bin/sh", "-c", put)
    return host
