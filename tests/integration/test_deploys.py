"""From a change in a root to the targets that run, in every layout, by inotify and by polling.

All tests of one way of looking share a node; each has apps of its own there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.integration.node import (
    APPS,
    GitApp,
    LinkApp,
    SymlinkApp,
    TreeApp,
    node,
    wait_until,
    write_files,
)
from tests.integration.shown import QUICK, Shown

KINDS = {**APPS, "link": LinkApp}


@pytest.fixture(scope="module", params=["inotify", "poll"])
def shown(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shown]:
    """A node that looks in one way or the other."""
    with node(tmp_path_factory.mktemp(request.param), watch=request.param, **QUICK) as made:
        made.start()
        yield Shown(made)


def each(shown: Shown, names: Iterable[str], targets: str, version: str) -> None:
    """Show that just these targets ran for each app, at a version."""
    for name in names:
        calls = shown.ran(name, targets)
        assert {call.version for call in calls} == {version}


def each_restarted(shown: Shown, names: Iterable[str], greeting: str) -> None:
    """Show that each app was restarted, with this in its environment, and nothing more."""
    for name in names:
        calls = shown.ran(name, "restart check")
        assert {call.greeting for call in calls} == {greeting}


def test_each_layout_deploys_what_changes_and_stops_what_leaves(shown: Shown) -> None:
    node = shown.node
    apps = {name: kind(node, name) for name, kind in KINDS.items()}
    others = {f"{name}-other": kind(node, f"{name}-other") for name, kind in KINDS.items()}

    for app in (*apps.values(), *others.values()):  # new
        app.deploy("1")
    each(shown, (*apps, *others), "install start check", "1")

    for app in apps.values():  # changed
        app.deploy("2")
    each(shown, apps, "install restart check", "2")

    for app in apps.values():  # reverted
        app.revert("1")
    each(shown, apps, "install restart check", "1")

    node.set_envs(apps, "GREETING=hello\n")  # an env file where there was none
    each_restarted(shown, apps, "hello")
    node.set_envs(apps, "GREETING='good morning'\n")  # another value in it
    each_restarted(shown, apps, "good morning")
    node.set_envs(apps, "# a comment\n\nGREETING=good\\\n morning\n; and another\n")
    shown.nothing(*apps)  # the same value, written otherwise

    for app in apps.values():  # gone, with its directory
        app.remove()
    for name in apps:
        shown.ran(name, "stop", "removed")
        assert not (node.root / name).exists()

    shown.nothing(*apps, *others)
    assert {name: node.app(name)["state"] for name in others} == dict.fromkeys(others, "ok")


def test_an_app_that_is_renamed_is_another_one(shown: Shown) -> None:
    app = TreeApp(shown.node, "before")
    app.deploy("1")
    shown.ran("before", "install start check")
    app.path.rename(shown.node.root / "after")
    shown.ran("after", "install start check")
    shown.ran("before", "stop", "removed")


def test_what_is_no_app_is_left_alone(shown: Shown) -> None:
    node = shown.node
    makefile = node.makefile()
    for name in ("code.git", ".hidden"):
        write_files(node.root / name, {"Makefile": makefile})
    (node.root / "late").mkdir()
    (node.root / "file").write_text("no directory")
    write_files(node.root / "nested" / "inner", {"Makefile": makefile})
    none = ("code.git", ".hidden", "late", "file", "nested", "inner")
    shown.nothing(*none)
    status = node.status()
    assert not {app["app"] for app in status["apps"]} & set(none)
    assert not {Path(path).name for path in status["refused"]} & set(none)
    write_files(node.root / "late", {"Makefile": makefile})  # now it is one
    shown.ran("late", "install start check")


def test_odd_names_are_refused_with_a_reason_and_said_once(shown: Shown) -> None:
    node = shown.node
    odd = ["two words", "-dash", "bück", "semi;colon", "x" * 65, "new\nline"]
    for name in odd:
        write_files(node.root / name, {"Makefile": node.makefile()})
    good = TreeApp(node, "good_1.2+a@b:c")
    good.deploy("1")
    shown.ran(good.name, "install start check")
    shown.marker()
    assert {Path(path).name for path in node.status()["refused"]} == set(odd)
    assert len(node.notices("app.refused")) == len(odd)
    assert not {call.app for call in node.calls()} & set(odd)
    told = node.command("status", "two words")
    assert told.returncode == 1
    assert "the name has ' ' in it" in told.stderr
    (node.root / "two words").rename(node.root / "two_words")
    shown.ran("two_words", "install start check")
    wait_until(
        lambda: f"{node.root}/two words" not in node.status()["refused"], "it is not refused"
    )


def test_an_app_is_not_deployed_while_it_is_being_written(shown: Shown) -> None:
    node = shown.node
    apps = {
        "part-tree": TreeApp(node, "part-tree"),
        "part-git": GitApp(node, "part-git"),
        "part-link": SymlinkApp(node, "part-link"),
    }
    marks = [app.path / ".deploying" for app in apps.values()]
    marks[1] = apps["part-git"].path / ".git" / "index.lock"
    for app, mark in zip(apps.values(), marks, strict=True):
        app.deploy("1")
        mark.touch()
    for name in apps:
        node.wait_for(name, "settling")
    shown.nothing(*apps)
    assert ".deploying" in node.app("part-tree")["why"]
    assert ".git/index.lock" in node.app("part-git")["why"]
    for mark in marks:
        mark.unlink()
    each(shown, apps, "install start check", "1")
    marks = [app.path / ".deploying" for app in apps.values()]
    for app, mark in zip(apps.values(), marks, strict=True):
        mark.touch()
        app.deploy("2")
    for name in apps:
        node.wait_for(name, "settling")
    shown.nothing(*apps)
    for mark in marks:
        mark.unlink()
    each(shown, apps, "install restart check", "2")


def test_a_tree_becomes_a_work_tree_and_then_a_link(shown: Shown) -> None:
    """Another way of lying there is another release, and nothing more."""
    node = shown.node
    tree = TreeApp(node, "turned")
    tree.deploy("1")
    shown.ran("turned", "install start check")
    git = GitApp(node, "turned")
    git.git("init", "-q", "-b", "main")
    git.deploy("2")
    assert shown.ran("turned", "install restart check")[-1].version == "2"
    assert node.app("turned")["layout"] == "git"
    git.path.rename(node.root / ".turned.old")
    link = LinkApp(node, "turned")
    link.deploy("3")
    assert shown.ran("turned", "install restart check")[-1].version == "3"
    assert node.app("turned")["layout"] == "symlink"
