"""The Makefile for people: a fresh machine, `make run`'s scratch directory, its hint."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LAY_OUT = REPOSITORY / "examples" / "lay_out.py"


def make(directory: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call make as a person does, not as a target of the make that runs these tests."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFL"))}
    return subprocess.run(
        [shutil.which("make") or "make", *words],
        cwd=directory,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As much of a clone as make needs."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    for name in ("systemd", "examples"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    return tmp_path


# --- a fresh machine -----------------------------------------------------------------------------


def test_a_machine_without_a_python_that_is_new_enough_is_told_so_in_one_line(
    checkout: Path,
) -> None:
    programs = checkout / "programs"
    programs.mkdir()
    for name in ("sh", "echo", "touch"):
        (programs / name).symlink_to(shutil.which(name) or name)
    for name in ("python3", "python3.13"):  # one that is too old, one that cannot be run
        (programs / name).write_text("#!/bin/sh\necho 'too old' >&2\nexit 1\n")
        (programs / name).chmod(0o755)
    done = make(checkout, "run", PATH=str(programs))
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1
    assert "Python 3.11" in lines[0]
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize(("target", "stamp"), [("run", "run.ready"), ("lint", "dev.ready")])
def test_the_venv_is_set_up_only_when_it_is_missing_or_the_packaging_changed(
    checkout: Path, target: str, stamp: str
) -> None:
    def sets_up() -> bool:
        return "systemd/venv.py" in make(checkout, "-n", target).stdout

    assert sets_up()
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / stamp).touch()
    assert not sets_up()
    os.utime(checkout / "pyproject.toml", (2**32, 2**32))
    assert sets_up()


def test_every_target_is_phony(checkout: Path) -> None:
    text = (checkout / "Makefile").read_text()
    (phony,) = [line.split()[1:] for line in text.splitlines() if line.startswith(".PHONY:")]
    for name in phony:
        (checkout / name).mkdir(exist_ok=True)
        done = make(checkout, "-n", name)
        assert "is up to date" not in done.stdout, name
    rules = {line.split(":")[0] for line in text.splitlines() if line[:1].isalpha() and ":" in line}
    targets = {name for rule in rules for name in rule.split() if name.isalpha()}
    assert targets - {"BIN"} <= set(phony)


# --- what `make run` lays out --------------------------------------------------------------------


def lay_out(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(LAY_OUT), ".run", *words]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def laid_out(tmp_path: Path) -> Iterator[Path]:
    lay_out(tmp_path)
    yield tmp_path / ".run"
    lay_out(tmp_path, "--clear")
    assert not (tmp_path / ".run").exists()


def git(tree: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", tree, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_there_is_one_app_for_each_layout(laid_out: Path) -> None:
    apps = laid_out / "apps"
    assert (apps / "hello-symlink" / "current").readlink() == Path("releases/1")
    assert (apps / "hello-symlink" / "current" / "Makefile").exists()
    assert git(apps / "notes-git", "status", "--porcelain") == ""
    assert not (apps / "static-tree" / ".git").exists()
    assert (apps / "static-tree" / "Makefile").exists()


def test_what_a_person_changed_stays(laid_out: Path) -> None:
    page = laid_out / "apps" / "static-tree" / "site" / "index.html"
    env = laid_out / "env" / "static-tree.env"
    page.write_text("mine")
    env.write_text(env.read_text() + "MORE=1\n")
    lay_out(laid_out.parent)
    assert page.read_text() == "mine"
    assert env.read_text().endswith("MORE=1\n")


def test_a_port_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if other.connect_ex(("127.0.0.1", 18741)) != 0:
            other.close()
        with socket.socket() as mine:
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                mine.bind(("127.0.0.1", 18741))
                mine.listen()
            except OSError:
                pass  # somebody else's: as good
            text = lay_out(tmp_path).stdout
    assert "127.0.0.1:18741/" not in text
    lay_out(tmp_path, "--clear")


def test_the_hint_can_be_pasted(laid_out: Path) -> None:
    apps = laid_out / "apps"
    commit = git(apps / "notes-git", "rev-parse", "HEAD")
    hint = lay_out(laid_out.parent).stdout
    lines = [line for line in hint.splitlines() if line.startswith("  ")]
    pasted = [line.strip() for line in lines if ".run/" in line and "export" not in line]
    assert len(pasted) == 5
    subprocess.run(["sh", "-euc", "\n".join(pasted)], cwd=laid_out.parent, check=True)
    assert (apps / "hello-symlink" / "current").readlink() == Path("releases/2")
    greeting = apps / "hello-symlink" / "current" / "greeting.txt"
    assert greeting.read_text() == "Good evening\n"
    assert git(apps / "notes-git", "rev-parse", "HEAD^") == commit
    assert "Edited." in (apps / "static-tree" / "site" / "index.html").read_text()
    assert "NAME=you" in (laid_out / "env" / "hello-symlink.env").read_text()
    # And once more: the next release gets the next number.
    assert "releases/3" in lay_out(laid_out.parent).stdout


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a short name: the path of a socket has no more than 107 characters."""
    with tempfile.TemporaryDirectory(prefix="aa-") as path:
        yield Path(path)


def test_clearing_stops_what_runs(short: Path) -> None:
    lay_out(short)
    release = short / ".run" / "apps" / "hello-symlink" / "current"
    text = (short / ".run" / "env" / "hello-symlink.env").read_text()
    values = dict(line.split("=", 1) for line in text.splitlines() if line[0] != "#")
    environment = {key: value.strip('"') for key, value in values.items()}
    assert make(release, "-s", "start", **environment).returncode == 0
    lay_out(short, "--clear")
    with socket.socket() as tried:
        assert tried.connect_ex(("127.0.0.1", int(environment["PORT"]))) != 0
