"""appagent's wheel, built from this work tree, and the wheels of what it needs."""

import hashlib
import shutil
import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

from . import machine

BACKEND = 77  # the setuptools that pyproject.toml asks for; an older one is not used
NO_SOURCES = ("tests", "build", "dist", "__pycache__")


def installable() -> bool:
    """Whether the work tree holds an agent that can be installed."""
    return (machine.REPOSITORY / "appagent/cli.py").exists()


def needs() -> list[str]:
    """Return what the package says that it depends on."""
    text = (machine.REPOSITORY / "pyproject.toml").read_text()
    dependencies: list[str] = tomllib.loads(text)["project"]["dependencies"]
    return sorted(dependencies)


def builds_with() -> list[str]:
    """Return what building the package takes: a node that reaches no package index needs it too."""
    text = (machine.REPOSITORY / "pyproject.toml").read_text()
    requires: list[str] = tomllib.loads(text)["build-system"]["requires"]
    return sorted(requires)


def version() -> str:
    """Return appagent's version, as its package says it."""
    text = (machine.REPOSITORY / "appagent/__init__.py").read_text()
    return text.split('__version__ = "')[1].split('"')[0]


def pinned() -> Path:
    """Return the file with the versions that get installed."""
    return machine.REPOSITORY / "constraints.txt"


def sources() -> list[Path]:
    """Return all files but the tests and what is generated, sorted: the wheel is made of some."""
    found: list[Path] = []
    for top in machine.REPOSITORY.iterdir():
        if top.name not in NO_SOURCES and not top.name.startswith("."):
            found += top.rglob("*") if top.is_dir() else [top]
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def fingerprint() -> str:
    """Return a hash of all that the wheel and the units are made of."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(f"{path.relative_to(machine.REPOSITORY)}\0".encode())
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def build(into: Path, version_instead: str = "") -> Path:
    """Build the wheel, as another version if one is given, and return its path.

    It is built from a copy: setuptools leaves a build directory beside the sources, and takes
    files from an older one.
    """
    with tempfile.TemporaryDirectory(prefix="appagent-wheel-") as scratch:
        for path in sources():
            copy = Path(scratch) / path.relative_to(machine.REPOSITORY)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
        if version_instead:
            init = Path(scratch) / "appagent/__init__.py"
            init.write_text(f'{init.read_text()}\n__version__ = "{version_instead}"\n')
        into.mkdir(parents=True, exist_ok=True)
        at_hand = int(metadata.version("setuptools").split(".")[0]) >= BACKEND
        alone = ["--no-isolation"] if at_hand else []
        python("build", "--wheel", *alone, "--outdir", str(into), scratch)
    return max(into.glob("*.whl"), key=lambda path: path.stat().st_mtime)


def download(into: Path, hosts_python: str) -> None:
    """Get or build the wheels of all that appagent needs, for the hosts' python ("python3.11")."""
    mine = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if mine != hosts_python:
        msg = f"the hosts have {hosts_python}: raise the fleet with that, not with {mine}"
        raise RuntimeError(msg)
    into.mkdir(parents=True)
    all_of_it = [*needs(), *builds_with()]
    python("pip", "wheel", "-q", "-c", str(pinned()), "--wheel-dir", str(into), *all_of_it)


def python(module: str, *words: str) -> None:
    """Run a module of this Python; pip takes this machine's own configuration."""
    machine.sh(sys.executable, "-m", module, *words, timeout=600)
