"""Hostile cases: each is refused with its line, nothing of it runs, and other apps deploy on."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from appagent.model.events import Ended
from appagent.model.words import Layout, Outcome
from appagent.run import launch
from tests import running
from tests.running import Runs, World, becomes

# Whatever of this is read by make, or run, leaves a mark.
EVIL = "X := $(shell touch {mark})\ninstall stop:\n\ttouch {mark}\n"
NOBODY = 65534  # whose files nobody trusts
GAMES = 60  # a group that nobody trusts

needs_root = pytest.mark.skipif(not running.ROOT, reason="needs root to give files away")


@pytest.fixture
def world() -> Iterator[World]:
    with running.world() as made:
        yield made


class Scene:
    """An app in the symlink layout, everything about it fine; a case then spoils one thing."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.mark = world.base / "ran"
        self.evil = EVIL.format(mark=self.mark)
        self.app = world.root / "web"
        self.release = world.release("1", self.evil)
        self.releases = self.app / "releases"
        self.current = self.app / "current"
        self.makefile = self.release / "Makefile"
        self.settings = self.release / "appagent.yaml"
        self.settings.write_text("settle: 1s\n")
        self.outside = world.base / "outside"
        self.outside.mkdir()
        (self.outside / "Makefile").write_text(self.evil)
        self.env = world.base / "env" / "web.env"
        self.env.parent.mkdir()
        self.env.write_text("A=1\n")
        self.given = replace(world.given, env_files=(str(self.env),))
        self.release_dir = self.release

    def link(self, text: str | Path, at: Path | None = None) -> None:
        at = at or self.current
        if at.is_symlink() or at.exists():
            if at.is_dir() and not at.is_symlink():
                at.rename(self.world.base / "away")
            else:
                at.unlink()
        at.symlink_to(text)

    def be(self, outside: Path) -> None:
        """Have the release be another directory, and `current` lead there."""
        self.link(outside)
        self.release_dir = outside

    def run(self, target: str = "install") -> Ended:
        return self.world.run(
            target, self.given, layout=Layout.SYMLINK, release_dir=str(self.release_dir)
        )


@dataclass(frozen=True)
class Case:
    """What is done to the scene, and what the line must say about it."""

    name: str
    spoil: Callable[[Scene], object]
    says: str
    outcome: Outcome = Outcome.REFUSED
    root: bool = False  # only root can set it up


def fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    path.unlink(missing_ok=True)
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket may not be long
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def device(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # as /dev/zero


def a_directory(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


def of_group(path: Path, mode: int) -> None:
    os.chown(path, -1, GAMES)
    path.chmod(mode)


def give(path: Path) -> None:
    os.chown(path, NOBODY, -1)


def circle(scene: Scene) -> None:
    scene.link("a")
    (scene.app / "a").symlink_to("b")
    (scene.app / "b").symlink_to("a")


def over_a_link(scene: Scene) -> None:
    (scene.app / "a").symlink_to(scene.outside)
    scene.link("a")


def has_dots(scene: Scene) -> None:
    scene.release_dir = scene.app / ".." / ".." / "outside"


def app_outside(scene: Scene) -> None:
    scene.link(scene.outside, scene.app)
    scene.release_dir = scene.outside


def releases_out(scene: Scene) -> None:
    scene.link(scene.outside, scene.releases)


def makefile_out_by_dots(scene: Scene) -> None:
    scene.link("../../../../outside/Makefile", scene.makefile)


def gnumakefile_out(scene: Scene) -> None:
    scene.link(scene.outside / "Makefile", scene.release / "GNUmakefile")


def everyones_neighbour(scene: Scene) -> None:
    (scene.release / "GNUmakefile").write_text(scene.evil)
    (scene.release / "GNUmakefile").chmod(0o666)


def strange_neighbour(scene: Scene) -> None:
    (scene.release / "makefile").write_text(scene.evil)
    give(scene.release / "makefile")


CASES = [
    # links out of the root, at every level
    Case("current-leads-out", lambda s: s.link(s.outside), "leads to"),
    Case("current-leads-out-by-dots", lambda s: s.link("../../outside"), "leads to"),
    Case("current-leads-far-out", lambda s: s.link("../../../../../../../etc"), "leads to /etc"),
    Case("current-leads-out-over-a-link", over_a_link, "/a leads to"),
    Case("the-release-is-outside", lambda s: s.be(s.outside), "release_dirs"),
    Case("the-release-is-etc", lambda s: s.be(Path("/etc")), "release_dirs"),
    Case("the-release-has-dots", has_dots, "is a link now", Outcome.MOVED),
    Case("the-app-leads-out", lambda s: s.link(s.outside, s.app), "is a link now", Outcome.MOVED),
    Case("the-app-leads-to-its-release-outside", app_outside, "release_dirs"),
    Case("releases-leads-out", releases_out, "is a link now", Outcome.MOVED),
    Case("links-in-a-circle", circle, "symbolic links in a row"),
    Case("makefile-leads-out", lambda s: s.link(s.outside / "Makefile", s.makefile), "leads to"),
    Case("makefile-leads-out-by-dots", makefile_out_by_dots, "Makefile leads to"),
    Case("gnumakefile-leads-out", gnumakefile_out, "GNUmakefile leads to"),
    Case("makefile-leads-to-a-device", lambda s: s.link("/dev/zero", s.makefile), "leads to /dev"),
    Case("settings-lead-out", lambda s: s.link("/etc/passwd", s.settings), "leads to /etc/passwd"),
    Case("env-leads-out", lambda s: s.link("/etc/passwd", s.env), "leads to /etc/passwd"),
    Case("env-leads-to-a-device", lambda s: s.link("/dev/zero", s.env), "leads to /dev/zero"),
    # what everyone can write
    Case("app-is-everyones", lambda s: s.app.chmod(0o777), "/web can be changed by everyone"),
    Case("app-is-sticky", lambda s: s.app.chmod(0o1777), "/web can be changed by everyone"),
    Case("releases-is-everyones", lambda s: s.releases.chmod(0o777), "/releases can be changed"),
    Case("release-is-everyones", lambda s: s.release.chmod(0o757), "/1 can be changed by everyone"),
    Case("root-is-everyones", lambda s: s.world.root.chmod(0o777), "/root can be changed by"),
    Case("makefile-is-everyones", lambda s: s.makefile.chmod(0o646), "Makefile can be changed"),
    Case("neighbour-is-everyones", everyones_neighbour, "GNUmakefile can be changed by everyone"),
    Case("settings-are-everyones", lambda s: s.settings.chmod(0o666), "appagent.yaml can be"),
    Case("env-is-everyones", lambda s: s.env.chmod(0o606), "web.env can be changed by everyone"),
    Case("env-lies-in-everyones", lambda s: s.env.parent.chmod(0o777), "/env can be changed by"),
    # what a group can write
    Case(
        "makefile-is-a-groups", lambda s: of_group(s.makefile, 0o664), "by group games", root=True
    ),
    Case("app-is-a-groups", lambda s: of_group(s.app, 0o2775), "by group games", root=True),
    Case("env-is-a-groups", lambda s: of_group(s.env, 0o660), "by group games", root=True),
    # what belongs to somebody else
    Case("app-is-a-strangers", lambda s: give(s.app), "/web belongs to nobody", root=True),
    Case("release-is-a-strangers", lambda s: give(s.release), "/1 belongs to nobody", root=True),
    Case("makefile-is-a-strangers", lambda s: give(s.makefile), "give it to root or", root=True),
    Case("neighbour-is-a-strangers", strange_neighbour, "makefile belongs to nobody", root=True),
    Case("settings-are-a-strangers", lambda s: give(s.settings), "belongs to nobody", root=True),
    Case("env-is-a-strangers", lambda s: give(s.env), "web.env belongs to nobody", root=True),
    Case("root-is-a-strangers", lambda s: give(s.world.root), "belongs to nobody", root=True),
    # what is no file
    Case("makefile-is-a-fifo", lambda s: fifo(s.makefile), "Makefile is a FIFO"),
    Case("makefile-is-a-socket", lambda s: a_socket(s.makefile), "Makefile is a socket"),
    Case("makefile-is-a-device", lambda s: device(s.makefile), "Makefile is a device", root=True),
    Case("makefile-is-a-directory", lambda s: a_directory(s.makefile), "is a directory"),
    Case("neighbour-is-a-fifo", lambda s: fifo(s.release / "GNUmakefile"), "GNUmakefile is a FIFO"),
    Case("settings-are-a-fifo", lambda s: fifo(s.settings), "appagent.yaml is a FIFO"),
    Case("settings-are-a-device", lambda s: device(s.settings), "is a device", root=True),
    Case("env-is-a-fifo", lambda s: fifo(s.env), "web.env is a FIFO"),
    Case("env-is-a-device", lambda s: device(s.env), "web.env is a device", root=True),
    Case("env-is-a-directory", lambda s: a_directory(s.env), "web.env is a directory"),
    Case("env-is-huge", lambda s: sparse(s.env), "web.env: is larger than"),
    Case("env-is-binary", lambda s: s.env.write_bytes(b"A=\0\1\n"), "web.env:1: holds a NUL"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_cannot_be_trusted_is_refused_and_does_not_run(world: World, case: Case) -> None:
    if case.root and not running.ROOT:
        pytest.skip("needs root to set it up")
    scene = Scene(world)
    world.app("install:\n\ttrue\n", "other")
    case.spoil(scene)
    ended = scene.run()
    assert (ended.outcome, case.says in ended.line) == (case.outcome, True), ended
    assert "\n" not in ended.line
    assert not scene.mark.exists()
    if case.name not in {"root-is-everyones", "root-is-a-strangers"}:
        assert world.run("install", app="other").outcome is Outcome.OK


def test_the_same_scene_runs_when_nothing_is_wrong_with_it(world: World) -> None:
    scene = Scene(world)
    ended = scene.run()
    assert (ended.outcome, ended.line, ended.warnings) == (Outcome.OK, "", ())
    assert scene.mark.exists()


@pytest.mark.parametrize("name", ["-f", "..", ".", "", "a/b", "$(id)", "x" * 255, "a\nb", "a b"])
def test_a_name_that_is_none_begins_nothing(world: World, name: str) -> None:
    async def scene(agent: Runs) -> None:
        with pytest.raises(OSError, match="invalid app name"):
            await agent.begin(world.plan("install", app=name))

    world.play(scene)
    assert not list(world.state.iterdir())


# --- what is trusted -----------------------------------------------------------------------------


def test_everyone_may_add_to_a_sticky_root(world: World) -> None:
    if not running.ROOT:
        pytest.skip("needs root: such a directory has to be root's")
    scene = Scene(world)
    world.root.chmod(0o1777)
    assert scene.run().outcome is Outcome.OK


@needs_root
def test_trusted_owners_may_own_and_their_groups_may_write(world: World) -> None:
    scene = Scene(world)
    for path in (world.root, *world.root.rglob("*"), scene.env):
        os.chown(path, 2, GAMES, follow_symlinks=False)  # bin, games
        if not path.is_symlink():
            path.chmod(0o2775 if path.is_dir() else 0o664)
    assert scene.run().outcome is Outcome.REFUSED
    scene.given = replace(scene.given, trusted_owners=("bin",))
    assert "group games" in scene.run().line
    scene.given = replace(scene.given, trusted_owners=("bin", "games", "no-such-name"))
    assert scene.run().outcome is Outcome.OK


@needs_root
def test_the_private_group_of_the_user_may_write(world: World) -> None:
    scene = Scene(world)
    for path in (world.root, *world.root.rglob("*")):
        os.chown(path, 33, 33, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(0o775 if path.is_dir() else 0o664)
    scene.mark.touch()
    os.chown(scene.mark, 33, 33)
    scene.mark.write_text("")
    scene.given = replace(scene.given, run_as="www-data")
    ended = scene.run()
    assert ended.outcome is Outcome.OK, ended


# --- between look and use ------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["child.walked", "child.read", "child.ask"])
def test_what_is_swapped_after_the_walk_is_not_used(
    world: World, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    scene = Scene(world)
    good = world.base / "ok"
    scene.makefile.write_text(f"install:\n\ttouch {good}\n")
    monkeypatch.setenv(launch.FAILPOINTS, f"{place}=pause:{world.base}")

    async def play(agent: Runs) -> Ended:
        run = world.plan("install", layout=Layout.SYMLINK, release_dir=str(scene.release))
        await agent.begin(run, scene.given)
        agent.spawner.proceed(run.id)
        await becomes((world.base / f"{place}.here").exists)
        scene.link(scene.outside)
        scene.release.rename(scene.app / "releases" / "2")
        scene.link(scene.outside, scene.release)
        (world.base / f"{place}.go").touch()
        return await agent.ended()

    world.base.chmod(0o777)
    assert world.play(play).outcome is Outcome.OK
    assert good.exists()
    assert not scene.mark.exists()


def test_what_is_swapped_before_the_walk_is_moved_or_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(world)
    monkeypatch.setenv(launch.FAILPOINTS, f"child.share=pause:{world.base}")

    async def play(agent: Runs) -> Ended:
        run = world.plan("install", layout=Layout.SYMLINK, release_dir=str(scene.release))
        await agent.begin(run, scene.given)
        agent.spawner.proceed(run.id)
        await becomes((world.base / "child.share.here").exists)
        scene.release.rename(scene.app / "releases" / "2")
        scene.link(scene.outside, scene.release)
        (world.base / "child.share.go").touch()
        return await agent.ended()

    assert world.play(play).outcome is Outcome.MOVED
    assert not scene.mark.exists()
