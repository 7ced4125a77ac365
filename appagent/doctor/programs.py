"""Programs of the machine that are asked something, for a bounded time."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

from appagent.shim.environment import SEARCH

NO_ANSWER = -1000  # no exit code, no signal
# In English and without a pager, whatever the person who runs doctor has set.
_PLAIN = {"LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}


def path_of(name: str) -> str | None:
    """Find a program, also for a person whose PATH is short."""
    return shutil.which(name) or shutil.which(name, path=SEARCH)


def ask(name: str, *arguments: str, deadline: float = 4.0) -> subprocess.CompletedProcess[str]:
    """Run a program; the code is NO_ANSWER if there is none, or it is not done in time (s)."""
    argv = [path_of(name) or name, *arguments]
    try:
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=deadline,
            env={**os.environ, **_PLAIN},
            encoding="utf-8",
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(argv, NO_ANSWER, "", str(error))


def version_of(text: str) -> tuple[int, ...]:
    """Make a version comparable, as far as it consists of numbers."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
