"""Every command against a real agent: what people get wrong is one line and the right exit code.

What is wrong by the command line alone is in unit/test_cli.py; what the commands do when all is
well is in test_asks.py.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appagent import cli
from tests.integration.node import Node, SymlinkApp, TreeApp, node, wait_until
from tests.integration.shown import QUICK
from tests.terminal import Terminal

STRANGE = b"odd \x1b]0;owned\x07\xff\xe2\x80\xae"  # the name of a directory
GOOD_APP, BLOCKED, OPEN, REFUSED = "fine", "blocked", "open", "not fine"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """An agent with an app that is good, one that cannot be, one that is not there yet."""
    with node(tmp_path_factory.mktemp("commands"), **QUICK) as one:
        SymlinkApp(one, GOOD_APP).deploy("1", one.makefile("\t@echo hello of $@"))
        TreeApp(one, BLOCKED).deploy("1")
        one.set_env(BLOCKED, "A=1\nthis is no assignment\n")
        TreeApp(one, OPEN).deploy("1")
        (one.root / OPEN / ".deploying").touch()
        (one.root / REFUSED).mkdir()
        (one.root / REFUSED / "Makefile").touch()
        Path(os.fsdecode(os.fsencode(one.root) + b"/" + STRANGE)).mkdir()
        one.start()
        one.wait_for(GOOD_APP, "ok")
        one.wait_for(BLOCKED, "blocked")
        one.wait_for(OPEN, "settling")
        yield one


def run(made: Node, capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Run a command in this process, for they are many: its exit code, stdout and stderr."""
    code = -1
    try:
        code = cli.main([argv[0], "--config", str(made.config), *argv[1:]])
    except SystemExit as end:
        code = int(end.code or 0)
    found = capsys.readouterr()
    return code, found.out, found.err


# Command line → exit code, part of the line.
REFUSALS = [
    *[
        (f"{command} nobody", 64, "no app nobody on this node; `appagent status` lists them")
        for command in "status explain history logs trigger cancel resume forget".split()
    ],
    ("hold nobody --why x", 64, "no app nobody"),
    ("trigger nobody stop --wait", 64, "no app nobody"),
    ("status ../fine", 64, "no app ../fine"),
    ("status fine/", 64, "no app fine/"),
    ("status FINE", 64, "no app FINE"),
    ("status -- -f", 64, "no app -f"),
    ("status \udcff\x1b[31m", 64, "app must be UTF-8"),
    ("history \udcff", 64, "app must be UTF-8"),
    ("status \x1b]0;owned\x07\nx", 64, "no app"),
    (f"explain {'x' * 300}", 64, "app must be a string of at most 200 characters"),
    (f"history {'x' * 100_000}", 64, "the request is too long"),
    ("status not\0fine", 1, "is not an app: "),
    ("explain \0odd", 64, "no app"),
    ("hold fine --why \0", 64, "a hold needs a reason: hold --why WORDS"),
    ("hold fine --why \udcff", 64, "why must be UTF-8"),
    (f"hold fine --why {'x' * 501}", 64, "why must be a string of at most 500 characters"),
    ("hold fine --why x --for 999999999d", 64, "for must be a number of seconds"),
    ("wait --timeout 999999999d", 64, "timeout must be a number of seconds"),
    ("cancel fine", 1, "fine: nothing is running and nothing is waiting"),
    ("resume fine", 1, "fine is neither held nor stopped"),
    ("forget fine", 1, "only what is missing there can be forgotten"),
    ("forget nobody fine", 64, "no app nobody"),
    ("trigger blocked --wait", 1, "blocked.env:2: "),
    ("trigger blocked restart --wait", 1, "blocked.env:2: "),
    ("wait blocked", 1, "blocked: blocked: "),
    ("wait blocked open fine --timeout 60s", 1, "blocked.env:2: "),
]


@pytest.mark.parametrize(
    ("line", "code", "what"), REFUSALS, ids=[f"{n}" for n in range(len(REFUSALS))]
)
def test_what_cannot_be_done_is_one_line_and_its_exit_code(
    line: str, code: int, what: str, made: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    before = made.calls_file.read_text()
    argv = [word.replace("\0", " ") for word in line.split(" ")]
    found, out, err = run(made, capsys, *argv)
    assert (found, out) == (code, ""), err
    lines = err.splitlines()
    assert all(each.startswith("appagent: ") and each.isprintable() for each in lines)
    assert what in lines[-1]
    assert len(lines) == 1 or argv[0] in ("wait", "trigger")  # these say what they wait for
    assert made.calls_file.read_text() == before
    assert made.app(GOOD_APP)["hold"] is None


def test_a_wait_that_is_over_is_75(made: Node, capsys: pytest.CaptureFixture[str]) -> None:
    for line in (f"wait {OPEN} --timeout 100ms", "wait nobody --timeout 100ms", f"wait {OPEN} -q "):
        words = f"{line}--timeout 0s".split() if line.endswith(" ") else line.split()
        code, out, err = run(made, capsys, *words)
        assert (code, out) == (75, "")
        assert f"still waiting for {words[1]} (" in err.splitlines()[-1]
        assert len(err.splitlines()) == (1 if "-q" in words else 2)


def test_a_wait_for_what_is_there_is_0(made: Node, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(made, capsys, "wait", GOOD_APP)
    assert (code, out) == (0, "")
    assert re.fullmatch(rf"appagent: {GOOD_APP} is up to date: release 1 \([\d.]+ s\)\n", err)
    assert run(made, capsys, "wait", GOOD_APP, "-q") == (0, "", "")


@pytest.mark.parametrize(
    ("app", "code"), [(GOOD_APP, 0), (BLOCKED, 1), (OPEN, 75), ("", 1)], ids=str
)
def test_status_check_says_by_its_exit_code_where_things_are(
    app: str, code: int, made: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ([], ["--json"]):
        argv = [word for word in ("status", app, "--check", *more) if word]
        found, out, err = run(made, capsys, *argv)
        assert (found, err) == (code, "")
        assert (app or GOOD_APP) in out


JSON = [
    "status", f"status {GOOD_APP}", "explain open", "history", f"history {GOOD_APP} -n 1",
    "check-config", "doctor",
]  # fmt: skip


@pytest.mark.parametrize("line", JSON)
def test_what_programs_read_is_json_and_nothing_else(
    line: str, made: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(made, capsys, *line.split(), "--json")
    assert code in ((0, 1) if line == "doctor" else (0,)), err
    assert json.loads(out)
    assert out.isascii()


def test_names_of_any_bytes_are_shown_and_move_no_cursor(
    made: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    wait_until(lambda: len(made.status()["refused"]) == 2, "both are refused")
    code, out, _ = run(made, capsys, "status")
    assert code == 0
    assert f"/{REFUSED}: " in out
    assert any("refused" in line for line in out.splitlines())
    assert all(line.isprintable() for line in out.splitlines())
    refused = json.loads(run(made, capsys, "status", "--json")[1])["refused"]
    assert f"{made.root}/{REFUSED}" in refused


def test_what_an_app_printed_is_shown_to_its_last_lines(
    made: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(made, capsys, "logs", GOOD_APP, "-n", "2")
    assert (code, out, err) == (0, "hello of start\nhello of check\n", "")
    code, out, err = run(made, capsys, "logs", OPEN)
    assert (code, out, err) == (0, "", "appagent: no output yet\n")


def test_a_log_is_followed_until_the_reader_has_enough(made: Node) -> None:
    argv = [sys.executable, "-m", "appagent", "logs", GOOD_APP, "-f", "-n", "1"]
    with subprocess.Popen(
        [*argv, "--config", str(made.config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == b"hello of check\n"
            log = made.state / "log" / f"{GOOD_APP}.log"
            with log.open("ab") as file:
                file.write(b"more\x1b[31m\n")
            assert process.stdout.readline() == b"more\n"
            process.stdout.close()
            with log.open("ab") as file:
                file.write(b"hello of check\n")  # as it was, for the tests beside this one
            assert process.wait(60) == cli.ENDED_BY_PIPE
            assert process.stderr.read() == b""
        finally:
            process.kill()


def test_an_interrupt_ends_a_wait_without_a_traceback(made: Node) -> None:
    # What is started in the background of a script ignores the signal; a person's command does not.
    argv = ["env", "--default-signal=INT", sys.executable, "-m", "appagent", "wait", OPEN]
    argv += ["--config", str(made.config)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        try:
            assert process.stderr is not None
            assert (
                process.stderr.readline() == f"appagent: waiting for {OPEN} (settling)\n".encode()
            )
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == cli.ENDED_BY_INT
            assert process.stderr.read() == b""
        finally:
            process.kill()


def test_there_is_no_colour_with_no_color(made: Node) -> None:
    for command in (["status"], ["status", "nobody"]):
        shown = Terminal(80, colour=False).run(*command, "--config", str(made.config))
        assert b"\x1b" not in shown.raw, command
    # An agent in the foreground has colours. It is refused, for one is there.
    text = made.config.read_text().replace('"format": "json"', '"format": "console"')
    other = made.base / "other.yaml"
    other.write_text(text)
    for colour in (True, False):
        shown = Terminal(80, colour=colour).run("run", "--config", str(other))
        assert (b"\x1b" in shown.raw) is colour
