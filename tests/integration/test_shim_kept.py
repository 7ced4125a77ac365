"""The stop of what is gone: with the copy of its Makefile."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from appagent.model import Outcome
from tests import running
from tests.running import World


@pytest.fixture
def world() -> Iterator[World]:
    with running.world() as made:
        yield made


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
    bare = world.state / "runs" / "the-stop.stop"
    assert world.log().endswith(f"{bare}\n{app} {bare}\n")
    world.app("install:\n\ttrue\n")
    assert world.run("install").outcome is Outcome.OK


def test_nothing_is_kept_of_a_run_that_failed(world: World) -> None:
    app = world.app("install:\n\tfalse\nstop:\n\ttrue\n")
    world.run("install")
    assert not (world.state / "apps" / "web" / "Makefile").exists()
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
    kept = world.state / "apps" / "web"
    assert (kept / "Makefile").read_text().endswith("# three\n")
    assert [path.name for path in kept.iterdir()] == ["Makefile"]


def test_a_copy_never_follows_a_link(world: World) -> None:
    precious = world.base / "precious"
    precious.write_text("precious")
    kept = world.state / "apps" / "web"
    kept.mkdir(parents=True)
    (kept / "Makefile").symlink_to(precious)
    (kept / "Makefile.new").symlink_to(precious)
    world.app("install:\n\ttrue\n")
    ended = world.run("install")
    assert ended.outcome is Outcome.OK
    assert precious.read_text() == "precious"


def test_a_huge_makefile_is_run_and_not_kept(world: World) -> None:
    world.app("install:\n\ttrue\n" + "#" * 2_000_000 + "\n")
    assert world.run("install").outcome is Outcome.OK
    assert not (world.state / "apps" / "web" / "Makefile").exists()
