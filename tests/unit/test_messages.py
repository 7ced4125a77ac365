"""Each kind of notice has its words and its level, and the log of a deploy reads well."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import appagent
from appagent.model.notices import Level, Notice, NoticeKind, notice
from appagent.model.words import Layout, Now, Outcome
from appagent.report import messages
from tests.unit.core_play import Play, deployed

NOW = Now(0.0, 0.0)
WHYS = ("no network", "no disk")
LOUD = (Level.WARNING, Level.ERROR)


def log(play: Play, *levels: Level) -> list[str]:
    """What is logged of web at these levels."""
    mine = [each for each in play.reported if each.app == "web"]
    return [messages.text(each) for each in mine if messages.level(each) in levels]


def code() -> str:
    """What can report: all of the package but the kinds and their words."""
    package = Path(appagent.__file__).parent
    apart = {package / "model" / "notices.py", package / "report" / "messages.py"}
    files = set(package.rglob("*.py")) - apart - {package / "report" / "history_db.py"}
    return "\n".join(path.read_text() for path in files)


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_every_kind_has_words_whatever_fields_it_lacks(kind: NoticeKind) -> None:
    bare = Notice(kind, NOW)
    assert isinstance(messages.message(bare), str)
    assert messages.level(bare) in Level


def test_every_kind_is_reported_somewhere() -> None:
    text = code()
    assert [kind for kind in NoticeKind if f"NoticeKind.{kind.name}" not in text] == []


@pytest.mark.parametrize("layout", list(Layout))
def test_a_deploy_is_five_lines_in_the_log(layout: Layout) -> None:
    play = deployed(layout=layout)
    play.reported.clear()
    play.push("web", "r2")
    play.rest()
    lines = log(play, Level.INFO, *LOUD)
    assert len(lines) == 5
    assert lines[0] == "web: deploying r2 (new release)"
    assert lines[1:4] == [
        f"web: make {target} succeeded in 0.5 s" for target in ("install", "restart", "check")
    ]
    done = r"web: deployed r2 in \d\.6 s \(settle \d\.0, queue 0\.0, run 1\.6\)"
    assert re.fullmatch(done, lines[4])


def test_a_failure_is_logged_once_and_what_follows_from_it() -> None:
    play = deployed()
    play.reported.clear()
    play.will("web", "restart", Outcome.FAILED, line="no such file")
    play.push("web", "r2")
    play.rest()
    assert [line for line in log(play, *Level) if "no such file" in line] == [
        "web: make restart failed after 0.5 s: no such file"
    ]
    assert log(play, Level.ERROR) == ["web: make restart failed after 0.5 s: no such file"]
    assert log(play, Level.WARNING) == ["web: rolling back to r1 (restart of r2 failed)"]
    assert log(play, Level.INFO)[0] == "web: deploying r2 (new release)"
    assert len(log(play, Level.INFO, *LOUD)) == 8


def test_a_failure_that_repeats_itself_is_an_error_once() -> None:
    play = deployed(retry_first=2.0)
    play.reported.clear()
    play.will("web", "install", *[Outcome.FAILED] * 3, line=WHYS[0])
    play.will("web", "install", Outcome.FAILED, line=WHYS[1])
    play.push("web", "r2")
    play.rest()
    network, disk = (f"web: make install failed after 0.5 s: {why}" for why in WHYS)
    assert log(play, Level.ERROR) == [network, disk]
    assert log(play, Level.WARNING) == [network, network]
    assert "web: make install: try 2 in 2 s" in log(play, Level.INFO)


def test_an_app_that_is_missing_is_logged_once_with_the_rest_of_its_time() -> None:
    play = deployed(gone_after=60.0)
    play.reported.clear()
    play.remove("web")
    play.after(12.0)
    assert log(play, *LOUD) == ["web: missing from the share; will be stopped in 60 s"]
    assert play.view().why == "missing from the share; will be stopped in 48 s"


def test_fields_that_say_nothing_are_left_out() -> None:
    made = notice(NoticeKind.RUN_ENDED, NOW, "web", line="", exit_code=None, duration_ms=0)
    assert made.fields == {"duration_ms": 0}


def words(kind: NoticeKind, **fields: object) -> str:
    return messages.message(Notice(kind, NOW, "web", fields))  # type: ignore[arg-type]


def test_the_parts_of_a_deploy_are_shown_in_seconds() -> None:
    parts = {"duration_ms": 512, "settled_ms": 0, "queue_ms": 20, "run_ms": 492}
    said = words(NoticeKind.DEPLOY_DONE, release="symlink.1:releases/2:77", **parts)
    assert said == "deployed 2 in 0.5 s (settle 0.0, queue 0.0, run 0.5)"


def test_the_agent_says_what_it_found() -> None:
    fields = {"version": "0.1.0", "pid": 32542, "roots": 1, "apps": 3}
    said = words(NoticeKind.AGENT_READY, **fields)
    assert said == "appagent 0.1.0 started (pid 32542): 1 root, 3 apps"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"by": "ann"}, "resumed by ann"),
        ({"reason": "a freeze"}, "hold expired (a freeze)"),
    ],
)
def test_a_hold_ends_by_a_person_or_by_itself(fields: dict[str, str], said: str) -> None:
    assert words(NoticeKind.APP_RESUMED, **fields) == said
