"""The GlusterFS volume that the file servers carry, and its mounts on all hosts."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from .host import CommandFailed, Host
from .wait import wait_until

NAME = "files"
POINT = "/files"
UNIT = "files.mount"
MOUNT = """\
[Unit]
Description=The share with all apps
After=network-online.target glusterd.service
Wants=network-online.target
Before=remote-fs.target

[Mount]
What={first}:/files
Where=/files
Type=glusterfs
Options=_netdev,backup-volfile-servers={others}
TimeoutSec=60

[Install]
WantedBy=remote-fs.target
"""


class Volume:
    """One volume over all file servers, mounted at /files."""

    def __init__(self, servers: Sequence[Host]) -> None:
        """Take the file servers, in the order of their bricks."""
        self.servers = list(servers)
        self.bricks = {server.name: f"/bricks/{NAME}" for server in servers}

    def create(self, replica: int, *, arbiter: bool, options: Mapping[str, str]) -> None:
        """Make the servers peers, and the volume; `replica` may be less than the servers."""
        first, *others = self.servers
        for other in others:
            first.run(["gluster", "peer", "probe", other.name])
        wait_until(lambda: self.peers() == len(others), 60, "peers of the file servers")
        bricks = [f"{name}:{path}" for name, path in self.bricks.items()]
        kind = ["replica", str(replica)] if replica > 1 else []
        kind += ["arbiter", "1"] if arbiter else []
        self.ask("volume", "create", NAME, *kind, *bricks, "force")
        for key, value in options.items():
            self.ask("volume", "set", NAME, *([key, value] if key != "group" else ["group", value]))
        self.ask("volume", "start", NAME)

    def peers(self) -> int:
        """Return how many peers the first server is connected with."""
        return (
            self.servers[0].out(["gluster", "peer", "status"]).count("Peer in Cluster (Connected)")
        )

    def ask(self, *words: str, timeout: float = 120) -> str:
        """Run a `gluster` command on a file server that is up, and return its output."""
        server = next(server for server in self.servers if server.running)
        return server.out(["gluster", "--mode=script", *words], timeout=timeout)

    # Bricks

    def online(self) -> dict[str, bool]:
        """Return for each file server whether its brick is up."""
        tree = ET.fromstring(self.ask("volume", "status", NAME, "--xml"))  # noqa: S314 - our own
        found = dict.fromkeys(self.bricks, False)
        for node in tree.iter("node"):
            name = node.findtext("hostname", "")
            if name in found and node.findtext("path") == self.bricks[name]:
                found[name] = node.findtext("status") == "1"
        return found

    def brick_down(self, server: Host) -> None:
        """Kill the process that serves a file server's brick."""
        server.kill("KILL", *server.pids(f"glusterfsd .*{self.bricks[server.name]} "))

    def brick_up(self, server: Host) -> None:
        """Start a file server's brick again, and wait until it is up."""
        self.ask("volume", "start", NAME, "force")
        wait_until(lambda: self.online()[server.name], 60, f"the brick of {server.name}")

    def replace_brick(self, server: Host) -> None:
        """Give a file server a new, empty brick, and wait until it is healed."""
        old = self.bricks[server.name]
        new = f"/bricks/{NAME}-{len(old)}"
        names = (f"{server.name}:{old}", f"{server.name}:{new}")
        self.ask("volume", "replace-brick", NAME, *names, "commit", "force")
        self.bricks[server.name] = new
        wait_until(lambda: self.online()[server.name], 60, f"the new brick of {server.name}")
        self.ask("volume", "heal", NAME, "full")
        self.wait_healed()

    def grow(self) -> None:
        """Give each file server one more brick: the files are spread over two sets from now on."""
        more = [f"{server.name}:/bricks/{NAME}-more" for server in self.servers]
        self.ask("volume", "add-brick", NAME, *more, "force")

    def rebalance(self) -> int:
        """Move files to the bricks that they belong to now; return how many were moved."""
        self.ask("volume", "rebalance", NAME, "start", "force")
        wait_until(lambda: self.rebalanced()[0] == "completed", 180, "the rebalance")
        return self.rebalanced()[1]

    def rebalanced(self) -> tuple[str, int]:
        """Return the state of the rebalance, and how many files it has moved."""
        tree = ET.fromstring(self.ask("volume", "rebalance", NAME, "status", "--xml"))  # noqa: S314
        whole = "volRebalance/aggregate"
        return tree.findtext(f"{whole}/statusStr", ""), int(tree.findtext(f"{whole}/files", "0"))

    def unhealed(self) -> int:
        """Return how many entries wait to be healed; raises while a brick does not answer."""
        tree = ET.fromstring(self.ask("volume", "heal", NAME, "info", "--xml"))  # noqa: S314
        counts = [brick.findtext("numberOfEntries", "-") for brick in tree.iter("brick")]
        return sum(int(count) for count in counts)

    def wait_healed(self, timeout: float = 180) -> None:
        """Wait until all bricks are up and nothing is left to heal."""
        wait_until(lambda: all(self.online().values()), timeout, "all bricks up")

        def healed() -> bool:
            if self.unhealed() == 0:
                return True
            self.heal()
            return False

        wait_until(healed, timeout, "healed", 1)

    def heal(self) -> None:
        """Have what waits be healed now; by itself its daemon looks every ten minutes only."""
        with suppress(CommandFailed):  # one is under way already, or a brick does not answer yet
            self.ask("volume", "heal", NAME)

    def restart_servers(self) -> None:
        """Reboot the file servers one after the other, each when the one before is healed."""
        for server in self.servers:
            server.reboot()
            self.wait_server(server)
            self.wait_healed()

    def wait_server(self, server: Host) -> None:
        """Wait until a file server that was booted serves again, and mounts the share itself."""
        wait_until(lambda: self.online()[server.name], 90, f"the brick of {server.name}")
        if not self.mounted(server):
            self.mount(server)

    # Mounts

    def install_mount(self, host: Host) -> None:
        """Give a host the mount's unit, so that it mounts now and at each boot."""
        first, *others = [server.name for server in self.servers]
        text = MOUNT.format(first=first, others=":".join(others) or first)
        host.write(f"/etc/systemd/system/{UNIT}", text)
        host.run(f"systemctl daemon-reload && systemctl enable -q --now {UNIT}", timeout=120)
        wait_until(lambda: self.mounted(host), 60, f"{POINT} of {host.name}")

    def mounted(self, host: Host) -> bool:
        """Whether the share is mounted on a host and answers."""
        found = host.run(["stat", "-f", "-c", "%T", POINT], check=False, timeout=10)
        return found.status == 0 and "fuse" in found.out

    def mount(self, host: Host) -> None:
        """Mount the share, also over the remains of a mount whose client has died."""
        if self.mounted(host):
            return
        self.unmount(host)
        host.run(["systemctl", "start", UNIT], timeout=120)
        wait_until(lambda: self.mounted(host), 60, f"{POINT} of {host.name}")

    def unmount(self, host: Host) -> None:
        """Take the mount away, also while it is in use or dead."""
        script = f"while grep -q ' {POINT} fuse' /proc/mounts; do umount -l {POINT} || break; done"
        host.run(f"{script}; systemctl reset-failed {UNIT} || true")
        state = "systemctl is-active -q files.mount || systemctl is-failed -q files.mount"
        wait_until(lambda: not host.ok(state) or self.mounted(host), 30, "the unit noticed")

    def mount_at_boot(self, host: Host, *, on: bool) -> None:
        """Let the share be mounted at the host's next boots, or not."""
        host.run(["systemctl", "enable" if on else "disable", "-q", UNIT])

    def client(self, host: Host) -> list[int]:
        """Return the processes of the FUSE client on a host."""
        return host.pids(rf"glusterfs .*--volfile-id=/?{NAME} {POINT}$")

    def kill_client(self, host: Host) -> None:
        """Kill the FUSE client: every call into the share says ENOTCONN from then on."""
        host.kill("KILL", *self.client(host))

    def on_all(self, hosts: Sequence[Host]) -> None:
        """Install the mount on several hosts at once."""
        with ThreadPoolExecutor(len(hosts)) as pool:
            list(pool.map(self.install_mount, hosts))
