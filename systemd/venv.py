"""Make a virtual environment and install into it: `python systemd/venv.py DIR WHAT…`.

The one place that knows how, for `make run`, `make test` and for a node. WHAT is what pip is given:
`-e .`, `'.[dev]'`, a wheel. Run it from the directory of constraints.txt: the versions there are
the ones that get installed.

A machine may have a Python without ensurepip (Debian has that in a package of its own). Then pip
itself is fetched from the package index, one pinned wheel that is checked before it is run.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

INDEX = "https://pypi.org/simple"
PIP = "pip-26.1.2-py3-none-any.whl"
PIP_SHA256 = "382ff9f685ee3bc25864f820aa50505825f10f5458ffff07e30a6d96e5715cab"
CONSTRAINTS = "constraints.txt"


def main() -> int:
    """Do it, and return the exit status."""
    directory, what = Path(sys.argv[1]), sys.argv[2:]
    # Absolute without resolving links: a path that a person chose stays the one in the scripts.
    python = Path(os.path.abspath(directory)) / "bin" / "python"  # noqa: PTH100
    if not works(python):
        make(directory, python)
    command = [str(python), "-m", "pip", *install(what)]
    return subprocess.run(command, check=False, env=environment()).returncode


def install(what: list[str]) -> list[str]:
    """Return pip's words for installing."""
    return ["install", "-q", "--disable-pip-version-check", "--use-pep517", *what]


def environment() -> dict[str, str]:
    """Return pip's environment: the pinned versions hold for what builds the wheel too."""
    if not Path(CONSTRAINTS).exists():
        return dict(os.environ)
    pinned = {"PIP_CONSTRAINT": CONSTRAINTS, "PIP_BUILD_CONSTRAINT": CONSTRAINTS}
    return {**os.environ, **pinned}


def works(python: Path) -> bool:
    """Whether there is a usable environment already."""
    try:
        done = subprocess.run([python, "-m", "pip", "--version"], check=False, capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


def make(directory: Path, python: Path) -> None:
    """Make an empty environment with pip in it."""
    command = [sys.executable, "-m", "venv", "--clear"]
    done = subprocess.run([*command, directory], check=False, capture_output=True, text=True)
    if done.returncode == 0:
        return
    # Without ensurepip it has reported that and failed; any other error is reported once more here.
    subprocess.run([*command, "--without-pip", directory], check=True)
    with tempfile.TemporaryDirectory() as scratch:
        wheel = fetch_pip(Path(scratch))
        # A wheel is a zip file, and Python runs what lies in one.
        subprocess.run([python, wheel / "pip", *install([str(wheel)])], check=True)


def fetch_pip(into: Path) -> Path:
    """Get the pinned pip from the package index that pip would use."""
    page = os.environ.get("PIP_INDEX_URL", INDEX).rstrip("/") + "/pip/"
    with urllib.request.urlopen(page, timeout=60) as answer:  # noqa: S310
        links = re.findall(r'href="([^"]+)"', answer.read().decode())
    link = next(link for link in links if urllib.parse.urlparse(link).path.endswith("/" + PIP))
    with urllib.request.urlopen(urllib.parse.urljoin(page, link), timeout=60) as answer:  # noqa: S310
        content = answer.read()
    if hashlib.sha256(content).hexdigest() != PIP_SHA256:
        sys.exit(f"{PIP} from {page} is not the one that is expected: install python3-venv")
    (into / PIP).write_bytes(content)
    return into / PIP


if __name__ == "__main__":
    sys.exit(main())
