"""Programs of the machine that are asked something, for a bounded time."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess

from appagent.host.isolate import Output
from appagent.shim.environment import SEARCH

# In English and without a pager, whatever the person who runs doctor has set.
_PLAIN = {"LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}


def path_of(name: str) -> str | None:
    """Find a program, also for a person whose PATH is short."""
    return shutil.which(name) or shutil.which(name, path=SEARCH)


def ask(name: str, *arguments: str, deadline: float = 4.0) -> Output | None:
    """Run a program; None if it does not exist here, or does not answer in time (seconds)."""
    path = path_of(name)
    if path is None:
        return None
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [path, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=deadline,
            env={**os.environ, **_PLAIN},
            encoding="utf-8",
            errors="replace",
        )
        return Output(done.returncode, done.stdout, done.stderr)
    return None


def version_of(text: str) -> tuple[int, ...]:
    """Make a version comparable, as far as it consists of numbers."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
