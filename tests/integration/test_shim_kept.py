"""The stop of what is gone: with the copy of its Makefile, as the user whose it was."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appagent.model.applied import Run
from appagent.model.events import Ended
from appagent.model.words import Layout, Outcome
from appagent.run import launch
from tests import running
from tests.running import Runs, World, becomes


@pytest.fixture
def world() -> Iterator[World]:
    with running.world() as made:
        yield made


needs_root = pytest.mark.skipif(not running.ROOT, reason="needs root to give files away")


def kept(world: World) -> list[Path]:
    """What is kept of the app, which is one file at most."""
    folder = world.state / "apps" / "web"
    return list(folder.iterdir()) if folder.exists() else []


PLAIN = "install start restart:\n\ttrue\nstop:\n\t@pwd; touch stopped; echo $$APP_DIR $$PWD\n"


def test_a_stop_runs_in_the_release_while_it_is_there(world: World) -> None:
    app = world.app(PLAIN)
    ended = world.run("stop")
    assert (ended.outcome, ended.warnings) == (Outcome.OK, ())
    assert (app / "stopped").exists()


@pytest.mark.parametrize("target", ["install", "start", "restart"])
def test_a_stop_of_what_is_gone_uses_the_copy_of_its_makefile(world: World, target: str) -> None:
    stopped = world.base / "stopped"
    app = world.app(PLAIN.replace("touch stopped", f"touch {stopped}"))
    assert world.run(target).outcome is Outcome.OK
    shutil.rmtree(app)
    ended = world.run("stop", id="the-stop")
    assert ended.outcome is Outcome.OK
    assert "stopped with the copy of its Makefile" in ended.warnings[0]
    assert stopped.exists()
    bare = world.runtime / "stops" / "the-stop"
    assert world.log().endswith(f"{bare}\n{app} {bare}\n")
    world.app("install:\n\ttrue\n")
    assert world.run("install").outcome is Outcome.OK


def test_a_disk_that_takes_nothing_any_more_keeps_no_app_that_is_gone_from_its_stop(
    world: World,
) -> None:
    stopped = world.base / "stopped"
    app = world.app(f"install:\n\ttrue\nstop:\n\ttouch {stopped}\n")
    world.run("install")
    shutil.rmtree(app)
    shutil.rmtree(world.state / "runs")
    (world.state / "runs").write_text("in the way")
    assert world.run("stop").outcome is Outcome.OK
    assert stopped.exists()
    assert list((world.runtime / "stops").iterdir())  # until it is swept as all that runs leave


def test_nothing_is_kept_of_a_run_that_failed(world: World) -> None:
    app = world.app("install:\n\tfalse\nstop:\n\ttrue\n")
    world.run("install")
    assert kept(world) == []
    shutil.rmtree(app)
    ended = world.run("stop")
    assert ended.outcome is Outcome.MISSING
    assert "no copy of its Makefile was kept" in ended.line


def test_the_newest_makefile_that_succeeded_is_kept(world: World) -> None:
    world.app("install:\n\ttrue\n# one\n")
    world.run("install")
    app = world.app("install:\n\ttrue\n# two\n")
    (app / "GNUmakefile").write_text("install:\n\ttrue\n# three\n")
    world.run("install")
    (copy,) = kept(world)
    assert copy.read_text().endswith("# three\n")
    assert copy.stat().st_mode & 0o777 == 0o600


def test_a_copy_never_follows_a_link(world: World) -> None:
    precious = world.base / "precious"
    precious.write_text("precious")
    world.app("install:\n\ttrue\n")
    world.run("install")
    (copy,) = kept(world)
    copy.unlink()
    copy.symlink_to(precious)
    copy.with_name(f"{copy.name}.new").symlink_to(precious)
    ended = world.run("install")
    assert ended.outcome is Outcome.OK
    assert precious.read_text() == "precious"


def test_of_a_huge_makefile_no_copy_is_kept_and_no_older_one_either(world: World) -> None:
    app = world.app(PLAIN)
    assert world.run("install").outcome is Outcome.OK
    assert len(kept(world)) == 1
    world.app(PLAIN + "#" * 2_000_000 + "\n")
    assert world.run("install").outcome is Outcome.OK
    assert kept(world) == []
    shutil.rmtree(app)
    ended = world.run("stop")
    assert (ended.outcome, "no copy of its Makefile" in ended.line) == (Outcome.MISSING, True)


# --- whose it is ---------------------------------------------------------------------------------

WHO = """install restart:
	@true
stop:
	@echo stopped by $$(id -un)
"""


def give(path: Path, user: str) -> None:
    for each in (path, *path.rglob("*")):
        shutil.chown(each, user, user)


class Shared:
    """A root where everybody may make names, and an app there: a link of games to games' files."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.release = world.root / ".games" / "1"
        self.release.mkdir(parents=True)
        (self.release / "Makefile").write_text(WHO)
        give(world.root / ".games", "games")
        self.app = world.root / "web"
        self.link(".games/1", "games")
        self.others = world.root / "others"
        self.others.mkdir()
        give(self.others, "news")
        world.root.chmod(0o1777)
        self.given = replace(world.given, run_as="owner")

    def link(self, text: str, user: str) -> None:
        self.app.unlink(missing_ok=True)
        self.app.symlink_to(text)
        entry = pwd.getpwnam(user)
        os.chown(self.app, entry.pw_uid, entry.pw_gid, follow_symlinks=False)

    def plan(self, target: str) -> Run:
        return self.world.plan(target, layout=Layout.SYMLINK, release_dir=str(self.release))

    def run(self, target: str) -> Ended:
        run = self.plan(target)
        return self.world.play(lambda agent: agent.whole(run, self.given))


@pytest.fixture
def shared(world: World) -> Shared:
    made = Shared(world)
    assert made.run("install").outcome is Outcome.OK
    return made


@needs_root
@pytest.mark.parametrize("now", ["another's", "out of the root", "root's", "nothing"])
def test_what_is_kept_of_one_owner_never_runs_as_another(shared: Shared, now: str) -> None:
    shutil.rmtree(shared.release.parent)
    shared.app.unlink()
    if now == "root's":
        shared.world.app("stop:\n\t@id -un\n")
    elif now != "nothing":
        shared.link("others" if now == "another's" else "/etc", "games")
    ended = shared.run("stop")
    assert ended.outcome is Outcome.OK, ended
    assert shared.world.log() == "stopped by games\n"


@needs_root
def test_who_takes_the_name_in_the_midst_of_a_stop_gets_nothing_of_it(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shim's arguments are for all to see, so the moment can be chosen."""
    base = shared.world.base
    shutil.rmtree(shared.release.parent)
    shared.app.unlink()
    base.chmod(0o777)
    monkeypatch.setenv(launch.FAILPOINTS, f"child.names=pause:{base}")

    async def scene(agent: Runs) -> Ended:
        run = shared.plan("stop")
        await agent.begin(run, shared.given)
        agent.spawner.proceed(run.id)
        await becomes((base / "child.names.here").exists)
        shared.link("others", "games")
        (base / "child.names.go").touch()
        return await agent.ended()

    assert shared.world.play(scene).outcome is Outcome.OK
    assert shared.world.log() == "stopped by games\n"


@needs_root
def test_after_a_change_of_owner_the_stop_is_still_the_one_that_it_was(shared: Shared) -> None:
    (shared.release / "Makefile").write_text(WHO.replace("stopped", "all stopped"))
    give(shared.world.root / ".games", "news")
    shared.link(".games/1", "news")
    assert shared.run("stop").outcome is Outcome.OK
    assert shared.run("restart").outcome is Outcome.OK
    assert shared.run("stop").outcome is Outcome.OK
    assert shared.world.log() == "stopped by games\nall stopped by news\n"


@needs_root
def test_after_a_change_of_run_as_what_is_kept_does_not_run(world: World) -> None:
    app = world.app(WHO)
    assert world.run("install", replace(world.given, run_as="games")).outcome is Outcome.OK
    other = replace(world.given, run_as="news")
    app.rename(world.base / "away")
    ended = world.run("stop", other)
    assert ended.outcome is Outcome.REFUSED
    assert "is games's, so it is never run as news: set run_as to games" in ended.line
    assert world.log() == ""
    (world.base / "away").rename(app)  # and while it is there, it is run as the files' trust has it
    assert world.run("stop", other).outcome is Outcome.OK
    assert world.log() == "stopped by news\n"


@needs_root
def test_a_makefile_that_says_whose_it_is_is_not_believed(world: World) -> None:
    world.app(WHO)
    assert world.run("install", replace(world.given, run_as="root")).outcome is Outcome.OK
    (copy,) = kept(world)
    says_root = copy.read_text()
    app = world.app(says_root)
    assert world.run("install", replace(world.given, run_as="games")).outcome is Outcome.OK
    shutil.rmtree(app)
    assert world.run("stop", replace(world.given, run_as="root")).outcome is Outcome.REFUSED
    copy.write_text("# nobody says whose\n" + WHO)
    assert world.run("stop", replace(world.given, run_as="root")).outcome is Outcome.MISSING
    assert world.log() == ""
