"""A configuration that is wrong: one line for each error, with its place, and exit code 78."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appagent import cli
from tests.config_texts import GOOD

WRONG: list[tuple[str, str, str]] = [
    ("defautls: {}", "4: defautls: ", "did you mean defaults?"),
    ("defaults:\n  settel: 2s", "5: defaults.settel: ", "did you mean settle?"),
    ("node: a\nnode: b", "5: node: ", "set twice; the first time in line 4"),
    ("defaults: {settle: 2}", "4: defaults.settle: ", "write 2s"),
    ("parallel_apps: many", "4: parallel_apps: ", "not a valid number"),
    ("state_dir: var/lib", "4: state_dir: ", "must begin with /"),
    (f"runtime_dir: /{'x' * 300}", "4: runtime_dir: ", "too long"),
    ("apps: {../etc: {}}", "4: apps.'../etc': ", "cannot be an app's name"),
    ("defaults:\n\tsettle: 2s", "5: ", "a tab cannot indent"),
    ("node: !!python/object/apply:os.system id", "4: node: ", "a tag has no meaning"),
    ("node: a\x1b]0;owned\x07", "4: ", "U+001B"),
    ("apps: " + "{a: " * 5000, "4: apps", "nests deeper"),
]


@pytest.mark.parametrize(("text", "where", "what"), WRONG, ids=[row[1] for row in WRONG])
def test_a_wrong_configuration_is_78_with_file_and_line(
    text: str, where: str, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "appagent.yaml"
    path.write_text(GOOD + text + "\n")
    done = started("run", path)
    assert (done.returncode, done.stdout) == (78, b"")
    assert cli.main(["check-config", "--config", str(path)]) == 78
    checked = capsys.readouterr()
    assert checked.out == ""
    for told in (done.stderr.decode(), checked.err):
        (line,) = told.splitlines()
        assert line.startswith(f"appagent: {path}:{where}")
        assert what in line
        assert line.isprintable()


def started(command: str, path: Path, *more: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command with a configuration."""
    return subprocess.run(
        [sys.executable, "-m", "appagent", command, "--config", str(path), *more],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=120,
    )


def test_all_that_is_wrong_is_said_at_once_for_people_and_programs(tmp_path: Path) -> None:
    path = tmp_path / "appagent.yaml"
    path.write_text(GOOD + "nodee: a\ndefaults: {settle: 2, grace: x}\n")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "more.yaml").write_text("parallel_apps: 0\n")
    done = started("run", path, "--daemonize")
    assert (done.returncode, done.stdout) == (78, b"")
    lines = done.stderr.decode().splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        f"{path}:4", f"{path}:5", f"{path}:5", f"{tmp_path}/conf.d/more.yaml:1",
    ]  # fmt: skip
    told = started("check-config", path, "--json")
    assert told.returncode == 78
    errors: dict[str, Any] = json.loads(told.stdout)
    assert [f"appagent: {line}" for line in errors["errors"]] == lines


@pytest.mark.parametrize("what", ["missing", "directory", "fifo", "device"])
def test_a_configuration_that_is_no_file_is_78(what: str, tmp_path: Path) -> None:
    path = tmp_path / "appagent.yaml"
    if what == "directory":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    done = started("run", path)
    assert (done.returncode, done.stdout) == (78, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"appagent: {path}: ")


def test_random_bytes_are_78_or_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dice = random.Random(8)  # noqa: S311 - the same bytes each time
    path = tmp_path / "appagent.yaml"
    seen = set()
    good = (GOOD + "defaults: {settle: 2s, grace: 5s}\napps: {web: {ignore: ['*.log']}}\n").encode()
    for number in range(120):
        data = bytearray(good)
        if number % 4 == 0:
            data = bytearray(dice.randbytes(dice.randrange(200)))
        else:
            for _ in range(dice.randrange(6)):
                data[dice.randrange(len(data))] = dice.choice(b"\0\xff:{}[]-&*!'\"#|> \n\t0az%")
        path.write_bytes(data)
        argv = ["check-config", "--config", str(path)]
        if number % 50 == 0:  # as people run it; the others in this process, for they are many
            done = started(argv[0], path)
            code, err = done.returncode, done.stderr.decode()
        else:
            code = cli.main(argv)
            err = capsys.readouterr().err
        seen.add(code)
        assert code in (0, 78), (bytes(data), err)
        assert "Traceback" not in err
        if code:
            assert all(each.startswith(f"appagent: {path}") for each in err.splitlines()), err
    assert seen == {0, 78}
