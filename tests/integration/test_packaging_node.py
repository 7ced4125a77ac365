"""appagent's own targets on a node: a version beside the others, and a switch in one move.

The real Makefile and scripts, in a root directory of their own. Only what would reach out is
played: pip (systemd/venv.py) and systemctl.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

VENV = """
import pathlib, shutil, sys
venv = pathlib.Path(sys.argv[1])
(venv / "bin").mkdir(parents=True)
(venv / "bin" / "appagent").write_text("#!/bin/sh\\nexit 0\\n")
(venv / "bin" / "appagent").chmod(0o755)
shutil.copytree("systemd", venv / "share" / "appagent")
shutil.copy("examples/appagent.yaml", venv / "share" / "appagent")
sys.exit(1 if pathlib.Path("appagent/broken").exists() else 0)
"""
SYSTEMCTL = """#!/bin/sh
echo "$*" >>"$DESTDIR/systemctl.calls"
case "$*" in
show*) cat "$DESTDIR/main.pid" 2>/dev/null || echo 0 ;;
esac
"""


@dataclass
class Node:
    """A machine's root directory, and a release of appagent on it."""

    root: Path
    release: Path

    def make(
        self, target: str, umask: int = -1, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFL", "APP_"))}
        given = {
            "DESTDIR": str(self.root),
            "PATH": f"{self.root / 'programs'}:{os.environ['PATH']}",
        }
        return subprocess.run(
            ["make", "-s", target, f"PYTHON={sys.executable}"],
            cwd=self.release,
            env={**kept, **given, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            umask=umask,
        )

    def must(self, target: str, **environment: str) -> None:
        done = self.make(target, -1, **environment)
        assert done.returncode == 0, done.stdout + done.stderr

    def versions(self) -> set[str]:
        return {it.name for it in (self.root / "opt/appagent/versions").iterdir()}

    def current(self) -> str:
        return (self.root / "opt/appagent/current").resolve().name

    def calls(self) -> list[str]:
        """Return what systemctl was asked since the last time, without questions."""
        path = self.root / "systemctl.calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line for line in lines if not line.startswith(("show", "--root"))]

    def change(self, text: str) -> None:
        """Bring another release."""
        (self.release / "appagent" / "more.py").write_text(text)

    def service_runs(self, process: "subprocess.Popen[bytes] | None") -> None:
        """Let the service be this process."""
        (self.root / "main.pid").write_text(f"{process.pid if process else 0}\n")


@pytest.fixture
def node(tmp_path: Path) -> Node:
    release = tmp_path / "release"
    nothing = shutil.ignore_patterns("__pycache__")
    for name in ("appagent", "systemd", "examples"):
        shutil.copytree(REPOSITORY / name, release / name, ignore=nothing)
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, release / name)
    (release / "systemd" / "venv.py").write_text(VENV)
    programs = tmp_path / "root" / "programs"
    programs.mkdir(parents=True)
    (programs / "systemctl").write_text(SYSTEMCTL)
    (programs / "systemctl").chmod(0o755)
    (tmp_path / "root/run/systemd/system").mkdir(parents=True)
    return Node(tmp_path / "root", release)


def test_the_first_version_is_current_at_once_and_nothing_is_started(node: Node) -> None:
    node.must("install")
    assert node.versions() == {node.current()}
    assert node.calls() == []


@pytest.mark.parametrize("umask", [0, 0o077])
def test_the_umask_of_who_installs_it_is_not_what_it_gets(node: Node, umask: int) -> None:
    before = set(node.root.rglob("*"))
    done = node.make("install", umask=umask)
    assert done.returncode == 0, done.stderr
    made = {it for it in node.root.rglob("*") if not it.is_symlink()} - before
    made = {it for it in made if it.name != "systemctl.calls"}
    assert {it.parts[len(node.root.parts)] for it in made} == {"etc", "opt", "usr"}
    for path in made:
        mode = path.stat().st_mode & 0o777
        assert (mode & 0o022, mode & 0o444) == (0, 0o444), f"{path}: {mode:o}"


def test_install_builds_beside_and_restart_switches(node: Node) -> None:
    node.must("install")
    first = node.current()
    node.change("x = 1\n")
    node.must("install")
    assert node.current() == first
    assert len(node.versions()) == 2
    node.must("restart")
    assert node.current() != first
    assert node.calls() == ["restart appagent.service"]


def test_install_twice_is_one_version(node: Node) -> None:
    node.must("install")
    (version,) = node.versions()
    mark = node.root / "opt/appagent/versions" / version / "mark"
    mark.touch()
    node.must("install")
    assert mark.exists()


def test_a_version_that_was_half_built_is_built_anew(node: Node) -> None:
    node.must("install")
    (version,) = node.versions()
    directory = node.root / "opt/appagent/versions" / version
    (directory / ".complete").unlink()
    (directory / "rest").touch()
    node.must("install")
    assert not (directory / "rest").exists()
    assert (directory / ".complete").exists()


def test_a_version_that_cannot_be_built_changes_nothing(node: Node) -> None:
    node.must("install")
    first = node.current()
    (node.release / "appagent" / "broken").touch()
    assert node.make("install").returncode != 0
    assert node.make("restart").returncode != 0
    assert node.current() == first
    assert node.calls() == []


def test_going_back_needs_no_building(node: Node) -> None:
    node.must("install")
    first = node.current()
    node.change("x = 1\n")
    node.must("install")
    node.must("restart")
    node.change("")
    (node.release / "appagent" / "more.py").unlink()
    (node.release / "systemd" / "venv.py").write_text(VENV)
    node.must("install")
    node.must("restart")
    assert node.current() == first


def test_as_a_run_of_the_agent_it_does_not_wait_for_the_service(node: Node) -> None:
    node.must("install")
    node.must("restart", APP_TARGET="restart")
    node.must("stop", APP_TARGET="stop")
    assert node.calls() == [
        "--no-block restart appagent.service",
        "--no-block stop appagent.service",
    ]


def test_start_leaves_a_service_alone_that_runs_this_version_already(node: Node) -> None:
    node.must("install")
    program = node.root / "opt/appagent/versions" / node.current() / "bin" / "python"
    # As a venv's console script runs: the first word is the venv's python.
    with subprocess.Popen([str(program), "600"], executable="/bin/sleep") as service:
        node.service_runs(service)
        node.must("start")
        assert node.calls() == []
        node.must("check")
        node.change("x = 1\n")
        node.must("install")
        assert node.make("check").returncode != 0
        node.must("start")
        assert node.calls() == ["restart appagent.service"]
        service.kill()


def test_old_versions_go_but_not_one_that_a_process_uses(node: Node) -> None:
    node.must("install")
    node.must("restart")
    first = node.current()
    shim = node.root / "opt/appagent/versions" / first / "bin" / "python"
    with subprocess.Popen([str(shim), "600"], executable="/bin/sleep") as run:
        for count in range(5):
            node.change(f"x = {count}\n")
            node.must("install")
            node.must("restart")
        assert first in node.versions()
        run.kill()
    assert len(node.versions()) == 4
    node.must("install")
    assert first not in node.versions()
    assert len(node.versions()) == 3
    assert node.current() in node.versions()


def test_who_cannot_write_there_is_told_so_in_one_line(node: Node) -> None:
    (node.root / "opt").write_text("in the way: so it fails for root too\n")
    done = node.make("install")
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert lines == [f"appagent: cannot write {node.root}/opt/appagent: be root"]
