"""A version runs in the directory that it was seen in, and in no other that has its name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appagent.model.events import Ended
from appagent.model.words import Layout, Outcome, Version
from tests import running
from tests.running import World


@pytest.fixture
def world() -> Iterator[World]:
    with running.world() as made:
        yield made


def id_of(release: Path) -> Version:
    """The release as a look at it has it."""
    return Version(f"symlink.1:releases/{release.name}:{release.stat().st_ino}", "")


def made_anew(release: Path, makefile: str) -> None:
    """Put another directory in the place of a release."""
    fresh = release.with_name("fresh")
    fresh.mkdir()
    (fresh / "Makefile").write_text(makefile)
    release.rename(release.with_name("old"))
    fresh.rename(release)


@pytest.mark.parametrize("seen", [True, False], ids=["what is seen", "an earlier release"])
def test_a_release_that_was_made_anew_under_its_name_has_moved(world: World, *, seen: bool) -> None:
    release = world.release("1", "install restart:\n\ttrue\n")
    version = id_of(release)
    given = replace(world.given, seen=seen)

    def run(target: str) -> Ended:
        return world.run(
            target, given, layout=Layout.SYMLINK, release_dir=str(release), version=version
        )

    assert run("install").outcome is Outcome.OK
    made_anew(release, "install restart:\n\ttouch done\n")
    for target in ("install", "restart"):
        ended = run(target)
        assert ended.outcome is Outcome.MOVED
        assert ended.line == f"{release} is not the directory that the release was seen in"
    assert not world.ran()


def test_a_version_never_runs_in_the_directory_of_another(world: World) -> None:
    old = world.release("1", "start:\n\ttrue\n")
    new = world.release("2", "start:\n\ttouch done\n")
    ended = world.run("start", layout=Layout.SYMLINK, release_dir=str(new), version=id_of(old))
    assert ended.outcome is Outcome.MOVED
    assert not world.ran()


@pytest.mark.parametrize("now", ["made anew", "a link"])
def test_a_stop_of_a_release_whose_place_another_has_uses_the_copy(world: World, now: str) -> None:
    stopped = world.base / "stopped"
    release = world.release("1", f"install:\n\ttrue\nstop:\n\ttouch {stopped}\n")
    version = id_of(release)

    def run(target: str) -> Ended:
        return world.run(target, layout=Layout.SYMLINK, release_dir=str(release), version=version)

    assert run("install").outcome is Outcome.OK
    made_anew(release, "stop:\n\ttouch done\n")
    if now == "a link":
        release.rename(release.with_name("2"))
        release.symlink_to("2")
    ended = run("stop")
    assert ended.outcome is Outcome.OK, ended
    assert "stopped with the copy of its Makefile" in ended.warnings[0]
    assert stopped.exists()
    assert not world.ran()
