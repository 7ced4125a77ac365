"""appagent's wheel, built from this work tree, and the wheels of what it needs."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from . import machine

SOURCES = ("appagent", "pyproject.toml", "README.md", "LICENSE", "systemd")


def installable() -> bool:
    """Whether the work tree holds an agent that can be installed."""
    needed = ("appagent/cli.py", "README.md", "LICENSE")
    return all((machine.REPOSITORY / name).exists() for name in needed)


def needs() -> list[str]:
    """Return what the package says that it depends on."""
    text = (machine.REPOSITORY / "pyproject.toml").read_text()
    dependencies: list[str] = tomllib.loads(text)["project"]["dependencies"]
    return sorted(dependencies)


def sources() -> list[Path]:
    """Return the files that the wheel and the units are made of, sorted."""
    found = []
    for name in SOURCES:
        top = machine.REPOSITORY / name
        inner = top.rglob("*") if top.is_dir() else [top]
        found += [path for path in inner if path.is_file() and "__pycache__" not in path.parts]
    return sorted(found)


def fingerprint() -> str:
    """Return a hash of all that the wheel and the units are made of."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(f"{path.relative_to(machine.REPOSITORY)}\0".encode())
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def build(into: Path, version: str = "") -> Path:
    """Build the wheel, as another version if one is given, and return its path.

    It is built from a copy: setuptools leaves a build directory beside the sources, and takes
    files from an older one.
    """
    with tempfile.TemporaryDirectory(prefix="appagent-wheel-") as scratch:
        for path in sources():
            copy = Path(scratch) / path.relative_to(machine.REPOSITORY)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
        if version:
            init = Path(scratch) / "appagent/__init__.py"
            init.write_text(init.read_text() + f'\n__version__ = "{version}"\n')
        into.mkdir(parents=True, exist_ok=True)
        pip("wheel", "-q", "--no-deps", "--wheel-dir", str(into), scratch)
    return max(into.glob("*.whl"), key=lambda path: path.stat().st_mtime)


def download(into: Path, python: str) -> None:
    """Get or build the wheels of what appagent needs, for the hosts' python ("python3.11")."""
    mine = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if mine != python:
        msg = f"the hosts have {python}: raise the fleet with that, not with {mine}"
        raise RuntimeError(msg)
    into.mkdir(parents=True)
    pip("wheel", "-q", "--wheel-dir", str(into), *needs())


def pip(*words: str) -> None:
    """Run pip, with this machine's own configuration."""
    command = [sys.executable, "-m", "pip", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        msg = f"pip {' '.join(words)}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
        raise RuntimeError(msg)
