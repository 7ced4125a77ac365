"""An agent that is killed at random moments: nothing runs twice, and it ends where the disk is."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.crashes import (
    LOCKED,
    QUICK,
    name_of,
    nothing_ran_twice,
)
from tests.integration.node import (
    GitApp,
    Node,
    SymlinkApp,
    TreeApp,
    node,
    wait_until,
)

KILLS = 50


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Node]:
    with node(tmp_path, **QUICK) as one:
        yield one


class Stream(threading.Thread):
    """Deploys one version after the other, to one app after the other, until it is stopped.

    One app, the guest, comes and goes.
    """

    def __init__(self, apps: dict[TreeApp, str], guest: TreeApp, rng: random.Random) -> None:
        super().__init__(daemon=True)
        self.apps, self.guest, self.rng = apps, guest, rng
        self.over = threading.Event()
        self.latest: dict[str, str] = {}

    def run(self) -> None:
        number = 0
        while not self.over.is_set():
            number += 1
            for app, makefile in self.apps.items():
                there = app.name in self.latest
                if app is self.guest and there and self.rng.random() < 0.1:
                    app.remove()
                    del self.latest[app.name]
                elif number == 1 or self.rng.random() < 0.3:
                    app.deploy(str(number), makefile)
                    self.latest[app.name] = str(number)
            self.over.wait(self.rng.uniform(0.1, 1.0))


def test_killed_at_fifty_random_moments_it_runs_nothing_twice_and_ends_where_the_disk_is(
    made: Node,
) -> None:
    seed = int(os.environ.get("APPAGENT_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"APPAGENT_SEED={seed}")  # noqa: T201 - pytest shows it when the test has failed
    rng = random.Random(seed)  # noqa: S311 - moments, no secrets
    kinds: dict[str, tuple[type[TreeApp], float]] = {
        "symlink-long": (SymlinkApp, 1.5),
        "symlink-short": (SymlinkApp, 0),
        "git-long": (GitApp, 0.7),
        "git-short": (GitApp, 0),
        "tree": (TreeApp, 0.3),
        "guest": (SymlinkApp, 0.1),
    }
    made.defaults["gone_after"] = "200ms"
    made.write_config()
    apps = {
        kind(made, name): LOCKED.format(base=made.base, calls=made.calls_file, seconds=seconds)
        for name, (kind, seconds) in kinds.items()
    }
    stream = Stream(apps, next(app for app in apps if app.name == "guest"), rng)
    stream.start()
    try:
        for _ in range(KILLS):
            made.launch()
            when = rng.random()
            if when < 0.8:
                wait_until(made.answers, "the agent answers")
            if when < 0.4:
                wait_until(lambda: busy(made), "something runs")
            time.sleep(rng.uniform(0.0, 0.9))  # the moment itself is what is random here
            made.kill()
    finally:
        stream.over.set()
        stream.join()
    made.start()
    with contextlib.suppress(Exception):
        made.ask("trigger", app="tree")  # a tree that deployed so often would wait
    made.wait(*stream.latest)
    if "guest" not in stream.latest:
        wait_until(lambda: made.app("guest") == {}, "the guest is gone")
        assert made.targets("guest")[-1:] != ["start"]
    nothing_ran_twice(made)
    for name in stream.latest:
        state = made.app(name)
        assert state["state"] == "ok", state
        assert state["applied"]["installed"] == state["seen"]["release"]
        last = {call.target: call.version for call in made.calls(name)}
        latest = stream.latest[name]
        assert last["install"] == last["check"] == latest
        assert latest in (last.get("restart"), last.get("start"))
    the_history_tells_it(made)


def busy(made: Node) -> bool:
    """Whether a run is under way."""
    return any(app["run"] for app in made.status()["apps"])


def the_history_tells_it(made: Node) -> None:
    """All that ran is in the history, with how it ended; a deploy is one over a crash."""
    deploys = made.history()
    runs = [run for deploy in deploys for run in deploy["runs"]]
    outcomes = {run["outcome"] for run in runs if run["app"] != "guest"}
    # The end of one that a crash followed at once may not have been written: "interrupted".
    assert outcomes <= {"ok", "missing", "cancelled", "lost", "moved", "interrupted"}
    told = {(run["app"], run["target"], name_of(run["release"])) for run in runs}
    assert {(call.app, call.target, call.release) for call in made.calls()} <= told
    assert any(run["adopted"] and run["outcome"] == "ok" for run in runs)
    assert not any(deploy["outcome"] == "running" for deploy in deploys)
