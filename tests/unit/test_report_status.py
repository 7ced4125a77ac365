"""What `status` shows of an app."""

from __future__ import annotations

from typing import Any

import pytest

from appagent.model.events import RootObserved
from appagent.model.seen import RootSeen
from appagent.model.words import Layout, Outcome
from appagent.report import status
from tests.unit.core_play import HOUR, ROOT, Play, deployed


def shown(play: Play) -> dict[str, list[str]]:
    """The rows of the table by app: state, what it runs, what is on the share, and the rest."""
    data: dict[str, Any] = status.node_data(play.node, play.now(), {})
    lines = status.status_text(data, 400).splitlines()
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
    return {row[0]: row[1:] for row in rows}


# --- what it runs --------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [Layout.TREE, Layout.GIT])
def test_a_release_that_failed_to_restart_is_not_shown_as_what_runs(layout: Layout) -> None:
    play = deployed(layout=layout)
    assert shown(play)["web"][1] == "r1"
    play.will("web", "restart", Outcome.FAILED)
    play.push("web", "r2")
    play.rest()
    assert shown(play)["web"][:3] == ["failed", "? (was r1)", "r2"]


def test_what_is_only_installed_does_not_run() -> None:
    play = Play()
    play.always("web", "start", Outcome.FAILED)
    play.push("web", "r1")
    play.after(1.0)
    assert shown(play)["web"][1] == "?"  # what a start that failed has left is not known
    play.trigger("web", "stop")
    play.rest()
    assert shown(play)["web"][1] == "-"


def test_an_app_runs_its_release_while_the_next_one_is_installed_or_fails_to_be() -> None:
    play = deployed(retry_first=60.0)
    play.always("web", "install", Outcome.FAILED, seconds=10.0)
    play.push("web", "r2")
    play.after(5.0)
    assert shown(play)["web"][:2] == ["deploying", "r1"]
    play.after(10.0)
    assert shown(play)["web"][:2] == ["retrying", "r1"]
    play.restart()
    play.after(5.0)
    assert shown(play)["web"][1] == "r1"


def test_nothing_runs_after_a_boot_until_it_is_started() -> None:
    play = deployed()
    play.root_trouble("ENOTCONN")
    play.reboot()
    play.after(HOUR)
    assert shown(play)["web"][1] == "-"
    play.root_trouble("")
    play.rest()
    assert shown(play)["web"][1] == "r1"


# --- what cannot be an app -----------------------------------------------------------------------


def test_what_cannot_be_an_app_is_in_the_table_with_its_reason() -> None:
    play = deployed()
    play.share.refused[ROOT]["dangling"] = f"{ROOT}/dangling/releases/9: No such file or directory"
    play.share.refused[ROOT]["bad\nname"] = "the name has '\\n' in it"
    play.watcher.push_root(ROOT)
    rows = shown(play)
    assert rows["dangling"][0] == "refused"
    assert rows["dangling"][-1].startswith(f"{ROOT}/dangling/releases/9: ")
    bad = next(row for name, row in rows.items() if name.startswith("bad"))
    assert bad[0] == "refused"
    assert "the name has" in bad[-1]


def test_directories_without_a_makefile_are_one_line() -> None:
    play = deployed()
    look = RootSeen(
        ROOT, known=True, names=("web",), plain=("docs", "lib"), plain_count=9, looked=play.mono + 1
    )
    play.feed(RootObserved(look))
    lines = status.status_text(status.node_data(play.node, play.now(), {})).splitlines()
    assert f"{ROOT}: not an app (no Makefile): docs, lib and 7 more" in lines


# --- what is over --------------------------------------------------------------------------------


def test_apps_that_are_back_bring_no_advice_to_forget_them() -> None:
    play = Play()
    for app in ("one", "two", "three"):
        play.push(app, "r1")
    play.rest()
    play.remove("one", "two", "three")
    play.after(HOUR)
    assert "appagent forget" in play.text("app.unknown")
    for app in ("one", "two", "three"):
        play.push(app, "r1")
    play.after(HOUR)
    assert play.text("app.known") in {
        f"{app}: no longer unknown" for app in ("one", "two", "three")
    }
