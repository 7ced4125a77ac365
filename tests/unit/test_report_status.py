"""What `status` shows of an app."""

from __future__ import annotations

import re
from typing import Any

import pytest

from appagent.model.applied import Hold
from appagent.model.events import HoldAsked
from appagent.model.seen import RootSeen
from appagent.model.words import Layout, Outcome
from appagent.report import status
from appagent.report.status_text import status_text
from appagent.report.terminal import Screen
from appagent.report.text import width
from tests.unit.core_play import HOUR, ROOT, Play, deployed


def shown(play: Play) -> dict[str, list[str]]:
    """The rows of the table by app: state, what it runs, since when …, and the lines below it."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in screen(play).splitlines():
        if line.startswith("  "):
            found.setdefault(name, []).append(line.strip())
        else:
            name, *row = [cell.strip() for cell in line.split("  ") if cell.strip()]
            found[name] = row
    return found


def screen(play: Play, columns: int = 0) -> str:
    """What `status` shows."""
    data: dict[str, Any] = status.node_data(play.node, play.now(), {})
    return status_text(data, Screen(columns, 24))


# --- what it runs --------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [Layout.TREE, Layout.GIT])
def test_a_release_that_failed_to_restart_is_not_shown_as_what_runs(layout: Layout) -> None:
    play = deployed(layout=layout)
    assert shown(play)["web"][1] == "r1"
    play.will("web", "restart", Outcome.FAILED)
    play.push("web", "r2")
    play.rest()
    row = shown(play)["web"]
    assert row[:2] == ["failed", "? (was r1)"]
    assert row[-2:] == [
        "on the share: r2",
        "details: appagent history web; retry: appagent trigger web",
    ]


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
        ROOT, known=True, names=("web",), plain=("docs", "lib"), plain_count=9, at=play.mono + 1
    )
    play.feed(look)
    lines = screen(play).splitlines()
    assert f"{ROOT}: not an app (no Makefile): docs, lib and 7 more" in lines


def test_the_trouble_of_a_root_is_shown_once() -> None:
    play = deployed()
    play.push("other", "r1")
    play.rest()
    play.root_trouble("no answer")
    play.rest()
    assert screen(play).count("no answer") == 1
    rows = shown(play)
    assert [rows[app][:2] for app in ("web", "other")] == [["unknown", "r1"]] * 2


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


# --- how it is shown -----------------------------------------------------------------------------


def test_a_reason_is_whole_and_wrapped_below_the_row_of_its_app() -> None:
    play = deployed()
    reason = " ".join(f"word{number}" for number in range(60))
    play.app_trouble("web", reason)
    play.rest()
    for columns in (60, 80, 120):
        lines = screen(play, columns).splitlines()
        assert all(width(line) <= columns for line in lines)
        row = next(n for n, line in enumerate(lines) if line.startswith("web "))
        below = [line for line in lines[row + 1 :] if line.startswith("  ")]
        assert " ".join(line.strip() for line in below).startswith(reason)
        assert below[0].startswith("  word0 word1")
        assert all(line.startswith("    ") for line in below[1:-1])


def test_since_is_the_age_of_the_state() -> None:
    play = deployed()
    play.app_trouble("web", "no answer")
    play.rest()
    play.after(2 * HOUR + 60.0)
    assert shown(play)["web"][:3] == ["unknown", "r1", "2h"]


def test_a_hold_is_shown_with_who_why_and_until_when() -> None:
    play = deployed()
    play.feed(HoldAsked("web", Hold("a demo", None, "root")))
    play.rest()
    assert shown(play)["web"][-1] == "held by root until `appagent resume`: a demo"
    play.feed(HoldAsked("web", Hold("a demo", play.now().wall + 1800.0, "root")))
    play.feed(HoldAsked(None, Hold("all of it", None, "uid 7")))
    assert re.fullmatch(
        r"held by root until [\d: -]+ \((29|30)m left\): a demo", shown(play)["web"][-1]
    )
    assert "all apps are held by uid 7 until `appagent resume`: all of it" in screen(play)


def test_the_head_counts_the_apps_that_are_ok() -> None:
    play = deployed()
    play.push("other", "r1")
    play.rest()
    assert screen(play).splitlines()[0].endswith("2 of 2 apps ok")
    play.app_trouble("web", "no answer")
    play.rest()
    assert screen(play).splitlines()[0].endswith("1 of 2 apps ok")


def test_processes_and_memory_are_columns_and_unknown_where_they_were_not_counted() -> None:
    play = deployed()
    play.push("other", "r1")
    play.rest()
    data: dict[str, Any] = status.node_data(play.node, play.now(), {})
    usage = {"other": {"processes": 12, "memory": 1.5 * 1024**3, "cpu_s": 0.0}, "web": None}
    for app in data["apps"]:
        app["usage"] = usage[app["app"]]
    rows = {line.split()[0]: line.split()[-2:] for line in status_text(data).splitlines()}
    assert rows["APP"] == ["PROC", "MEMORY"]
    assert rows["other"] == ["12", "1.5G"]
    assert rows["web"] == ["-", "-"]
