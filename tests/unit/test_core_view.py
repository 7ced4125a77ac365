"""What people are told of an app while one release follows another."""

from __future__ import annotations

import pytest

from appagent.model.words import Layout, Outcome
from tests.unit.core_play import Play, deployed

TREES = [Layout.TREE, Layout.GIT]


def failed(target: str, layout: Layout) -> Play:
    """The newest release of web fails in a target, so often that a person should look."""
    play = deployed(layout=layout, settle=2.0)
    play.always("web", target, Outcome.FAILED, line="no database")
    play.push("web", "r2")
    play.after(60.0)
    assert play.view().reached is False
    return play


@pytest.mark.parametrize("layout", TREES)
@pytest.mark.parametrize("target", ["install", "restart", "check"])
def test_what_mends_a_failed_release_is_settling_until_it_is_tried(
    layout: Layout, target: str
) -> None:
    play = failed(target, layout)
    play.always("web", target)
    play.push("web", "r3")
    words = []
    while play.word() != "ok":
        words.append(play.word())
        assert play.view().reached is None
        play.happen()
    assert words[0] == "settling"


def test_a_release_that_is_still_being_written_is_settling_though_the_last_one_failed() -> None:
    play = deployed()
    play.will("web", "restart", Outcome.FAILED)
    play.push("web", "r2")
    play.rest()
    assert (play.word(), play.view().reached) == ("rolled-back", False)
    play.push("web", "r3", incomplete=".deploying")
    assert (play.word(), play.view().reached) == ("settling", None)
    assert ".deploying" in play.view().why
    play.push("web", "r3")
    play.rest()
    assert play.word() == "ok"


@pytest.mark.parametrize("layout", TREES)
def test_a_failed_release_that_is_there_again_has_failed(layout: Layout) -> None:
    play = failed("restart", layout)
    play.push("web", "r3")
    assert play.word() == "settling"
    play.push("web", "r2")
    play.after(10.0)
    assert (play.word(), play.view().reached) == ("failed", False)
