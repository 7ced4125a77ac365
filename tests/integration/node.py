"""A real daemon on real directories, for the tests: a root with apps, and the agent over it.

Every target of every app notes its begin and its end in one file, `calls`; what the agent did is
read from there and from `status`, never guessed from time. That something did *not* happen is read
after a `marker`: other apps of the same root that were deployed meanwhile, so the agent has looked.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from appagent.daemon import client
from appagent.model.exit_codes import Refused
from tests.integration.calls import Calls

T = TypeVar("T")

PATIENCE = 60.0  # s; only a broken agent needs as much


def wait_until(condition: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """Wait until a condition holds; its value."""
    until = time.monotonic() + patience
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"not so after {patience:.0f} s: {what}")
        time.sleep(0.05)


class Node(Calls):
    """A root on a local directory and an agent for it."""

    def __init__(self, base: Path, **root: object) -> None:
        self.base = base
        self.root = base / "root"
        self.state = base / "state"
        self.runtime = base / "run"
        self.env = base / "env"
        self.config = base / "appagent.yaml"
        self.process: subprocess.Popen[bytes] | None = None
        self.log = base / "agent.log"
        self.program = [sys.executable, "-m", "appagent"]
        for directory in (self.root, self.env):
            directory.mkdir(parents=True)
        super().__init__(base / "calls")
        self.root_settings: dict[str, object] = {
            "path": str(self.root),
            "run_as": "root" if os.geteuid() == 0 else "self",
            "env_files": [f"-{self.env}/{{app}}.env"],
            **root,
        }
        self.settings: dict[str, object] = {
            "environment": "test",
            "node": "node1",
            "state_dir": str(self.state),
            "runtime_dir": str(self.runtime),
            "log": {"level": "debug", "format": "json"},
            "parallel_apps": 4,
        }
        self.defaults: dict[str, object] = {
            "settle": "300ms",
            "gone_after": "1s",
            "grace": "1s",
            "retry": {"first": "1s", "max": "2s"},
        }
        self.apps: dict[str, object] = {}
        self.write_config()

    # --- the agent -------------------------------------------------------------------------------

    def write_config(self) -> None:
        """Write the configuration; JSON is YAML."""
        whole = {
            **self.settings,
            "roots": [self.root_settings],
            "defaults": self.defaults,
            "apps": self.apps,
        }
        self.config.write_text(json.dumps(whole, indent=1))

    def start(self, **environment: str) -> None:
        """Start the agent and wait until it answers."""
        self.launch(**environment)
        wait_until(self.answers, "the agent answers")

    def launch(self, **environment: str) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.program, "run", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"the agent ended ({self.process.returncode}):\n{self.told()}")
        try:
            self.status()
        except Refused:
            return False
        return True

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the agent; its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self.process = None
        return code

    def kill(self) -> None:
        """End the agent as a crash would."""
        self.stop(signal.SIGKILL)

    def restart(self) -> None:
        """End it well and start it again."""
        assert self.stop() == 0
        self.start()

    def reload(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def reload_well(self) -> None:
        """Write the configuration and have it taken."""
        before = len(self.notices("config.loaded"))
        self.write_config()
        self.reload()
        wait_until(
            lambda: len(self.notices("config.loaded")) > before, "the configuration is taken"
        )

    def command(self, *args: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command of appagent."""
        name, *rest = args
        return subprocess.run(
            [sys.executable, "-m", "appagent", name, "--config", str(self.config), *rest],
            capture_output=True,
            text=True,
            check=check,
            timeout=PATIENCE * 2,
        )

    def ask(self, do: str, **request: object) -> Any:  # noqa: ANN401 - JSON is any
        """Ask over the socket, as a command does but without a process of its own; the data."""
        found: Any = None
        patience = 2 * PATIENCE if "timeout" in request else 10.0
        socket = f"{self.runtime}/control.sock"
        for line in client.ask(socket, {"do": do, **request}, patience):
            found = line.get("data", found)
            end = line.get("end")
            if isinstance(end, dict) and end["code"] != 0:
                raise Refused(end["code"], end["text"])
        return found

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("status")
        return found

    def app(self, name: str) -> dict[str, Any]:
        """What the agent says of an app; {} if it knows none."""
        apps = {app["app"]: app for app in self.status()["apps"]}
        found: dict[str, Any] = apps.get(name, {})
        return found

    def history(self, name: str = "") -> list[dict[str, Any]]:
        """Deploys, newest first."""
        request = {"do": "history", "app": name, "limit": 500}
        lines = client.ask(f"{self.runtime}/control.sock", request)
        return [line["deploy"] for line in lines if "deploy" in line]

    def wait(self, *apps: str) -> None:
        """Wait as a person would: until every app runs what is wanted."""
        done = self.command("wait", "--timeout", "60s", *apps)
        assert done.returncode == 0, f"{done.stderr}\n{self.told()}"

    def wait_for(self, name: str, state: str) -> dict[str, Any]:

        def there() -> dict[str, Any]:
            app = self.app(name)
            return app if app.get("state") == state else {}

        return wait_until(there, f"{name} is {state}")

    def told(self) -> str:
        """The end of the agent's log."""
        return self.log.read_text(errors="replace")[-6000:] if self.log.exists() else ""

    def notices(self, kind: str = "", app: str = "") -> list[dict[str, Any]]:
        """What the agent logged, by kind and app."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                notice = json.loads(line)
                if notice.get("kind", "").startswith(kind) and app in ("", notice.get("app")):
                    found.append(notice)
        return found

    def clean_up(self) -> None:
        """End the agent, and what its apps left running."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pidfile in self.base.glob("**/*.pid"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(pidfile.read_text()), signal.SIGKILL)

    # --- the apps --------------------------------------------------------------------------------

    def set_env(self, app: str, text: str) -> None:
        """Write an app's env file, as a whole."""
        new = self.env / f".{app}.new"
        new.write_text(text)
        new.chmod(0o644)
        new.replace(self.env / f"{app}.env")

    def set_envs(self, apps: Iterable[str], text: str) -> None:
        """Write the same into the env files of several apps."""
        for app in apps:
            self.set_env(app, text)


def write_files(directory: Path, files: Mapping[str, str]) -> None:
    """Write files below a directory, each replaced as a whole."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.swp")
        new.write_text(text)
        new.replace(path)


class TreeApp:
    """An app in a plain directory, deployed by copying over it."""

    layout = "tree"

    def __init__(self, node: Node, name: str) -> None:
        self.node, self.name = node, name
        self.path = node.root / name
        self.kept: dict[str, dict[str, str]] = {}

    def deploy(self, version: str, makefile: str | None = None) -> None:
        files = {"version": version, "Makefile": makefile or self.node.makefile()}
        self.kept[version] = files
        write_files(self.path, files)

    def revert(self, version: str) -> None:
        """Put an older version there again, with its old time."""
        write_files(self.path, self.kept[version])
        for name in self.kept[version]:
            os.utime(self.path / name, (1_000_000_000, 1_000_000_000))

    def remove(self) -> None:
        away = self.path.rename(self.node.base / f"{self.name}.away")
        shutil.rmtree(away)


class SymlinkApp(TreeApp):
    """An app whose `current` points to a release."""

    layout = "symlink"

    def deploy(self, version: str, makefile: str | None = None) -> None:
        files = {"version": version, "Makefile": makefile or self.node.makefile()}
        write_files(self.path / "releases" / version, files)
        self.swap(version)

    def swap(self, version: str) -> None:
        new = self.path / ".current.new"
        new.symlink_to(f"releases/{version}")
        new.replace(self.path / "current")

    def revert(self, version: str) -> None:
        self.swap(version)


class LinkApp(SymlinkApp):
    """An app that is itself a link to a release, which lies elsewhere in the root."""

    def deploy(self, version: str, makefile: str | None = None) -> None:
        files = {"version": version, "Makefile": makefile or self.node.makefile()}
        write_files(self.node.root / ".releases" / self.name / version, files)
        self.swap(version)

    def swap(self, version: str) -> None:
        new = self.node.root / f".{self.name}.new"
        new.symlink_to(f".releases/{self.name}/{version}")
        new.replace(self.path)

    def remove(self) -> None:
        self.path.unlink()
        shutil.rmtree(self.node.root / ".releases" / self.name)


class GitApp(TreeApp):
    """An app in a work tree."""

    layout = "git"

    def git(self, *args: str) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(self.path), *who, *args], check=True, capture_output=True)

    def deploy(self, version: str, makefile: str | None = None) -> None:
        if not (self.path / ".git").is_dir():
            self.path.mkdir()
            self.git("init", "-q", "-b", "main")
        files = {"version": version, "Makefile": makefile or self.node.makefile()}
        write_files(self.path, files)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", version)
        self.git("tag", "-f", f"v{version}")

    def revert(self, version: str) -> None:
        self.git("reset", "-q", "--hard", f"v{version}")


APPS: Mapping[str, type[TreeApp]] = {"symlink": SymlinkApp, "git": GitApp, "tree": TreeApp}


@contextlib.contextmanager
def node(base: Path, **root: object) -> Iterator[Node]:
    """A node that is cleaned up, whatever happens."""
    made = Node(base, **root)
    try:
        yield made
    finally:
        made.clean_up()
