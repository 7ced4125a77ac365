"""Each screen at 80 and at 120 columns, with colour and without, as a terminal shows it.

tests/integration/screens/ holds the screens as they are to be; they are from the same run that the
documentation shows. After a change that is meant: APPAGENT_SCREENS=write, and read the diff.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.demo import GIT, SCREENS, SYMLINK, TREE, demo, normal
from tests.integration.node import Node, SymlinkApp, node, wait_until
from tests.terminal import Command, Shown, Terminal, goldens, wraps

KEPT = Path(__file__).parent / "screens"
WIDTHS = (80, 120)
# Foregrounds as pyte names them: what each state is to look like.
COLOURS = {"ok": "green", "failed": "red", "held": "cyan", "done": "green", "refused": "red"}
EVIL = "\x1b[2J\x1b[1;1H\x1b]0;owned\x07\x1b[31mred\x9b31m 日本語 \u202eback"


@pytest.fixture(scope="module")
def made() -> Iterator[Node]:
    """The demo: three apps, a deploy, one that failed, a hold."""
    with demo() as one:
        yield one


def show(made: Node, terminal: Terminal, line: str) -> Shown:
    """Run a command on a terminal."""
    name, *rest = line.split()
    return terminal.run(name, "--config", str(made.config), *rest)


def kept(made: Node, columns: int, lines: tuple[str, ...], name: str) -> None:
    """Compare screens with those that are kept, at a width, with colour and without."""
    found = {}
    for line in lines:
        coloured = show(made, Terminal(columns, colour=True), line)
        plain = show(made, Terminal(columns, colour=False), line)
        assert wraps(plain.raw, columns) == [], line
        assert wraps(coloured.raw, columns) == [], line
        assert b"\x1b[3" not in plain.raw, line
        assert normal(coloured.text, made) == normal(plain.text, made), line
        found[f"$ appagent {line}"] = normal(plain.text, made)
    path = KEPT / f"{name}-{columns}.txt"
    if os.environ.get("APPAGENT_SCREENS") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n\n".join(f"{line}\n{text}" for line, text in found.items()) + "\n")
    assert found == goldens(path)


@pytest.mark.parametrize("columns", WIDTHS)
def test_each_screen_is_as_it_is_kept_and_no_line_wraps(made: Node, columns: int) -> None:
    kept(made, columns, SCREENS, "screens")


def test_states_have_their_colours(made: Node) -> None:
    for line in ("status", "history"):
        shown = show(made, Terminal(80), line)
        coloured = {word: colour for word, colour in shown.colours.items() if word in COLOURS}
        assert len(coloured) >= 2, line
        assert coloured == {word: COLOURS[word] for word in coloured}


def test_no_color_and_a_pipe_have_no_colour(made: Node) -> None:
    for line in SCREENS[:5]:
        assert "\x1b" not in made.command(*line.split()).stdout
        shown = show(made, Terminal(80, colour=False), line)
        assert b"\x1b" not in shown.raw


def test_nothing_that_matters_is_cut(made: Node) -> None:
    for columns in (*WIDTHS, 40):
        text = " ".join(show(made, Terminal(columns), "status").text.split())
        reason = made.app(GIT)["why"]
        assert " ".join(reason.split()) in text.replace("db1. example", "db1.example")
        assert all(name in text for name in (SYMLINK, GIT, TREE))
        assert "held by root until `appagent resume`: the new logo comes on Monday" in text


# --- watching ------------------------------------------------------------------------------------


def test_watching_draws_again_and_leaves_the_terminal_as_it_was(made: Node) -> None:
    terminal = Terminal(80, rows=24)
    asked = time.monotonic()

    def twice(raw: bytes, process: Command) -> bool:
        if raw.count(b"\x1b[H") < 2:
            return False
        process.send_signal(signal.SIGINT)
        return True

    shown = terminal.run("status", "--watch", "--config", str(made.config), then=twice)
    assert shown.code == 130
    assert time.monotonic() - asked > 0.9
    assert shown.raw.startswith(b"\x1b[?1049h\x1b[?25l")
    assert shown.raw.rstrip().endswith(b"\x1b[?25h\x1b[?1049l")
    drawn = shown.raw.split(b"\x1b[H")[-1].split(b"\x1b[J")[0]
    screen = terminal.shown(drawn)
    assert normal(screen.text, made) == normal(show(made, Terminal(80), "status").text, made)


def test_watching_shows_as_many_lines_as_there_are(made: Node) -> None:
    def once(raw: bytes, process: Command) -> bool:
        if b"\x1b[J" not in raw:
            return False
        process.send_signal(signal.SIGINT)
        return True

    shown = Terminal(60, rows=8).run("status", "-w", "--config", str(made.config), then=once)
    assert len(shown.lines) <= 8
    assert any("more lines" in line for line in shown.lines)


def test_watching_needs_a_terminal(made: Node) -> None:
    done = made.command("status", "--watch")
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith("appagent: --watch needs a terminal")


# --- text from outside ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """An agent with an app that prints evil things and fails, and one with a wide name."""
    with node(tmp_path_factory.mktemp("other"), interval="50ms") as one:
        wide, evil, good = (SymlinkApp(one, name) for name in ("wide", "evil", "good"))
        one.start()
        good.deploy("1", one.makefile("\t@echo this is $@"))
        evil.deploy("1")
        wide.deploy("日本語")
        for app in (wide, evil, good):
            one.wait_for(app.name, "ok")
        (one.base / "evil.txt").write_text(EVIL)
        fail = f"\t@case $@ in restart) cat {one.base}/evil.txt; echo; exit 1;; esac"
        evil.deploy("2", one.makefile(fail))
        wait_until(lambda: one.app("evil")["state"] == "rolled-back", "it has failed")
        yield one


def test_what_apps_print_and_are_called_moves_no_cursor_and_keeps_the_columns(other: Node) -> None:
    for columns in WIDTHS:
        for line in ("status", "status evil", "history", "history evil", "explain evil"):
            shown = show(other, Terminal(columns), line)
            assert shown.code == 0
            assert shown.title == "", line
            assert wraps(shown.raw, columns) == [], line
            assert b"\x1b[2J" not in shown.raw
            assert "日本語 back" in " ".join(shown.text.split()), line
            assert "failed" in shown.text, line
            assert "red" not in shown.colours, line
        rows = {each.split()[0]: each for each in show(other, Terminal(columns), "status").lines}
        assert len({len(terminal_text(rows[name])) for name in ("APP", "wide", "evil")}) == 1, rows


def terminal_text(line: str) -> str:
    """A line with a second cell for each wide letter."""
    return "".join(each * 2 if ord(each) > 0x2E80 else each for each in line)


# --- waiting -------------------------------------------------------------------------------------


def test_waiting_is_one_line_on_a_terminal_and_a_result_at_the_end(made: Node) -> None:
    shown = show(made, Terminal(80), f"wait {SYMLINK}")
    assert len(shown.lines) == 1
    assert f"{SYMLINK} is up to date: release 2 (" in shown.text


def test_an_interrupted_wait_leaves_no_line_behind(made: Node) -> None:
    def interrupt(raw: bytes, process: Command) -> bool:
        if b"waiting for nobody" not in raw:
            return False
        process.send_signal(signal.SIGINT)
        return True

    shown = Terminal(80).run("wait", "nobody", "--config", str(made.config), then=interrupt)
    assert shown.code == 130
    assert [line for line in shown.lines if "waiting" in line] == []


def test_a_trigger_shows_what_the_run_prints_and_what_it_came_to(other: Node) -> None:
    done = other.command("trigger", "good", "restart", "--wait")
    assert done.returncode == 0
    assert done.stdout.endswith("this is restart\nthis is check\n")
    assert done.stderr.splitlines()[-1].startswith("appagent: good is up to date: release 1 (")
    shown = show(other, Terminal(80), "trigger good restart --wait")
    assert shown.code == 0
    assert [line for line in shown.lines if "waiting" in line] == []
    assert "this is restart" in shown.lines
    assert shown.lines[-1].startswith("appagent: good is up to date: release 1 (")


# --- without the agent ---------------------------------------------------------------------------


def test_history_and_logs_need_no_agent(other: Node) -> None:
    before = json.loads(other.command("history", "--json").stdout)
    other.stop(signal.SIGKILL)
    try:
        after = other.command("history", "--json")
        assert after.returncode == 0
        assert json.loads(after.stdout) == before
        assert "the agent does not answer" in after.stderr
        logs = other.command("logs", "good", "-n", "1000")
        assert logs.returncode == 0
        assert "this is check\n" in logs.stdout
        for name in ("nobody", "../../etc", ""):
            assert other.command("logs", name).returncode == 69
        status = other.command("status")
        assert (status.returncode, status.stdout) == (69, "")
        path = f"{other.runtime}/control.sock"
        asked = "is it running? (start it with: appagent run)"
        assert status.stderr == f"appagent: cannot reach the agent at {path}: {asked}\n"
    finally:
        other.start()
