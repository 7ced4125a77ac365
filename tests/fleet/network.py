"""The network between the hosts: all of it inside namespaces, nothing on the machine's own.

A namespace holds a bridge, the switch. Each host has a namespace with one interface, whose other
end is a port of that switch, named after the host. A cut closes the port: the cable stays plugged
in, and what is sent vanishes without a word, as behind a switch that died.
"""

from pathlib import Path

from . import machine

SWITCH = "switch"
NOBODY = "02:00:00:00:00:01"  # a hardware address that no host has


class Network:
    """The switch of one fleet and the cables to its hosts."""

    def __init__(self, fleet: str) -> None:
        """Name the network; nothing is made yet."""
        self.fleet = fleet
        self.switch = f"{fleet}-{SWITCH}"

    def up(self) -> None:
        """Make the switch."""
        machine.sh("ip", "netns", "add", self.switch)
        machine.sh("ip", "-n", self.switch, "link", "add", "bridge", "type", "bridge")
        machine.sh("ip", "-n", self.switch, "link", "set", "bridge", "up")

    def plug(self, host: str, address: str) -> None:
        """Give a host its namespace, with one cable to the switch."""
        space = self.space(host)
        machine.sh("ip", "netns", "add", space)
        far = ("peer", "name", "eth0", "netns", space)
        port = ("link", "add", "name", host, "type", "veth")
        machine.sh("ip", "-n", self.switch, *port, *far)
        machine.sh("ip", "-n", self.switch, "link", "set", "dev", host, "master", "bridge", "up")
        machine.sh("ip", "-n", space, "link", "set", "lo", "up")
        machine.sh("ip", "-n", space, "address", "add", f"{address}/24", "dev", "eth0")
        machine.sh("ip", "-n", space, "link", "set", "eth0", "up")

    def unplug(self, host: str) -> None:
        """Take a host's namespace away, with all that was still on its way."""
        if self.path(host).exists():
            # A namespace goes away later; its port has to be gone when the host comes again.
            machine.sh("ip", "-n", self.switch, "link", "delete", "dev", host, check=False)
            machine.sh("ip", "netns", "delete", self.space(host))

    def cut(self, host: str) -> None:
        """Let nothing through between this host and all others."""
        machine.sh("bridge", "-n", self.switch, "link", "set", "dev", host, "state", "0")

    def heal(self, host: str) -> None:
        """Let everything through again, from and to this host."""
        machine.sh("bridge", "-n", self.switch, "link", "set", "dev", host, "state", "3")
        machine.sh("ip", "-n", self.space(host), "neigh", "flush", "all", "nud", "permanent")

    def cut_between(self, host: str, address: str) -> None:
        """Let nothing through from a host to one address (the way back is another call)."""
        wrong = ("lladdr", NOBODY, "dev", "eth0", "nud", "permanent")
        machine.sh("ip", "-n", self.space(host), "neigh", "replace", address, *wrong)

    def space(self, host: str) -> str:
        """Return the name of a host's namespace."""
        return f"{self.fleet}-{host}"

    def path(self, host: str) -> Path:
        """Return the path of a host's namespace."""
        return Path("/run/netns") / self.space(host)

    def down(self) -> None:
        """Take everything away, also what an earlier, interrupted run has left."""
        for path in Path("/run/netns").glob(f"{self.fleet}-*"):
            machine.sh("ip", "netns", "delete", path.name)
