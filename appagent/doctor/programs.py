"""Programs of the machine that are asked something, for a bounded time, in plain English."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from typing import NamedTuple

from appagent.shim.environment import SEARCH


class Answer(NamedTuple):
    """What a program said."""

    code: int
    text: str  # stdout
    words: str  # stderr


def path_of(name: str) -> str | None:
    """Where a program lies, also for a person whose PATH is short."""
    return shutil.which(name) or shutil.which(name, path=SEARCH)


def ask(name: str, *words: str, patience: float = 4.0) -> Answer | None:
    """Run a program; None if it is not here, or does not answer in time."""
    path = path_of(name)
    if path is None:
        return None
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [path, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=patience,
            env={**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""},
        )
        text = (stream.decode("utf-8", "replace") for stream in (done.stdout, done.stderr))
        return Answer(done.returncode, *text)
    return None
