"""A change of the environment: another version of an app, for which nothing is installed."""

from __future__ import annotations

import pytest

from appagent.model.settings import RootSettings
from appagent.model.words import Layout
from tests.unit.core_play import ROOT, Play, steps

LAYOUTS = [pytest.param(layout, id=layout.value) for layout in Layout]
COMMON = "/files/config/common.env"
OWN = "/files/config/web.env"
WITH_ENV = RootSettings(ROOT, env_files=(COMMON, "-/files/config/{app}.env"))


def with_env(layout: Layout = Layout.SYMLINK) -> Play:
    play = Play(roots=[WITH_ENV])
    play.env(COMMON, "a=1")
    play.env(OWN, state="missing")
    play.push("web", "r1", layout)
    assert play.rest() == steps("r1", "install", "start", "check")
    return play


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_changed_value_in_an_env_file_restarts_and_does_not_install(layout: Layout) -> None:
    play = with_env(layout)
    play.env(COMMON, "a=2")
    assert play.rest() == steps("r1", "restart", "check")


def test_a_changed_comment_in_an_env_file_runs_nothing() -> None:
    play = with_env()
    play.env(COMMON, "a=1")  # another text with the same digest
    assert play.rest() == []


def test_an_optional_env_file_may_come_and_go() -> None:
    play = with_env()
    play.env(OWN, "b=1")
    assert play.rest() == steps("r1", "restart", "check")
    play.env(OWN, state="missing")
    assert play.rest() == steps("r1", "restart", "check")


@pytest.mark.parametrize("state", ["missing", "broken"])
def test_a_broken_or_missing_env_file_blocks_and_says_so_once(state: str) -> None:
    play = with_env()
    play.env(COMMON, f"{COMMON}:3: no name", state=state)
    play.push("web", "r2")
    assert play.rest() == []
    assert play.word() == "blocked"
    assert COMMON in play.view().why
    assert play.notices("app.blocked") == ["app.blocked"]
    play.env(COMMON, "a=1")
    assert play.rest() == steps("r2", "install", "restart", "check")


def test_an_env_file_that_cannot_be_read_begins_and_stops_nothing() -> None:
    play = with_env()
    play.env(COMMON, "EIO", state="unknown")
    play.push("web", "r2")
    assert play.rest() == []
    assert play.word() == "unknown"
    play.env(COMMON, "a=1")
    assert play.rest() == steps("r2", "install", "restart", "check")


def test_an_env_file_that_was_never_read_is_waited_for() -> None:
    play = Play(roots=[WITH_ENV])
    play.push("web", "r1")
    assert play.rest() == []
    play.env(COMMON, "a=1")
    assert play.rest() == []
    play.env(OWN, state="missing")
    assert play.rest() == steps("r1", "install", "start", "check")
