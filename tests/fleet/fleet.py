"""A fleet: file servers with one volume, app servers with the agent, a developer's machine.

    with Fleet("f", Shape(apps=3)) as fleet:
        fleet.host("app1").run("ls /files/production", user="www-data")

`up` raises it, `down` takes all of it away, also what an interrupted run of the same name has left:
everything of a fleet is found by its name (control group, namespaces, mounts, directory).
"""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self, TextIO, TypeVar

from . import agent, cgroup, image, machine, names
from .developer import Developer
from .gluster import Volume
from .host import Host
from .network import Network

T = TypeVar("T")
NET = "10.77.0"
ROOT = "/files/production"


@dataclass(frozen=True)
class Shape:
    """What a fleet consists of."""

    apps: int = 3
    file_servers: int = 2
    replica: int = 2
    arbiter: bool = False
    dev: bool = True
    volume: Mapping[str, str] = field(default_factory=dict)  # volume options; {"group": "…"} too
    start_agent: bool = os.environ.get("FLEET_AGENT") != "0"  # install and start appagent
    config: str = agent.CONFIG  # /etc/appagent/appagent.yaml
    packages: tuple[str, ...] = ()  # of Debian, beside those that all hosts have

    def hosts(self) -> dict[str, str]:
        """Return the name and the role of each host."""
        found = {f"fs{number}": "file" for number in range(1, self.file_servers + 1)}
        found |= {f"app{number}": "app" for number in range(1, self.apps + 1)}
        return found | ({"dev": "dev"} if self.dev else {})


class Fleet:
    """A fleet of that name and shape."""

    def __init__(self, name: str = "", shape: Shape | None = None) -> None:
        """Name the fleet (by default after $FLEET, or "f"); nothing is made yet."""
        self.name = name or os.environ.get("FLEET") or "f"
        if not re.fullmatch(r"[a-z][a-z0-9]{0,11}", self.name):
            msg = f"a fleet's name is a letter and at most 11 letters and digits: {self.name!r}"
            raise ValueError(msg)
        self.shape = shape or Shape()
        self.network = Network(self.name)
        self.hosts: dict[str, Host] = {}
        self.volume = Volume([])
        self.lock: TextIO | None = None
        self.passing = False  # goes with this process

    @property
    def disks(self) -> Path:
        """Where the hosts' disks lie."""
        return machine.DISKS / self.name

    @property
    def temporary(self) -> Path:
        """A mark that the fleet is to go with the process that has its lock."""
        return machine.RUN / f"{self.name}.temporary"

    @property
    def record(self) -> Path:
        """Where it is written down what is up, for those who come later."""
        return machine.RUN / f"{self.name}.json"

    # Up and down

    def __enter__(self) -> Self:
        """Raise the fleet; nobody else can raise one of this name meanwhile."""
        self.take()
        self.passing = True
        try:
            self.up()
        except BaseException:
            self.down()
            self.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Take the fleet away."""
        self.down()
        self.release()

    def keep(self) -> None:
        """Let the fleet stay up when this process ends."""
        self.temporary.unlink()
        self.release()

    def take(self) -> None:
        """Take the name for this process, or say who has it."""
        self.lock = names.take(self.name)

    def release(self) -> None:
        """Give the name back."""
        if self.lock:
            self.lock.close()
            self.lock = None

    def up(self) -> None:
        """Raise the fleet; if that fails, keep the logs."""
        try:
            self.build()
        except BaseException:
            with contextlib.suppress(Exception):
                self.keep_logs(machine.LOGS / f"raising-{self.name}")
            raise

    def build(self) -> None:
        """Boot all hosts, make and mount the volume, start the agents."""
        lacks = machine.missing()
        if lacks:
            msg = f"no fleet can be raised here, for lack of: {', '.join(lacks)}"
            raise RuntimeError(msg)
        sweep()
        shape = self.shape
        layers = image.layers(with_agent=shape.start_agent, packages=shape.packages)
        self.down()
        machine.allow_many_systemds()
        self.disks.mkdir(parents=True)
        if self.passing:
            self.temporary.touch()
        self.network.up()
        for name, role in self.shape.hosts().items():
            self.add(name, role, layers)
        files = self.of("file")
        self.volume = Volume(files)
        first = ThreadPoolExecutor(1).submit(self.serve) if files else None
        self.each(self.raise_host)
        if first:
            first.result()
            self.open_for_apps()
        self.write_record()

    def serve(self) -> None:
        """Make the volume as soon as the file servers are up."""
        for server in self.of("file"):
            agent.wait_service(server, "glusterd", 90)
        shape = self.shape
        self.volume.create(shape.replica, arbiter=shape.arbiter, options=shape.volume)

    def open_for_apps(self) -> None:
        """Mount the share everywhere, make the root on it, start the agents."""
        first = self.of("file")[0]
        self.volume.install_mount(first)
        first.run(["install", "-d", "-m", "2775", "-o", "deploy", "-g", "deploy", ROOT])
        self.each(self.join, (host for host in self.sharing() if host is not first))

    def join(self, host: Host) -> None:
        """Let a host that was just made join: mount the share, start the agent."""
        self.volume.install_mount(host)
        if host.role == "app" and self.shape.start_agent and agent.installed(host):
            agent.install(host, self.shape.config)

    def down(self) -> None:
        """Take the fleet away, with all that was left of an earlier one of this name."""
        cgroup.end(cgroup.top(self.name))
        self.network.down()
        for where in machine.mounts_below(self.disks):
            machine.sh("umount", where, check=False)
        for where in machine.mounts_below(self.disks):
            machine.sh("umount", "--lazy", where)
        shutil.rmtree(self.disks, ignore_errors=True)
        self.record.unlink(missing_ok=True)
        self.temporary.unlink(missing_ok=True)
        self.hosts.clear()

    # Hosts

    def add(self, name: str, role: str, layers: list[Path]) -> Host:
        """Add a host to the fleet's books: nothing is made yet."""
        number = int(re.sub(r"\D", "", name) or 0)
        address = f"{NET}.{ {'dev': 2, 'file': 10, 'app': 100}[role] + number }"
        self.hosts[name] = Host(self.name, name, role, address, self.network, layers)
        return self.hosts[name]

    def raise_host(self, host: Host) -> None:
        """Make a host's disk and boot it."""
        host.create(self.addresses())
        host.power_on()

    def addresses(self) -> dict[str, str]:
        """Return the name and address of every host that there is or may come."""
        spare = {f"app{number}": f"{NET}.{100 + number}" for number in range(1, 100)}
        return spare | {host.name: host.address for host in self.hosts.values()}

    def new_app(self) -> Host:
        """Boot one more app server into the running fleet, and let it join."""
        host = self.add(self.next_name(), "app", self.of("app")[0].layers)
        self.raise_host(host)
        self.join(host)
        self.write_record()
        return host

    def clone(self, source: Host, *, same_machine_id: bool = False) -> Host:
        """Take an image of a running node, state included, and boot a new node from it."""
        host = self.add(self.next_name(), source.role, source.layers)
        source.copy_disk_to(host)
        host.insert_disk()
        host.name_it(self.addresses())
        if not same_machine_id:
            (host.root / "etc/machine-id").write_text("")
        host.power_on()
        self.write_record()
        return host

    def next_name(self) -> str:
        """Return a name for one more app server."""
        numbers = [int(host.name[3:]) for host in self.of("app")]
        return f"app{max(numbers, default=0) + 1}"

    def remove(self, host: Host) -> None:
        """Take one host away for good, with its disk."""
        host.power_off()
        for where in machine.mounts_below(host.disk):
            machine.sh("umount", where)
        shutil.rmtree(host.disk)
        del self.hosts[host.name]
        self.write_record()

    def host(self, name: str) -> Host:
        """Return the host of that name."""
        if name not in self.hosts:
            msg = f"the fleet {self.name!r} has no host {name!r} but {', '.join(self.hosts)}"
            raise LookupError(msg)
        return self.hosts[name]

    def of(self, role: str) -> list[Host]:
        """Return the hosts of a role: file, app or dev."""
        return [host for host in self.hosts.values() if host.role == role]

    @property
    def apps(self) -> list[Host]:
        """The app servers."""
        return self.of("app")

    @property
    def developer(self) -> Developer:
        """Somebody who deploys, from the developer's machine to the first file server."""
        return Developer(self.host("dev"), self.of("file")[0], ROOT)

    def sharing(self) -> list[Host]:
        """Return the hosts that mount the share."""
        return [*self.of("file"), *self.of("app")]

    def each(self, do: Callable[[Host], T], hosts: Iterable[Host] | None = None) -> list[T]:
        """Do something with several hosts (by default all) at once; the first error is raised."""
        chosen = list(self.hosts.values() if hosts is None else hosts)
        with ThreadPoolExecutor(max(1, len(chosen))) as pool:
            return list(pool.map(do, chosen))

    # Setting right

    def set_right(self) -> None:
        """Undo all faults: every host on, connected, the share whole and mounted, agents active."""
        for host in self.hosts.values():
            if host.running:
                host.heal()
        self.each(lambda host: host.power_on())
        self.each(lambda host: host.run("pkill -CONT .", check=False))
        if self.of("file"):
            if not all(self.volume.online().values()):
                self.volume.ask("volume", "start", "files", "force")
            self.volume.wait_healed()
            self.each(self.volume.mount, self.sharing())
        self.each(self.set_agent_right, self.apps)

    def set_agent_right(self, host: Host) -> None:
        """Give the agent its disk back, let it run, and let it forget the apps of earlier tests."""
        host.free_disk()
        if self.shape.start_agent and agent.installed(host):
            agent.start(host)
            if self.of("file"):
                agent.forget_gone(host, ROOT)

    # For those who come later

    def write_record(self) -> None:
        """Write down what is up."""
        hosts = {
            host.name: {
                "role": host.role,
                "address": host.address,
                "layers": [str(layer) for layer in host.layers],
            }
            for host in self.hosts.values()
        }
        text = json.dumps({"shape": asdict(self.shape), "hosts": hosts}, indent=1)
        temporary = self.record.with_suffix(".new")
        temporary.write_text(text + "\n")
        temporary.rename(self.record)

    @classmethod
    def attach(cls, name: str = "") -> "Fleet":
        """Return the fleet of that name that somebody else has raised."""
        fleet = cls(name)
        if not fleet.record.exists():
            msg = f"no fleet {fleet.name!r} is up: make fleet-up"
            raise RuntimeError(msg)
        known = json.loads(fleet.record.read_text())
        fleet.shape = Shape(**known["shape"])
        for host_name, about in known["hosts"].items():
            layers = [Path(layer) for layer in about["layers"]]
            fleet.add(host_name, about["role"], layers).find()
        fleet.volume = Volume(fleet.of("file"))
        return fleet

    def keep_logs(self, into: Path) -> None:
        """Write every host's journal and logs to a directory, whatever state the fleet is in."""
        shutil.rmtree(into, ignore_errors=True)

        def keep(host: Host) -> None:
            if host.disk.exists():
                host.keep_logs(into)

        self.each(keep)

    def memory(self) -> int:
        """Return the bytes that all processes of the fleet take."""
        return cgroup.memory(cgroup.top(self.name))


def sweep() -> None:
    """Take away the fleets whose process has died without doing so."""
    with names.alone():
        for mark in machine.RUN.glob("*.temporary"):
            left = Fleet(mark.stem)
            with contextlib.suppress(RuntimeError):  # it is in use
                left.lock = names.lock(left.name)
                left.down()
            left.release()
