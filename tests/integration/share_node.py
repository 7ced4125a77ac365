"""A node with a share that fails as it is told, for the tests: real watchers, scripted disk."""

from __future__ import annotations

import contextlib
import errno
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from appagent.model.exit_codes import Refused
from tests.integration.node import (
    APPS,
    Node,
    SymlinkApp,
    TreeApp,
    wait_until,
    write_files,
)

WATCHER = "failing_watcher.py"
AGENT = Path(__file__).with_name("failing_agent.py")
ERRNOS = (  # what a share gives that is in trouble
    errno.ENOTCONN,
    errno.ESTALE,
    errno.EIO,
    errno.EACCES,
    errno.ETIMEDOUT,
    errno.ECONNABORTED,
    errno.EHOSTDOWN,
)
LOCAL = "local-app"


class ShareNode(Node):
    """A node with one root on a share that fails as it is told, and one on the local disk."""

    def __init__(self, base: Path) -> None:
        self.script: dict[str, Any] = {"mounts": [], "faults": []}
        self.local = base / "local"
        super().__init__(base, interval="50ms", scan_interval="200ms")
        self.local.mkdir()
        self.config_dir = self.root / ".config"
        self.config_dir.mkdir()
        self.defaults["gone_after"] = "200ms"
        self.defaults["settle"] = "200ms"
        self.write_config()
        self.script_file = base / "script.json"
        self.program = [sys.executable, "-P", str(AGENT), str(self.script_file)]
        self.versions = 0
        self.mounted(1)

    def write_config(self) -> None:
        """Both roots."""
        share = {**self.root_settings, "env_files": [f"-{self.root}/.config/{{app}}.env"]}
        local = {**self.root_settings, "path": str(self.local), "env_files": []}
        whole = {
            **self.settings,
            "roots": [share, local],
            "defaults": self.defaults,
            "apps": self.apps,
        }
        self.config.write_text(json.dumps(whole))

    # --- the share -------------------------------------------------------------------------------

    def say(self, **script: object) -> None:
        """Have the share behave like this from now on."""
        self.script.update(script)
        new = self.script_file.with_suffix(".new")
        new.write_text(json.dumps(self.script))
        new.replace(self.script_file)

    def fails(self, call: str, path: str, **how: object) -> None:
        """Let one call fail."""
        self.say(faults=[{"call": call, "path": path, **how}])

    def heals(self) -> None:
        """Let nothing fail."""
        self.say(faults=[])

    def mounted(self, number: int, fstype: str = "fuse.glusterfs") -> None:
        """Have the share mounted; another number is another mount."""
        self.say(mounts=[[number, str(self.root), fstype]])

    # --- what the agent says ---------------------------------------------------------------------

    def share(self) -> dict[str, Any]:
        """What `status` says of the share's root."""
        found: dict[str, Any] = next(
            root for root in self.status()["roots"] if root["path"] == str(self.root)
        )
        return found

    def states(self) -> dict[str, str]:
        """The state of each app on the share."""
        return {
            app["app"]: app["state"]
            for app in self.status()["apps"]
            if app["root"] == str(self.root)
        }

    def wait_unknown(self, *words: str) -> dict[str, Any]:
        """Wait until the root is unknown, and for a reason with these words in it."""

        def found() -> dict[str, Any]:
            root = self.share()
            return {} if root["known"] or not all(word in root["why"] for word in words) else root

        return wait_until(found, f"{self.root} is unknown: {words}")

    def wait_well(self) -> None:
        """Wait until the share is known and every app on it is good."""

        def well() -> bool:
            return self.share()["known"] and set(self.states().values()) == {"ok"}

        try:
            wait_until(well, "all is well")
        except AssertionError:
            raise AssertionError(f"{self.share()} {self.states()}\n{self.told()}") from None

    def others_go_on(self) -> None:
        """Deploy something to the local root, through all of its steps."""
        self.versions += 1
        version = str(self.versions)
        app = SymlinkApp(self, LOCAL)
        app.path = self.local / LOCAL
        app.deploy(version)

        def there() -> bool:
            ends = self.calls(LOCAL, "end")
            return bool(ends) and (ends[-1].target, ends[-1].version) == ("check", version)

        wait_until(there, "the app on the local disk is deployed")

    def share_calls(self) -> list[str]:
        """What was called of apps on the share."""
        return [f"{call.app} {call.target}" for call in self.calls() if call.app != LOCAL]

    def watchers(self) -> list[psutil.Process]:
        """The watcher processes of the agent."""
        assert self.process is not None
        found = []
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # over, and not noticed yet
                if WATCHER in " ".join(child.cmdline()):
                    found.append(child)
        return found


@contextlib.contextmanager
def share_node(base: Path) -> Iterator[ShareNode]:
    """A node that is cleaned up, whatever happens."""
    one = ShareNode(base)
    try:
        yield one
    finally:
        one.heals()
        one.clean_up()


def small_apps(made: ShareNode, suffixes: tuple[str, ...]) -> dict[str, TreeApp]:
    """An app of each layout for each suffix, running well. They end in a dash, to be globbed."""
    apps = {}
    for suffix in suffixes:
        for kind, make in APPS.items():
            name = f"{kind}-{suffix}-"
            apps[name] = app = make(made, name)
            app.deploy("1", made.makefile(targets="install start restart"))
            where = app.path / "releases/1" if kind == "symlink" else app.path
            write_files(where, {"appagent.yaml": "grace: 1s\n"})
            (where / "link").symlink_to("version")
            (made.config_dir / f"{name}.env").write_text("GREETING=hello\n")
    made.start()
    wait_until(lambda: len(made.states()) == len(apps), "all apps are seen")
    made.wait_well()
    made.others_go_on()
    made.forget_calls()
    return apps


def ask_for_looks(made: ShareNode, names: list[str]) -> None:
    """Have whole looks taken, whatever the marks say."""
    for name in names:
        with contextlib.suppress(Refused):  # 75: it is unknown; it is looked at even so
            made.ask("trigger", app=name)
