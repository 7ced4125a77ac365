"""What is wrong on a command line is told in one line, with its exit code, before anything is done.

No agent runs here: what only an agent can know to be wrong is in integration/test_commands.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appagent import cli
from appagent.daemon.client import ask
from appagent.model.exit_codes import NO_AGENT, Refused

BIG = "9" * 5000


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Run a command: its exit code, stdout and stderr."""
    code = -1
    try:
        code = cli.main(argv)
    except SystemExit as end:
        code = int(end.code or 0)
    found = capsys.readouterr()
    return code, found.out, found.err


def one_line(text: str) -> bool:
    """Whether this is one line for a person, and safe to show."""
    return text.startswith("appagent: ") and text.endswith("\n") and text[:-1].isprintable()


# Command line → part of the line. All are 64.
USAGE = [
    ("xyz", "unknown command xyz; known are: run, status"),
    ("statsu", "did you mean status?"),
    ("check-confg", "did you mean check-config?"),
    ("--config F statsu", "did you mean status?"),
    ("--config", "expected one argument"),
    ("--conf=F status", "unrecognized arguments: --conf=F"),
    ("--conf F status", "unrecognized arguments: --conf "),
    ("run now", "unrecognized arguments: now"),
    ("run --deamonize", "unrecognized arguments: --deamonize"),
    ("run --pidfile", "expected one argument"),
    ("status a b", "unrecognized arguments: b"),
    ("status --jso", "unrecognized arguments: --jso"),
    ("status --config", "expected one argument"),
    ("status --watch", "--watch needs a terminal"),
    ("status --watch --json", "--watch cannot be combined with --json"),
    ("status -w --check", "--watch cannot be combined with --check"),
    ("status \x1b]0;owned\x07\ntwo \x1b[31mred\x9b", "unrecognized arguments"),
    ("explain", "required: APP"),
    ("history web --limit", "expected one argument"),
    ("history web -n 0", "--limit 0: expected a number"),
    ("history web -n -1", "--limit -1: expected a number"),
    ("history web --limit many", "many: expected a number"),
    ("history web --limit 1.5", "1.5: expected a number"),
    ("history web --limit ²", "²: expected a number"),
    ("history web --limit 1001", "expected a number from 1 to 1000"),
    (f"history web --limit {BIG}", "expected a number from 1 to 1000"),
    ("logs", "required: APP"),
    ("logs web -n x", "x: expected a number"),
    (f"logs web -n {BIG}", "expected a number from 1 to 1000000"),
    ("trigger", "required: APP"),
    ("trigger web dance", "unknown target dance; known are: build, install"),
    ("trigger web instal", "did you mean install?"),
    ("trigger web start now", "unrecognized arguments: now"),
    ("trigger web --timeout 5", "--timeout 5: '5' has no unit: write 5s"),
    ("trigger web --wait --timeout soon", "'soon' is not a valid duration"),
    ("cancel", "required: APP"),
    ("hold web", "required: --why"),
    ("hold web --why", "expected one argument"),
    ("hold web --why x --for", "expected one argument"),
    ("hold web --why x --for 1h30m", "--for 1h30m: "),
    ("hold web --why x --for 10", "'10' has no unit"),
    ("hold web --why x --for -5s", "expected one argument"),
    ("hold web --why x --for=-5s", "'-5s' is not a valid duration"),
    ("hold web --why x --for inf", "'inf' is not a valid duration"),
    ("hold web --why x --for nan", "'nan' is not a valid duration"),
    (f"hold web --why x --for {BIG}s", "is not a valid duration"),
    ("forget", "required: APP"),
    ("wait --timeout ''", "is not a valid duration"),
    ("wait --timeout 1e3s", "is not a valid duration"),
    ("wait --timeout ٣s", "is not a valid duration"),
    ("wait --all", "unrecognized arguments: --all"),
    ("check-config x", "unrecognized arguments: x"),
    ("doctor --fix", "unrecognized arguments: --fix"),
]


@pytest.mark.parametrize(("line", "what"), USAGE, ids=[row[0][:30].strip() for row in USAGE])
def test_a_wrong_command_line_is_64_and_one_line(
    line: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["" if word == "''" else word for word in line.split(" ")]
    code, out, err = run(capsys, *argv)
    assert (code, out) == (64, "")
    assert one_line(err), err
    assert what in err
    assert len(err) < 1000


@pytest.mark.parametrize(
    "line",
    ["--config C check-config", "--config=C check-config", "check-config --config C",
     "--config /else check-config --config C"],
)  # fmt: skip
def test_the_configuration_is_named_before_the_command_or_after_it(
    line: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = line.replace("C", str(config)).split()
    code, out, err = run(capsys, *argv)
    assert (code, out, err) == (0, f"{config}: OK\n", "")


def test_no_command_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert (code, out) == (64, "")
    assert "check-config" in err


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["hold", "--help"]])
def test_help_goes_to_stdout(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *argv)
    assert (code, err) == (0, "")
    assert "appagent" in out


# --- no agent, or none that can be spoken to -----------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration of an agent that does not run."""
    path = tmp_path / "appagent.yaml"
    root = {"path": f"{tmp_path}/root", "run_as": "root" if os.geteuid() == 0 else "self"}
    text = {"roots": [root], "runtime_dir": f"{tmp_path}/run", "state_dir": f"{tmp_path}/state"}
    path.write_text(json.dumps(text))
    path.chmod(0o644)
    (tmp_path / "run").mkdir()
    return path


ASKING = [
    "status", "status --json", "status web --check", "explain web", "history", "logs web",
    "trigger web", "trigger web stop --wait", "cancel web", "hold --why x", "resume", "forget web",
    "wait", "wait web --timeout 1s",
]  # fmt: skip


@pytest.mark.parametrize("line", ASKING)
def test_no_agent_is_69(line: str, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, *rest = line.split()
    code, out, err = run(capsys, command, "--config", str(config), *rest)
    assert (code, out) == (69, "")
    assert one_line(err)
    assert f"cannot reach the agent at {config.parent}/run/control.sock" in err


def test_a_socket_that_was_left_over_is_69(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f"{config.parent}/run/control.sock")
    code, out, err = run(capsys, "status", "--config", str(config))
    assert (code, out) == (69, "")
    assert "cannot reach the agent" in err


def test_a_wrong_configuration_is_told_where_no_agent_answers(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(f"roots: 5\nruntime_dir: {config.parent}/run\n")
    code, out, err = run(capsys, "status", "--config", str(config))
    assert (code, out) == (69, "")
    assert f"{config}:1: roots: " in err.splitlines()[0]
    assert f"cannot reach the agent at {config.parent}/run/control.sock" in err.splitlines()[1]


def test_an_agent_that_runs_is_asked_whatever_became_of_its_configuration(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(f"runtime_dir: {config.parent}/run\nnod: 1\nroots: [\n")
    with answering(f"{config.parent}/run/control.sock", b'{"end": {"code": 0, "text": ""}}\n'):
        code, out, err = run(capsys, "hold", "--why", "x", "--config", str(config))
    assert (code, out) == (0, "")
    assert one_line(err), err
    assert f"the configuration is wrong: {config}:" in err


@contextlib.contextmanager
def answering(path: str, answer: bytes | None) -> Iterator[None]:
    """Something listens there, and says this to one client; None: nothing, for ever.

    It is over with the block, whether anybody came or not.
    """
    over = threading.Event()

    def serve(server: socket.socket) -> None:
        with contextlib.suppress(OSError), server.accept()[0] as client:
            if answer is None:
                over.wait(60)
            else:
                client.sendall(answer)
                client.shutdown(socket.SHUT_WR)
                while client.recv(4096):
                    pass

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)  # ends its waiting, also where nobody came
            thread.join()


ODD = [b"", b"hello\n", b"\xff\xfe\x00", b'{"data": 1}\n', b"5\n", b"[]\n", b'{"da', b"[" * 100_000]


@pytest.mark.parametrize("answer", ODD, ids=[repr(each[:12]) for each in ODD])
def test_an_agent_that_speaks_nonsense_is_69(
    answer: bytes, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(f"{config.parent}/run/control.sock", answer):
        code, out, err = run(capsys, "status", "--config", str(config))
    assert (code, out) == (69, "")
    assert one_line(err), err


def test_an_agent_that_never_answers_is_69(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    with answering(path, None), pytest.raises(Refused) as refused:
        list(ask(path, {"do": "status"}, timeout=0.2))
    assert refused.value.code == NO_AGENT
    assert "does not answer: timed out" in refused.value.text


def test_what_an_agent_refuses_before_it_was_asked_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        words = b'{"end": {"code": 75, "text": "too many"}}\n'

        def refuse() -> None:
            with server.accept()[0] as client:
                client.sendall(words)

        thread = threading.Thread(target=refuse)
        thread.start()
        found = list(ask(path, {"do": "status", "app": "x" * 1_000_000}))
        thread.join()
    assert found == [json.loads(words)]


# --- streams -------------------------------------------------------------------------------------


def shell(words: str, config: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell; $A is the command."""
    return subprocess.run(
        ["sh", "-c", words],
        env={**os.environ, "A": f"{sys.executable} -m appagent", "C": str(config), **environment},
        capture_output=True,
        check=False,
        timeout=60,
    )


CHECK = "$A check-config --json --config $C"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the machine has no /dev/full")
def test_a_full_disk_below_stdout_is_75(config: Path) -> None:
    done = shell(f"{CHECK} > /dev/full", config)
    assert done.returncode == 75
    assert done.stderr == b"appagent: cannot write to stdout: No space left on device\n"


def test_a_reader_that_has_enough_gets_no_words(config: Path) -> None:
    done = shell(f"({CHECK}; echo $? >&2) | true", config)
    assert done.stderr in (b"141\n", b"0\n")  # the reader may have gone before, or not


def test_streams_that_are_closed_are_no_fault(config: Path) -> None:
    done = shell(f"{CHECK} >&-", config)
    assert (done.returncode, done.stderr) == (0, b"")
    done = shell(f"{CHECK} <&- 2>&-", config)
    assert json.loads(done.stdout)["ok"] is True


def test_an_encoding_that_lacks_a_letter_is_no_fault(config: Path) -> None:
    config.write_text(config.read_text().replace('"run_as"', '"rün_as"'))
    done = shell("$A check-config --config $C", config, PYTHONIOENCODING="ascii:strict")
    assert done.returncode == 78
    assert b"r\\xfcn_as" in done.stderr


def test_check_config_prints_what_is_in_force(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "check-config", "--print", "--config", str(config))
    assert (code, err) == (0, "")
    assert re.search(rf"^  - path: .* # {config}:\d+$", out, re.MULTILINE)
    assert re.search(r"^  settle: 2s +# default$", out, re.MULTILINE)


def test_check_config_notes_keys_without_effect_once(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    added = {"defaults": {"install": "parallel"}, "metrics": {"listen": "off"}}
    config.write_text(json.dumps(json.loads(config.read_text()) | added))
    code, out, err = run(capsys, "check-config", "--config", str(config))
    assert (code, out) == (0, f"{config}: OK\n")
    (line,) = err.splitlines()
    assert line.startswith("appagent: note: planned keys, no effect yet: defaults.install (")
    assert ", metrics (" in line
