"""What `wait` says on the way and at the end."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from appagent.commands.change import done_text, progress_text, result, show
from appagent.commands.progress import Progress
from appagent.report.terminal import PLAIN, Screen


def done(count: int, *others: tuple[str, str], seconds: float = 3.1) -> dict[str, Any]:
    """What the agent tells at the end."""
    apps = [{"app": app, "state": state, "release": "2"} for app, state in others]
    return {"count": count, "apps": apps, "seconds": seconds}


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (done(1, ("web", "ok")), "web is up to date: release 2 (3.1 s)"),
        (done(1, ("web", "held")), "web is held (3.1 s)"),
        (done(9), "all 9 apps are up to date (3.1 s)"),
        (
            done(9, ("a", "held"), ("b", "stopped"), ("c", "held")),
            "all 9 apps are up to date (3.1 s); held: a, c; stopped: b",
        ),
        (done(0), "no apps"),
    ],
)
def test_the_result_names_what_was_reached(told: dict[str, Any], text: str) -> None:
    assert done_text(told) == text


def test_the_progress_counts_on_a_terminal() -> None:
    progress = Progress()
    found = {"text": "a (deploying), b (pending)", "apps": 9, "waiting": 2}
    progress.screen = Screen(80, 24)
    assert (
        progress_text(found, progress) == "7/9 up to date, waiting for a (deploying), b (pending)"
    )
    progress.screen = PLAIN
    assert progress_text(found, progress) == "waiting for a (deploying), b (pending)"


LINES: list[dict[str, Any]] = [
    {"line": "web: checking"},
    {"line": "waiting for web (x)", "progress": {"text": "web (x)", "apps": 1, "waiting": 1}},
    {"done": done(1, ("web", "ok"))},
]


def test_without_a_terminal_each_change_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert result(show(LINES, Progress())) == 0
    assert capsys.readouterr().err.splitlines() == [
        "appagent: web: checking",
        "appagent: waiting for web (x)",
        "appagent: web is up to date: release 2 (3.1 s)",
    ]


def test_on_a_terminal_the_line_is_written_over_and_taken_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    progress = Progress()
    progress.screen = Screen(12, 24)
    show(LINES[1:2], progress)
    assert err.getvalue() == "\r\x1b[Kwaiting fo…\r\x1b[K"


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert result(show(LINES, Progress(quiet=True)), quiet=True) == 0
    assert capsys.readouterr().err == ""
