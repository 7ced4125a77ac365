"""Trees that never rest: changed from outside all the time, or by their own install.

One story is played on two nodes at once, of which one polls: two trees are changed every 100 ms
for 20 s, one with `unsettled: wait`, one with `unsettled: deploy`; meanwhile two others have
installs that write into their own tree.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.integration.node import Node, TreeApp, wait_until
from tests.integration.shown import QUICK, Shown, together

SPAN, STEP = 20.0, 0.1  # s
SETTLE, MAX_WAIT = 1.0, 5.0  # s

# Writes the same thing each time, and only where it is not there yet.
IDEMPOTENT = "\t@if [ $@ = install ] && [ ! -e built ]; then cp version built; fi"
# Writes something else each time.
TOUCHING = "\t@if [ $@ = install ]; then date +%s%N >stamp; fi"


class Story:
    """What was done on a node, and what was seen at the moment when the change ended."""

    def __init__(self, base: Path, watch: str) -> None:
        self.watch = watch
        self.node = Node(base, watch=watch, **QUICK)
        self.shown = Shown(self.node)
        self.elapsed = 0.0
        self.longest = 0.0  # between two changes
        self.last = ""  # what was written last
        self.then: dict[str, list[str]] = {}  # the targets that had begun by then

    def play(self) -> None:
        """Change two trees for a while."""
        node = self.node
        node.defaults.update(settle=f"{SETTLE:g}s", max_wait=f"{MAX_WAIT:g}s")
        node.apps["deploy"] = {"unsettled": "deploy"}
        node.write_config()
        node.start()
        TreeApp(node, "idempotent").deploy("1", node.makefile(IDEMPOTENT))
        TreeApp(node, "touching").deploy("1", node.makefile(TOUCHING))
        apps = [TreeApp(node, "wait"), TreeApp(node, "deploy")]
        began = last = time.monotonic()
        count = 0
        for app in apps:
            app.deploy("0")
        while last - began < SPAN:
            time.sleep(STEP)
            count += 1
            for app in apps:
                new = app.path / f".{count}.swp"
                new.write_text(str(count))
                new.replace(app.path / "version")
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last), now
        self.then = {app.name: node.targets(app.name) for app in apps}
        self.elapsed, self.last = time.monotonic() - began, str(count)

    def steady(self) -> None:
        """Skip where the machine was too busy for the change to be a steady one."""
        if self.longest >= SETTLE:
            pytest.skip(f"this machine stood still for {self.longest:.1f} s between two changes")


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Story]]:
    """Both stories, played."""
    made = {w: Story(tmp_path_factory.mktemp(w), w) for w in ("inotify", "poll")}
    try:
        together([story.play for story in made.values()])
        yield made
    finally:
        for story in made.values():
            story.node.clean_up()


@pytest.fixture(params=["inotify", "poll"])
def story(stories: dict[str, Story], request: pytest.FixtureRequest) -> Story:
    """One of them."""
    return stories[str(request.param)]


def same_as_on_disk(story: Story, name: str) -> None:
    """Show that what runs is what lies there, and that it has been looked at."""
    app = story.node.app(name)
    release = app["seen"]["release"]
    applied = app["applied"]
    assert applied["installed"] == applied["running"]["release"] == applied["healthy"]["release"]
    assert applied["installed"] == release
    assert story.node.calls(name)[-1].version == story.last
    assert (story.node.root / name / "version").read_text() == story.last


def test_a_tree_that_never_rests_waits_is_said_once_and_deployed_once(story: Story) -> None:
    story.steady()
    assert story.then["wait"] == []
    story.shown.ran("wait", "install start check")
    said = story.node.notices("app.waiting", "wait")
    assert len(said) == 1
    assert "these keep changing: version" in said[0]["text"]
    assert 'ignore: ["/version"]' in said[0]["text"]
    same_as_on_disk(story, "wait")


def test_a_tree_that_may_is_deployed_once_for_each_max_wait(story: Story) -> None:
    story.steady()
    meanwhile = story.then["deploy"].count("install")
    assert 1 <= meanwhile <= story.elapsed / MAX_WAIT

    def rests() -> bool:
        calls = story.node.calls("deploy")
        return story.node.app("deploy")["state"] == "ok" and calls[-1].version == story.last

    wait_until(rests, "the newest is deployed")
    story.shown.marker()
    assert story.node.targets("deploy").count("install") <= meanwhile + 2  # that was under way
    same_as_on_disk(story, "deploy")


def test_an_install_that_writes_into_its_tree_once_comes_to_rest(story: Story) -> None:
    story.node.wait_for("idempotent", "ok")
    story.shown.marker()
    assert story.node.targets("idempotent").count("install") <= 2
    assert story.node.targets("idempotent").count("start") == 1
    assert story.node.notices("app.churning", "idempotent") == []
    assert story.node.app("idempotent")["state"] == "ok"


def churning(node: Node) -> list[dict[str, Any]]:
    return node.notices("app.churning", "touching")


def test_an_install_that_always_writes_into_its_tree_is_slowed_and_named(story: Story) -> None:
    node = story.node
    wait_until(lambda: churning(node), "it is said")
    first = churning(node)[0]
    assert "stamp" in first["text"]
    assert 'ignore: ["/stamp"]' in first["text"]
    assert first["level"] == "warning"
    deploys = [deploy for deploy in reversed(node.history("touching")) if deploy["began"]]
    gaps = [b["began"] - a["began"] for a, b in pairwise(deploys)]
    # The first one of an app does not count, and six are free.
    assert all(gap >= 9.9 * 2**n for n, gap in enumerate(gaps[6:]))
    assert len(gaps) >= 6
    assert "stamp" in node.wait_for("touching", "pending")["why"]
    before = node.targets("touching").count("install")
    node.ask("trigger", app="touching")  # at once, and six are free again
    wait_until(lambda: node.targets("touching").count("install") >= before + 6, "it goes on")
    wait_until(lambda: len(churning(node)) >= 2, "it is said anew")

    node.apps["touching"] = {"ignore": ["/stamp"]}  # as it was told to
    node.reload_well()
    node.ask("trigger", app="touching")
    node.wait_for("touching", "ok")
    story.shown.marker()
    count = node.targets("touching").count("install")
    os.utime(node.root / "touching" / "stamp")
    story.shown.marker()
    assert node.app("touching")["state"] == "ok"
    assert node.targets("touching").count("install") == count
