"""`appagent run --daemonize`, its locked pidfile, and agents that would get in each other's way."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.node import Node, SymlinkApp, wait_until
from tests.integration.shown import QUICK

LATER = 75
SERVER = "\t@if [ $@ = start ]; then sleep 3141 & echo $$! > {base}/server.pid; fi"


class Daemonized(Node):
    """A node whose agent goes to the background."""

    def __init__(self, base: Path) -> None:
        super().__init__(base, **QUICK)
        self.pidfile = self.runtime / "appagent.pid"
        self.daemons: list[psutil.Process] = []

    def run(
        self,
        *more: str,
        config: Path | None = None,
        stdin: int | socket.socket = subprocess.DEVNULL,
    ) -> subprocess.CompletedProcess[str]:
        """Run the agent as a person would; the daemon must hold neither of these pipes."""
        return subprocess.run(
            [*self.program, "run", *more, "--config", str(config or self.config)],
            stdin=stdin if isinstance(stdin, int) else stdin.fileno(),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def daemonize(self, *more: str) -> psutil.Process:
        """Start it, and wait until it answers; the daemon."""
        with self.log.open("ab") as log:
            done = subprocess.run(
                [*self.program, "run", "--daemonize", *more, "--config", self.config.name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.base,  # and the configuration is found though the daemon is elsewhere
                check=False,
                timeout=120,
            )
        assert (done.returncode, done.stdout) == (0, b""), self.told()
        return self.daemon()

    def daemon(self) -> psutil.Process:
        """The daemon, once it answers."""
        wait_until(self.answers, "the daemon answers")
        found = psutil.Process(self.status()["agent"]["pid"])
        self.daemons.append(found)
        return found

    def variant(self, name: str, **settings: object) -> Path:
        """Another configuration, with some settings changed."""
        whole = {**json.loads(self.config.read_text()), **settings}
        path = self.base / f"{name}.yaml"
        path.write_text(json.dumps(whole))
        return path

    def clean_up(self) -> None:
        """End what was started."""
        for daemon in self.daemons:
            with contextlib.suppress(psutil.NoSuchProcess):
                daemon.kill()  # psutil sees to it that it is still the same process
        with contextlib.suppress(FileNotFoundError):
            self.pidfile.unlink()  # whose pid may be another's by now
        super().clean_up()


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Daemonized]:
    one = Daemonized(tmp_path)
    try:
        yield one
    finally:
        one.clean_up()


def is_over(process: psutil.Process) -> bool:
    """Whether a process has ended; who adopted it may not have seen that yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def one_line(text: str, *words: str) -> None:
    """A refusal is one line for a person."""
    assert len(text.splitlines()) == 1, text
    assert text.startswith("appagent: ")
    assert all(word in text for word in words), text


def test_a_daemon_leaves_who_called_and_its_log_and_its_apps_are_where_they_should_be(
    made: Daemonized,
) -> None:
    app = SymlinkApp(made, "web")
    app.deploy("1", made.makefile(SERVER.format(base=made.base) + "\n\t@echo hello of $@"))
    daemon = made.daemonize()
    assert os.getsid(daemon.pid) != os.getsid(0)
    assert daemon.ppid() != os.getpid()
    assert daemon.cwd() == "/"
    assert os.readlink(f"/proc/{daemon.pid}/fd/0") == "/dev/null"  # noqa: PTH115
    assert made.pidfile.read_text() == f"{daemon.pid}\n"
    made.wait_for("web", "ok")
    ready = made.notices("agent.ready")
    assert ready[0]["pid"] == daemon.pid
    ends = {end["target"]: end["outcome"] for end in made.notices("run.ended", "web")}
    assert ends == {"install": "ok", "start": "ok", "check": "ok"}
    assert made.command("logs", "web", "-n", "1").stdout == "hello of check\n"
    # It is reloaded and ended by signals, as any other.
    daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: made.notices("config.loaded"), "it was read again, from where it lies")
    server = psutil.Process(int((made.base / "server.pid").read_text()))
    daemon.terminate()
    wait_until(lambda: is_over(daemon), "it ends")
    assert not made.pidfile.exists()
    assert not (made.runtime / "control.sock").exists()
    assert server.is_running()
    assert made.calls_file.read_text().count("begin") == 3


def test_what_an_app_inherits_is_as_without_the_daemonizing(made: Daemonized) -> None:
    show = "\t@[ $@ != start ] || (ulimit -c; grep 'Sig[BI]' /proc/self/status) > {base}/{name}"
    for name in ("daemonized", "foreground"):
        body = show.format(base=made.base, name=name)
        SymlinkApp(made, name).deploy("1", made.makefile(body))
    for name, other in (("daemonized", "foreground"), ("foreground", "daemonized")):
        made.root_settings["include"] = [name]
        made.root_settings["exclude"] = [other]
        made.write_config()
        if name == "daemonized":
            daemon = made.daemonize()
            made.wait_for(name, "ok")
            daemon.terminate()
            wait_until(lambda: is_over(daemon), "it ends")  # noqa: B023 - at once
        else:
            made.start()
            made.wait_for(name, "ok")
            assert made.stop() == 0
    assert (made.base / "daemonized").read_text() == (made.base / "foreground").read_text()


def test_a_second_daemon_is_refused_and_the_first_goes_on(made: Daemonized) -> None:
    daemon = made.daemonize()
    done = made.run("--daemonize")
    assert (done.returncode, done.stdout) == (LATER, "")
    one_line(done.stderr, str(made.state))
    other = made.variant("other", state_dir=f"{made.base}/state2")
    done = made.run("--daemonize", config=other)
    assert (done.returncode, done.stdout) == (LATER, "")
    one_line(done.stderr, f"an agent is already running (pid {daemon.pid}, {made.pidfile})")
    assert made.status()["agent"]["pid"] == daemon.pid
    assert made.pidfile.read_text() == f"{daemon.pid}\n"


def test_a_pidfile_that_a_crash_has_left_is_no_hindrance(made: Daemonized) -> None:
    first = made.daemonize()
    first.kill()
    wait_until(lambda: is_over(first), "it is dead")
    assert made.pidfile.read_text() == f"{first.pid}\n"
    second = made.daemonize()
    assert second.pid != first.pid
    assert made.pidfile.read_text() == f"{second.pid}\n"


def test_a_pidfile_of_ones_own_is_locked_too(made: Daemonized) -> None:
    pidfile = made.base / "of-my-own" / "pid"
    daemon = made.daemonize("--pidfile", str(pidfile))
    assert pidfile.read_text() == f"{daemon.pid}\n"
    other = made.variant("other", state_dir=f"{made.base}/state2", runtime_dir=f"{made.base}/run2")
    done = made.run("--daemonize", "--pidfile", str(pidfile), config=other)
    assert (done.returncode, done.stdout) == (LATER, "")
    one_line(done.stderr, str(pidfile), str(daemon.pid))
    daemon.terminate()
    wait_until(lambda: not pidfile.exists(), "it is taken away at the end")


def test_a_pidfile_that_cannot_be_written_is_one_line(made: Daemonized) -> None:
    link = made.base / "link"
    link.symlink_to(made.base / "of-somebody")
    for path, why in ((made.config / "pid", "File exists"), (made.base, "Is a directory"),
                      (link, "symbolic links")):  # fmt: skip
        done = made.run("--daemonize", "--pidfile", str(path))
        assert (done.returncode, done.stdout) == (LATER, "")
        one_line(done.stderr, str(path), why)
    assert not (made.base / "of-somebody").exists()


def test_it_goes_to_the_background_even_where_stdin_is_a_socket(made: Daemonized) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = made.run("--daemonize", stdin=theirs)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    made.daemon()


# --- in the foreground ---------------------------------------------------------------------------


def test_a_second_agent_on_the_same_state_is_refused_with_one_line(made: Daemonized) -> None:
    made.start()
    assert made.process is not None
    for form in ("console", "json"):
        other = made.variant(
            "other", runtime_dir=f"{made.base}/run2", log={"level": "info", "format": form}
        )
        done = made.run(config=other)
        assert (done.returncode, done.stdout) == (LATER, "")
        (line,) = done.stderr.splitlines()
        assert str(made.state) in line
    assert made.status()["agent"]["pid"] == made.process.pid
    assert made.stop() == 0


def test_a_second_agent_with_the_same_socket_is_refused_and_the_first_keeps_it(
    made: Daemonized,
) -> None:
    made.start()
    assert made.process is not None
    done = made.run(config=made.variant("other", state_dir=f"{made.base}/state2"))
    assert (done.returncode, done.stdout) == (LATER, "")
    (line,) = done.stderr.splitlines()
    assert f"cannot listen at {made.runtime}/control.sock: another agent listens there" in line
    assert made.status()["agent"]["pid"] == made.process.pid
    made.kill()
    made.start()  # over the socket that is left
    assert made.stop() == 0
