"""One host of the fleet: a server with systemd, a disk of its own and a cable to the switch."""

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from . import cgroup, machine
from .inside import (
    Command,
    CommandFailed,
    CommandHung,
    Done,
    Entrance,
    alive,
    first_process,
    start_of,
)
from .network import Network
from .wait import wait_until

__all__ = ["CommandFailed", "CommandHung", "Done", "Host"]

STATE = "var/lib/appagent"  # on a small disk of its own, so that it can be filled
STATE_MEGABYTES = 96
NOTES = "var/log/apps"  # everybody may write there: what the tests' apps note of themselves
POWEROFF = signal.SIGRTMIN + 4  # what systemd takes as "power off, cleanly"
IN_GROUP = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


@dataclass
class Host:
    """A host: make it with `create`, then `power_on`; its disk stays until the fleet goes down."""

    fleet: str
    name: str
    role: str  # file | app | dev
    address: str
    network: Network
    layers: list[Path] = field(repr=False)
    leader: int = 0
    leader_start: int = 0
    init: str = ""  # the first process, if it is not systemd

    @property
    def disk(self) -> Path:
        """Where this host's disk lies on the machine."""
        return machine.DISKS / self.fleet / self.name

    @property
    def root(self) -> Path:
        """The host's root filesystem, as the machine sees it (without the share, /run and /tmp)."""
        return self.disk / "root"

    @property
    def group(self) -> Path:
        """The host's control group on the machine."""
        return cgroup.top(self.fleet) / self.name

    @property
    def running(self) -> bool:
        """Whether the host is powered on."""
        return self.leader != 0 and alive(self.leader, self.leader_start)

    def create(self, names: Mapping[str, str]) -> None:
        """Make the disk: an overlay on the image, and the names of all hosts on it."""
        (self.disk / "bricks").mkdir(parents=True)
        state = self.disk / "state.img"
        machine.sh("truncate", "-s", f"{STATE_MEGABYTES}M", state)
        machine.sh("mkfs.ext4", "-q", "-m", "0", state)
        self.insert_disk()
        self.name_it(names)
        (self.root / NOTES).mkdir(parents=True)
        (self.root / NOTES).chmod(0o1777)
        wanted = {"file": ["glusterd", "ssh"], "app": [], "dev": []}[self.role]
        for service in wanted:
            self.enable(f"{service}.service")

    def insert_disk(self) -> None:
        """Mount the disk where systemd-nspawn will find it."""
        machine.overlay(self.layers, self.disk / "upper", self.disk / "work", self.root)
        (self.root / STATE).mkdir(parents=True, exist_ok=True)
        machine.sh("mount", "-o", "loop", self.disk / "state.img", self.root / STATE)

    def name_it(self, names: Mapping[str, str]) -> None:
        """Write the host's name and the names of all others."""
        (self.root / "etc/hostname").write_text(f"{self.name}\n")
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in names.items())]
        (self.root / "etc/hosts").write_text("\n".join(lines) + "\n")

    def enable(self, unit: str) -> None:
        """Let a unit be started at the next boot, without asking the host's systemd."""
        wants = self.root / "etc/systemd/system/multi-user.target.wants"
        wants.mkdir(parents=True, exist_ok=True)
        (wants / unit).symlink_to(f"/lib/systemd/system/{unit}")

    # Power

    def power_on(self, timeout: float = 60, *, connected: bool = True) -> None:
        """Boot, and wait until systemd has started what it starts at boot."""
        if self.running:
            return
        self.network.unplug(self.name)
        cgroup.end(self.group)
        self.network.plug(self.name, self.address)
        if not connected:
            self.network.cut(self.name)
        self.group.mkdir(parents=True)
        self.supervise()
        wait_until(self.find, timeout, self.died(), 0.02)
        self.wait_booted(timeout)

    def find(self) -> bool:
        """Find the host's first process, whoever has booted it."""
        self.leader = first_process(self.group / "payload")
        self.leader_start = start_of(self.leader)
        return self.running

    def supervise(self) -> None:
        """Start systemd-nspawn, in the host's control group; it outlives this process."""
        nspawn = (
            f"systemd-nspawn -D {self.root} --machine={self.fleet}-{self.name}"
            f" --hostname={self.name} --register=no --keep-unit --console=pipe"
            f" --network-namespace-path={self.network.path(self.name)} --resolv-conf=off"
            f" --bind=/dev/fuse --bind={self.disk}/bricks:/bricks --capability=all --timezone=off"
            f" {self.init or '--boot'}"
        )
        with (self.disk / "console.log").open("ab") as console:
            subprocess.Popen(
                ["sh", "-c", IN_GROUP, str(self.group), *nspawn.split()],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                env={
                    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                },
            )

    def died(self) -> str:
        """Return words for a boot that failed."""
        return f"boot of {self.name} (see {self.disk}/console.log)"

    def wait_booted(self, timeout: float) -> None:
        """Wait until systemd says that the boot is over, whatever came of it."""

        def booted() -> bool:
            state = self.run("systemctl is-system-running --wait", check=False, timeout=timeout)
            return state.out.strip() in ("running", "degraded")

        wait_until(booted, timeout, self.died(), 0.05)

    def power_off(self) -> None:
        """Pull the plug: nobody in the host gets a word, and its peers hear nothing any more."""
        if self.network.path(self.name).exists():
            self.network.cut(self.name)
        cgroup.end(self.group)
        self.network.unplug(self.name)
        self.leader = 0

    def shut_down(self, timeout: float = 120) -> None:
        """Power off as a person does, with systemd stopping all services."""
        self.signal_leader(POWEROFF)
        wait_until(lambda: not self.running, timeout, f"shutdown of {self.name}")
        self.power_off()

    def reboot(self) -> None:
        """Shut down cleanly and boot again."""
        self.shut_down()
        self.power_on()

    def signal_leader(self, number: int) -> None:
        """Send a signal to the host's first process."""
        if self.running:
            machine.sh("kill", f"-{number}", str(self.leader))

    # Network

    def cut(self, *others: "Host") -> None:
        """Cut the host off from all others, or only from those named; both ways, without a word."""
        if not others:
            self.network.cut(self.name)
        for other in others:
            self.network.cut_between(self.name, other.address)
            other.network.cut_between(other.name, self.address)

    def heal(self, *others: "Host") -> None:
        """Connect the host with all others again (name those it was cut off from one by one)."""
        for host in (self, *others):
            host.network.heal(host.name)

    # Commands

    @property
    def entrance(self) -> Entrance:
        """The way in, while the host is up."""
        if not self.running:
            msg = f"{self.name} is powered off"
            raise RuntimeError(msg)
        return Entrance(self.name, self.leader, self.group / "payload")

    def run(  # noqa: PLR0913 - all but the first have a default
        self,
        command: Command,
        user: str = "root",
        *,
        check: bool = True,
        timeout: float = 60,
        text: str = "",
        env: Mapping[str, str] | None = None,
    ) -> Done:
        """Run a command (a line for bash, or words) in / and return its status and output.

        Another status than 0 raises CommandFailed, unless `check` is off; a command that is not
        done in time is killed with its children and raises CommandHung.
        """
        done = self.entrance.run(command, user, timeout, text, env or {})
        if check and done.status != 0:
            raise CommandFailed(self.name, command, done)
        return done

    def out(self, command: Command, user: str = "root", timeout: float = 60) -> str:
        """Run a command and return what it printed, without the newline at its end."""
        return self.run(command, user, timeout=timeout).out.rstrip("\n")

    def ok(self, command: Command, user: str = "root", timeout: float = 60) -> bool:
        """Whether a command ends with status 0."""
        return self.run(command, user, check=False, timeout=timeout).status == 0

    def attached(self, command: Command, user: str = "root", *, terminal: bool = False) -> int:
        """Run a command with this terminal as its own, and return its status."""
        return self.entrance.attached(command, user, terminal=terminal)

    def write(self, path: str, text: str, *, owner: str = "root:root", mode: str = "644") -> None:
        """Write a file in the host, whole, through its own mounts."""
        script = (
            'mkdir -p "${1%/*}" && cat > "$1.new" && chown "$2" "$1.new" && chmod "$3" "$1.new"'
        )
        script += ' && mv -T "$1.new" "$1"'
        self.run(["sh", "-c", script, "sh", path, owner, mode], text=text)

    def read(self, path: str) -> str:
        """Read a file in the host, through its own mounts."""
        return self.run(["cat", path]).out

    # Processes

    def pids(self, pattern: str) -> list[int]:
        """Return the host's processes whose command line matches, by the host's own count."""
        found = self.run(["pgrep", "-f", "--", pattern], check=False).out.split()
        return [int(word) for word in found]

    def main_pid(self, unit: str) -> int:
        """Return the main process of a unit; 0 if it has none."""
        return int(self.out(["systemctl", "show", "--property=MainPID", "--value", unit]))

    def kill(self, name: str, *pids: int) -> None:
        """Send a signal (KILL, STOP, …) to processes of the host."""
        self.run(["kill", f"-{name}", "--", *map(str, pids)])

    @contextmanager
    def stopped(self, *pids: int) -> Iterator[None]:
        """Keep processes stopped (SIGSTOP) for as long as the block lasts."""
        self.kill("STOP", *pids)
        try:
            yield
        finally:
            living = [str(pid) for pid in pids if self.ok(["kill", "-0", str(pid)])]
            if living:
                self.run(["kill", "-CONT", "--", *living], check=False)

    # Disk

    def fill_disk(self, leave: int = 0) -> None:
        """Fill the disk with appagent's state, but for some bytes."""
        path = f"/{STATE}/.filled-by-a-test"
        # What ext4 holds back for writes that are under way becomes free with a sync.
        rest = f"while head -c 1K /dev/zero >> {path} && sync -f {path}; do :; done"
        script = f"(cat /dev/zero >> {path}; sync -f {path}; {rest}) 2> /dev/null"
        script += f"; truncate -s -{leave} {path}; sync -f {path}"
        self.run(script, check=False)

    def free_disk(self) -> None:
        """Take away what `fill_disk` wrote."""
        self.run(["rm", "-f", f"/{STATE}/.filled-by-a-test"])

    def copy_disk_to(self, other: "Host") -> None:
        """Copy the disk, also of a running host, to another that is off: state and all.

        The state's filesystem stands still for that moment, as when a volume is snapshotted.
        """
        shutil.rmtree(other.disk, ignore_errors=True)
        other.disk.mkdir(parents=True)
        machine.sh("fsfreeze", "--freeze", self.root / STATE)
        try:
            for part in ("upper", "state.img"):
                machine.sh("cp", "-a", "--sparse=always", self.disk / part, other.disk / part)
        finally:
            machine.sh("fsfreeze", "--unfreeze", self.root / STATE)
        (other.disk / "bricks").mkdir()

    # Journal

    def journal(self, *matches: str, boot: str = "", since: float = 0) -> list[dict[str, str]]:
        """Return the journal's entries that match ("APP=web", "_SYSTEMD_UNIT=…"), oldest first.

        Read from the disk, so it works of a host that is off or hangs. `boot` narrows it to one
        boot ("0" is the last), `since` to what was told then or later.
        """
        if self.running:
            self.run("journalctl --sync", check=False)
        directory = self.root / "var/log/journal"
        narrow = [f"--since=@{since:.6f}", *([f"--boot={boot}"] if boot else [])]
        read = ["journalctl", f"--directory={directory}", "--output=json", "--all", "--quiet"]
        lines = machine.sh(*read, *narrow, *matches, check=False).splitlines()
        return [readable(json.loads(line)) for line in lines]

    def keep_logs(self, into: Path) -> None:
        """Write the whole journal, the console and GlusterFS's logs to a directory."""
        into.mkdir(parents=True, exist_ok=True)
        directory = self.root / "var/log/journal"
        text = machine.sh("journalctl", "-D", directory, "-o", "short-iso-precise", check=False)
        (into / f"{self.name}.journal").write_text(text)
        if (self.disk / "console.log").exists():
            shutil.copy(self.disk / "console.log", into / f"{self.name}.console")
        logs = self.root / "var/log/glusterfs"
        for path in logs.rglob("*.log"):
            flat = re.sub(r"[^\w.]+", "-", str(path.relative_to(logs)))
            shutil.copy(path, into / f"{self.name}.gluster-{flat}")


def readable(entry: Mapping[str, object]) -> dict[str, str]:
    """Return a journal entry with every field as text; of repeated fields the last one."""
    found = {}
    for key, given in entry.items():
        value = given[-1] if isinstance(given, list) and given and not is_bytes(given) else given
        text = bytes(value).decode(errors="replace") if isinstance(value, list) else str(value)
        found[key] = text
    return found


def is_bytes(value: list[object]) -> bool:
    """Whether a list in journalctl's JSON is a value that is no valid text."""
    return all(isinstance(item, int) for item in value)
