"""What an agent did and did not do, read from the calls of its apps.

`Shown` takes the calls of each app once, in order. So a run that nobody expected shows up as the
wrong beginning of whatever is expected next, and at the latest when the test ends with `nothing`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from tests.integration.calls import Call
from tests.integration.node import (
    GitApp,
    LinkApp,
    Node,
    SymlinkApp,
    TreeApp,
    wait_until,
    write_files,
)

KINDS = {"symlink": SymlinkApp, "git": GitApp, "tree": TreeApp, "link": LinkApp, "own": TreeApp}
OWN = "ignore: ['*.out']\nsettle: 200ms\n"
QUICK = {"interval": "50ms", "scan_interval": "200ms"}  # of the roots in tests
MARKER = "zz-marker"
ROUNDS = 3  # the agent looks at everything once in each, give or take its jitter


class Shown:
    """The calls of a node's apps, as they come."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.taken: dict[str, int] = {}
        self.rounds = 0

    def new(self, app: str) -> list[Call]:
        """The calls of an app that were not taken yet."""
        return self.node.calls(app)[self.taken.get(app, 0) :]

    def take(self, app: str) -> list[Call]:
        """Take them."""
        found = self.new(app)
        self.taken[app] = self.taken.get(app, 0) + len(found)
        return found

    def ran(self, app: str, targets: str, state: str = "ok") -> list[Call]:
        """Wait until these targets ran and the app is in a state; no others may have run."""
        expected = targets.split()

        def done() -> bool:
            new = self.new(app)
            if len(new) < len(expected):
                return False
            return str(self.node.app(app).get("state", "removed")) == state

        try:
            wait_until(done, f"{app} ran {targets} and is {state}")
        except AssertionError as error:
            ran = [call.target for call in self.new(app)]
            told = self.node.told()
            raise AssertionError(f"{error}; ran {ran}; {self.node.app(app)}\n{told}") from None
        taken = self.take(app)
        assert [call.target for call in taken] == expected, self.node.told()
        return taken

    def nothing(self, *apps: str) -> None:
        """Show that nothing ran that was not taken, after the agent has looked at everything."""
        self.marker()
        for app in apps:
            assert [call.target for call in self.new(app)] == [], f"{app}\n{self.node.told()}"

    def marker(self) -> None:
        """Have the agent look at every app, every tree and every env file of the node.

        An app of its own, which is held, changes its tree and its env file again and again, and
        each time the agent has to see that. Looks are spread by a jitter, so one round could be
        too few.
        """
        for _ in range(ROUNDS):
            before = self.marked()
            self.rounds += 1
            self.node.set_env(MARKER, f"ROUND={self.rounds}\n")
            files = {"version": str(self.rounds), "Makefile": "start:\n"}
            write_files(self.node.root / MARKER, files)
            if not before[0]:
                wait_until(lambda: self.node.app(MARKER), "the marker is known")
                self.node.ask("hold", app=MARKER, why="it is only to be looked at")
            wait_until(lambda before=before: self.seen_anew(before), "the marker is seen")  # type: ignore[misc]

    def marked(self) -> tuple[str, str]:
        """The marker's release and environment, as they were last seen complete."""
        seen = self.node.app(MARKER).get("seen", {}).get("version", {})
        return seen.get("release", ""), seen.get("conf", "")

    def seen_anew(self, before: tuple[str, str]) -> bool:
        """Whether both have changed."""
        release, conf = self.marked()
        return bool(release and conf) and release != before[0] and conf != before[1]


def together(tasks: Iterable[Callable[[], object]]) -> None:
    """Do several things at once, each in a thread; the first failure is the test's."""
    errors: list[BaseException] = []

    def one(task: Callable[[], object]) -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=one, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def deploy_all(shown: Shown) -> dict[str, TreeApp]:
    """An app of each kind: with an environment, one with settings of its own."""
    apps = {name: kind(shown.node, name) for name, kind in KINDS.items()}
    for app in apps.values():
        app.deploy("1")
    write_files(apps["own"].path, {"appagent.yaml": OWN, "noise.out": "1"})
    for name in apps:
        shown.node.wait_for(name, "ok")
    shown.node.set_envs(apps, "GREETING=hello\n")
    for name in apps:
        wait_until(partial(runs_with, shown, name, "hello"), f"{name} is restarted")
        shown.node.wait_for(name, "ok")
    shown.marker()
    for name in apps:
        shown.take(name)
    return apps


def runs_with(shown: Shown, name: str, greeting: str) -> bool:
    """Whether the last check of an app had this in its environment."""
    last = shown.new(name)[-1]
    return (last.target, last.greeting) == ("check", greeting)


def record(node: Node, app: str) -> Path:
    """The file that an app is remembered in."""
    return node.state / "apps" / app / "record.json"


def edit(node: Node, app: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what is remembered of an app, while no agent is there."""
    body = json.loads(record(node, app).read_text())
    change(body["record"])
    record(node, app).write_text(json.dumps(body))
