"""The example apps, by real calls of make: what their Makefiles promise, they keep.

Every app is started, changed and restarted while clients go on asking, each time on a connection of
its own. Not one request may fail.
"""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from tests.waiting import until

APPS = Path(__file__).resolve().parents[2] / "examples" / "apps"
INHERITED = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PORT", "VAR", "NAME", "TITLE"}


@dataclass
class App:
    """One example app, copied, on a port of its own."""

    directory: Path
    port: int
    var: Path
    environment: dict[str, str] = field(default_factory=dict)

    def make(self, *targets: str, **changed: str) -> subprocess.CompletedProcess[str]:
        """Call make as the agent would: in the release directory, with its environment."""
        kept = {key: value for key, value in os.environ.items() if key not in INHERITED}
        given = {"PORT": str(self.port), "VAR": str(self.var), **self.environment, **changed}
        output = self.directory.parent / "make.output"  # never a pipe: a server may hold it open
        with output.open("w") as file:
            done = subprocess.run(
                ["make", *targets],
                cwd=self.directory,
                env={**kept, **given},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=60,
            )
        return subprocess.CompletedProcess(done.args, done.returncode, output.read_text())

    def must(self, *targets: str, **changed: str) -> None:
        """Call make, which has to succeed."""
        done = self.make(*targets, **changed)
        assert done.returncode == 0, done.stdout

    def get(self, path: str = "/") -> str:
        """Ask the app."""
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            asked.request("GET", path)
            answer = asked.getresponse()
            text = answer.read().decode()
            assert answer.status == http.HTTPStatus.OK, text
        finally:
            asked.close()
        return text

    def answers(self) -> bool:
        """Whether anybody listens."""
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self.port)) == 0

    def pid(self) -> int:
        """Return the pid that the app wrote down."""
        name = "pid" if (self.var / "pid").exists() else "lock"
        return int((self.var / name).read_text())


class Crowd:
    """Clients that keep asking, and what went wrong for them."""

    def __init__(self, app: App, clients: int = 3) -> None:
        self.app = app
        self.answered = 0
        self.failed: list[str] = []
        self.seen: set[str] = set()
        self.enough = threading.Event()
        self.threads = [threading.Thread(target=self.ask) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        self.more()
        return self

    def __exit__(self, *_: object) -> None:
        self.enough.set()
        for thread in self.threads:
            thread.join()

    def ask(self) -> None:
        while not self.enough.is_set():
            try:
                self.seen.add(self.app.get())
                self.answered += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
                self.failed.append(repr(error))

    def more(self) -> None:
        """Wait until some more requests have been answered."""
        enough = self.answered + 50
        until(lambda: self.answered >= enough or self.failed)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[Callable[[str], App]]:
    apps: list[App] = []

    def copy(name: str) -> App:
        directory = tmp_path / name
        shutil.copytree(APPS / name, directory)
        app = App(directory, free_port(), tmp_path / f"{name}.var")
        apps.append(app)
        return app

    yield copy
    for app in apps:
        app.make("stop")
        assert not app.answers()


CHANGES = {
    "hello-symlink": ("greeting.txt", "Good evening"),
    "notes-git": ("notes.txt", "a new note"),
    "static-tree": ("site/index.html", "a new page"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_start_change_restart_and_stop_without_a_failed_request(
    name: str, copied: Callable[[str], App]
) -> None:
    app = copied(name)
    file, words = CHANGES[name]
    app.must("install")
    app.must("start", APP_RELEASE="0")
    app.must("check", APP_RELEASE="0")
    assert words not in app.get()

    with Crowd(app) as crowd:
        for count in range(1, 4):
            (app.directory / file).write_text(f"{words} {count}\n")
            app.must("install", APP_RELEASE=str(count))
            app.must("restart", APP_RELEASE=str(count))
            app.must("check", APP_RELEASE=str(count))
            crowd.more()
            assert f"{words} {count}" in app.get()
    assert crowd.failed == []
    assert len(crowd.seen) == 4

    app.must("stop")
    assert not app.answers()


@pytest.mark.parametrize("name", CHANGES)
def test_start_and_stop_may_be_called_twice(name: str, copied: Callable[[str], App]) -> None:
    app = copied(name)
    app.must("stop")
    app.must("install", "start")
    pid = app.pid()
    app.must("start")
    assert app.pid() == pid
    app.must("stop")
    app.must("stop")
    assert not app.answers()


@pytest.mark.parametrize("name", CHANGES)
def test_restart_starts_what_is_down(name: str, copied: Callable[[str], App]) -> None:
    app = copied(name)
    app.must("install", "restart")
    assert app.get()


@pytest.mark.parametrize("name", CHANGES)
def test_a_server_that_was_killed_is_started_again(name: str, copied: Callable[[str], App]) -> None:
    app = copied(name)
    app.must("install", "start")
    os.kill(app.pid(), signal.SIGKILL)
    until(lambda: not app.answers())
    app.must("start")
    assert app.get()


@pytest.mark.parametrize("name", CHANGES)
def test_a_stale_pid_is_never_killed(name: str, copied: Callable[[str], App]) -> None:
    app = copied(name)
    app.must("install", "start")
    app.must("stop")
    with subprocess.Popen(["sleep", "60"]) as bystander:  # it has the number now
        for file in ("lock", "pid"):
            (app.var / file).write_text(f"{bystander.pid}\n")
        app.must("stop")
        assert bystander.poll() is None
        bystander.kill()


@pytest.mark.parametrize("name", CHANGES)
def test_a_restart_takes_another_port(name: str, copied: Callable[[str], App]) -> None:
    app = copied(name)
    app.must("install", "start")
    before = app.port
    app.port = free_port()
    app.must("restart")
    assert app.get()
    old = App(app.directory, before, app.var)
    until(lambda: not old.answers())


@pytest.mark.parametrize(
    ("name", "file"), [("hello-symlink", "server.py"), ("notes-git", "worker.py")]
)
def test_a_release_that_cannot_start_fails_and_the_old_one_goes_on(
    name: str, file: str, copied: Callable[[str], App]
) -> None:
    app = copied(name)
    app.must("install")
    app.must("start", APP_RELEASE="ok")
    good = (app.directory / file).read_text()
    first, rest = good.split("\nimport ", 1)
    bad = f"{first}\nraise RuntimeError('a bad release')\nimport {rest}"
    (app.directory / file).write_text(bad)
    with Crowd(app) as crowd:
        done = app.make("restart", APP_RELEASE="bad")
        assert done.returncode != 0
        assert "a bad release" in done.stdout
        crowd.more()
    assert crowd.failed == []
    assert app.get("/release") == "ok"

    (app.directory / file).write_text("def broken(:\n")
    assert app.make("install").returncode != 0
    (app.directory / file).write_text(good)
    app.must("restart", APP_RELEASE="better")
    assert app.get("/release") == "better"


@pytest.mark.parametrize(("name", "key"), [("hello-symlink", "NAME"), ("notes-git", "TITLE")])
def test_a_restart_takes_a_changed_environment(
    name: str, key: str, copied: Callable[[str], App]
) -> None:
    app = copied(name)
    app.must("install", "start")
    app.must("restart", **{key: "somebody else"})
    assert "somebody else" in app.get()


def test_a_worker_that_dies_by_itself_is_replaced(copied: Callable[[str], App]) -> None:
    app = copied("notes-git")
    app.must("install", "start")
    children = Path(f"/proc/{app.pid()}/task/{app.pid()}/children")
    (worker,) = children.read_text().split()
    os.kill(int(worker), signal.SIGKILL)
    until(lambda: worker not in children.read_text().split() and children.read_text())
    assert app.get()


@pytest.mark.parametrize("name", CHANGES)
def test_no_target_writes_into_the_release(name: str, copied: Callable[[str], App]) -> None:
    app = copied(name)

    def entries() -> list[tuple[str, int]]:
        return sorted((str(it), it.stat().st_mtime_ns) for it in app.directory.rglob("*"))

    before = entries()
    app.must("install", "start", "restart", "check", "stop")
    assert entries() == before
