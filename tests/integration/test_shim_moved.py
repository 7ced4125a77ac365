"""What a shim finds changed since it was looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appagent.model.events import Ended
from appagent.model.words import Layout, Outcome
from appagent.run import launch
from tests import running
from tests.running import Runs, World, becomes


@pytest.fixture
def world() -> Iterator[World]:
    with running.world() as made:
        yield made


# --- the release ---------------------------------------------------------------------------------


def test_a_release_that_is_gone_has_moved(world: World) -> None:
    world.app("install:\n\ttouch done\n")
    ended = world.run("install", release_dir=f"{world.root}/web/releases/7")
    assert ended.outcome is Outcome.MOVED
    assert "no longer exists" in ended.line


def test_a_release_without_a_makefile_has_moved(world: World) -> None:
    app = world.app("")
    (app / "Makefile").unlink()
    ended = world.run("install")
    assert ended.outcome is Outcome.MOVED
    assert "no Makefile" in ended.line


def test_a_release_that_is_not_the_current_one_any_more_has_moved(world: World) -> None:
    old = world.release("1", "install:\n\ttouch done\n")
    new = world.release("2", "install:\n\ttouch done\n")
    moved = world.run("install", layout=Layout.SYMLINK, release_dir=str(old))
    assert moved.outcome is Outcome.MOVED
    assert moved.line == f"web is at {new} now, not at {old}"
    assert not world.ran()
    assert world.run("install", layout=Layout.SYMLINK, release_dir=str(new)).outcome is Outcome.OK


def test_going_back_to_an_earlier_release_does_not_ask_where_current_leads(world: World) -> None:
    old = world.release("1", "restart:\n\ttouch done\n")
    world.release("2", "restart:\n\tfalse\n")
    given = replace(world.given, seen=False)
    ended = world.run("restart", given, layout=Layout.SYMLINK, release_dir=str(old))
    assert ended.outcome is Outcome.OK
    assert (old / "done").exists()


def test_an_app_that_is_itself_a_link_is_followed_by_hand(world: World) -> None:
    release = world.root / ".releases" / "5"
    release.mkdir(parents=True)
    (release / "Makefile").write_text("install:\n\ttouch done\n")
    (world.root / "web").symlink_to(".releases/5")
    ended = world.run("install", layout=Layout.SYMLINK, release_dir=str(release))
    assert ended.outcome is Outcome.OK
    (world.root / "web").unlink()
    (world.root / "web").symlink_to(".releases/6")
    ended = world.run("install", layout=Layout.SYMLINK, release_dir=str(release))
    assert ended.outcome is Outcome.MOVED


@pytest.mark.parametrize(
    "text",
    [
        "{root}/web/releases/1",
        "./releases//1/",
        "../web/releases/1",
        "../../root/web/releases/1",
        "../../root/./web/current2",
    ],
)
def test_links_of_any_kind_inside_the_root_are_followed(world: World, text: str) -> None:
    release = world.release("1", "install:\n\ttouch done\n")
    (world.root / "web" / "current2").symlink_to("releases/1")
    (world.root / "web" / "current").unlink()
    (world.root / "web" / "current").symlink_to(text.format(root=world.root))
    ended = world.run("install", layout=Layout.SYMLINK, release_dir=str(release))
    assert (ended.outcome, ended.line) == (Outcome.OK, "")


def test_a_root_that_is_reached_over_a_link_is_the_administrators_affair(world: World) -> None:
    release = world.release("1", "install:\n\ttouch done\n")
    (world.base / "files").symlink_to("root")
    (world.root / "web" / "current").unlink()
    (world.root / "web" / "current").symlink_to(release)  # as the real path has it
    run = world.plan("install", layout=Layout.SYMLINK)
    run = replace(run, root=f"{world.base}/files", release_dir=f"{world.base}/files/web/releases/1")
    assert world.play(lambda agent: agent.whole(run)).outcome is Outcome.OK
    run = replace(run, id="2", release_dir=str(release))
    assert world.play(lambda agent: agent.whole(run)).outcome is Outcome.OK


def test_releases_may_lie_in_release_dirs(world: World) -> None:
    release = world.base / "releases" / "web" / "1"
    release.mkdir(parents=True)
    (release / "Makefile").write_text("install:\n\ttouch done\n")
    (world.root / "web").mkdir()
    (world.root / "web" / "current").symlink_to(release)
    ended = world.run("install", layout=Layout.SYMLINK, release_dir=str(release))
    assert ended.outcome is Outcome.REFUSED
    assert "release_dirs" in ended.line
    given = replace(world.given, release_dirs=(f"{world.base}/releases",))
    ended = world.run("install", given, layout=Layout.SYMLINK, release_dir=str(release))
    assert ended.outcome is Outcome.OK


def test_a_root_that_is_away_has_moved_and_nothing_runs(world: World) -> None:
    world.app("install stop:\n\ttouch done\n")
    world.run("install")
    world.root.rename(world.base / "elsewhere")
    for target in ("install", "stop"):
        ended = world.run(target)
        assert ended.outcome is Outcome.MOVED, ended
        assert str(world.root) in ended.line


def test_a_root_on_another_filesystem_has_moved(world: World) -> None:
    world.app("install stop:\n\ttouch done\n")
    given = replace(world.given, fstype="fuse.glusterfs")
    for target in ("install", "stop"):
        ended = world.run(target, given)
        assert ended.outcome is Outcome.MOVED
        assert "is the share mounted?" in ended.line
    assert not world.ran()


def test_the_filesystem_that_is_expected_is_recognised(world: World) -> None:
    kind = ""
    deepest = -1
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point, tail = line.split()[4], line.split(" - ")[1]
        inside = str(world.root).startswith(point.rstrip("/") + "/")
        if inside and len(point) >= deepest:
            deepest, kind = len(point), tail.split()[0]
    world.app("install:\n\ttouch done\n")
    assert world.run("install", replace(world.given, fstype=kind)).outcome is Outcome.OK


def test_a_swap_between_look_and_use_does_not_matter(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = world.app("install:\n\ttouch done\n")
    evil = world.base / "evil"
    evil.mkdir()
    (evil / "Makefile").write_text("install:\n\ttouch evil\n")
    monkeypatch.setenv(launch.FAILPOINTS, f"child.read=pause:{world.base}")

    async def scene(agent: Runs) -> Ended:
        run = world.plan("install")
        await agent.begin(run)
        agent.spawner.proceed(run.id)
        await becomes((world.base / "child.read.here").exists)
        app.rename(world.base / "moved-away")
        app.symlink_to(evil)
        (world.base / "child.read.go").touch()
        return await agent.ended()

    assert world.play(scene).outcome is Outcome.OK
    assert (world.base / "moved-away" / "done").exists()
    assert not (evil / "evil").exists()


# --- a name service or a share that hangs ---------------------------------------------------------


@pytest.mark.parametrize(("place", "what"), [("names", "the name service"), ("share", "the share")])
def test_what_does_not_answer_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch, place: str, what: str
) -> None:
    world.app("install:\n\ttouch done\n")
    monkeypatch.setenv(launch.FAILPOINTS, f"child.{place}=hang")
    ended = world.run("install", replace(world.given, patience={"names": 0.3, "share": 0.3}))
    assert ended.outcome is Outcome.MOVED
    assert ended.line == f"nothing ran: {what} did not answer for 300ms"
    assert not world.ran()


def test_a_run_that_hangs_on_the_share_can_be_cancelled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.app("install:\n\ttouch done\n")
    monkeypatch.setenv(launch.FAILPOINTS, "child.share=hang")

    async def scene(agent: Runs) -> Ended:
        run = world.plan("install")
        await agent.begin(run)
        agent.spawner.proceed(run.id)
        await asyncio.sleep(0)
        agent.spawner.end(run.id, "asked")
        return await agent.ended()

    assert world.play(scene).outcome is Outcome.CANCELLED
    assert not world.ran()
