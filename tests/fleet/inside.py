"""Running commands inside a host: in its namespaces, its root and its control group.

Output goes to files and never to pipes, so that a daemon which a command leaves behind holds nobody
up; and the time limit holds even where the command hangs in a share that is cut off.
"""

import itertools
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import cgroup

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENTER = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
NAMESPACES = ("-m", "-p", "-u", "-i", "-n", "-C", "-r", "-w")
numbers = itertools.count(1)

Command = str | Sequence[str]  # a line for the shell, or the words of one command


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str


class CommandFailed(AssertionError):
    """A command ended with another status than 0."""

    def __init__(self, host: str, command: Command, done: Done) -> None:
        """Tell what was run where, and what it said."""
        self.done = done
        said = "\n".join((done.out + done.err).splitlines()[-40:])
        super().__init__(f"{host}: {command!r}: exit status {done.status}\n{said}")


class CommandHung(AssertionError):
    """A command had not ended when its time was over; it was killed."""

    def __init__(self, host: str, command: Command, timeout: float, said: str) -> None:
        """Tell what was run where, and what it had said so far."""
        super().__init__(f"{host}: {command!r}: not done within {timeout:g} s\n{said[-4000:]}")


@dataclass(frozen=True)
class Entrance:
    """The way into one running host."""

    host: str
    leader: int  # the host's first process, by the machine's count
    group: Path  # the control group that the host takes for its root

    def words(self, command: Command, user: str, env: Mapping[str, str], group: Path) -> list[str]:
        """Return the machine's command line for a command inside the host."""
        inner = ["/bin/bash", "-c", command] if isinstance(command, str) else list(command)
        uid, gid, home = self.account(user)
        settings = {"PATH": PATH, "HOME": home, "USER": user, "LOGNAME": user, "LANG": "C.UTF-8"}
        settings |= {"SHELL": "/bin/bash"} | dict(env)
        pairs = [f"{key}={value}" for key, value in settings.items()]
        rights = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--init-groups"]
        enter = ["nsenter", "-t", str(self.leader), *NAMESPACES, "--"]
        outer = ["sh", "-c", ENTER, str(group), *enter]
        return [*outer, *rights, "env", "-i", *pairs, *inner]

    def account(self, user: str) -> tuple[str, str, str]:
        """Return a user's id, group and home directory in the host."""
        for line in Path(f"/proc/{self.leader}/root/etc/passwd").read_text().splitlines():
            fields = line.split(":")
            if fields[0] == user:
                return fields[2], fields[3], fields[5]
        msg = f"{self.host} has no user {user}"
        raise LookupError(msg)

    def new_group(self) -> Path:
        """Return a control group of its own for one command."""
        group = self.group / "commands" / f"{os.getpid()}-{next(numbers)}"
        group.mkdir(parents=True)
        return group

    def run(
        self, command: Command, user: str, timeout: float, text: str, env: Mapping[str, str]
    ) -> Done:
        """Run a command to its end; kill it and all its children when its time is over."""
        group = self.new_group()
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            given.write(text.encode())
            given.seek(0)
            process = subprocess.Popen(
                self.words(command, user, env, group),
                stdin=given,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            status: int | None = None
            try:
                status = process.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
            finally:
                if process.returncode is None:
                    self.kill(process, group)
            out.seek(0)
            err.seek(0)
            said = out.read().decode(errors="replace"), err.read().decode(errors="replace")
        with suppress(OSError):  # what it left behind lives on there
            group.rmdir()
        if status is None:
            raise CommandHung(self.host, command, timeout, "".join(said))
        return Done(status if status >= 0 else 128 - status, *said)

    def kill(self, process: "subprocess.Popen[bytes]", group: Path) -> None:
        """Kill a command with all its children; one that hangs in the kernel dies later."""
        with suppress(OSError):
            (group / "cgroup.kill").write_text("1")
        with suppress(subprocess.TimeoutExpired):
            process.wait(2)

    def attached(self, command: Command, user: str = "root", *, terminal: bool = False) -> int:
        """Run a command with this terminal as its own, and return its status."""
        group = self.new_group()
        term = {"TERM": os.environ.get("TERM", "dumb")} if terminal else {}
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the command's to answer
        try:
            words = self.words(command, user, term, group)
            restore = ["env", "--default-signal=INT", *words]
            status = subprocess.run(restore, check=False).returncode
        finally:
            signal.signal(signal.SIGINT, before)
        with suppress(OSError):
            group.rmdir()
        return status if status >= 0 else 128 - status


def alive(pid: int, start: int) -> bool:
    """Whether a process is the one that was started then, and has not ended."""
    return start_of(pid) == start


def start_of(pid: int) -> int:
    """Return when a process was started, in ticks since boot; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def first_process(group: Path) -> int:
    """Return the first process of the host that lives in a group; 0 if there is none yet."""
    for pid in cgroup.processes(group) if group.is_dir() else []:
        with suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("NSpid:") and line.split()[2:] == ["1"]:
                    return pid
    return 0
