"""What apps that are gone have left in the state directory: scans of their trees, output files.

The scans go with the app. Its output stays for a while, for whoever wants to know how it ended.
Whatever else lies there under a name that is no app's is swept: a crash came between, or a look
or a process was late.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection
from pathlib import Path

SCANS_STAY = 3600.0  # s since the last change, where the name is no app's
OUTPUT_STAYS = 7 * 86_400.0
_OUTPUT = (".log", ".log.1", ".log.1.new")


class GoneApps:
    """The directories in which apps leave something."""

    def __init__(self, manifests: str, logs: str) -> None:
        """Name them; they need not be there."""
        self.manifests = Path(manifests)
        self.logs = Path(logs)

    def drop(self, app: str) -> None:
        """Remove what goes with an app."""
        shutil.rmtree(self.manifests / app, ignore_errors=True)

    def sweep(self, apps: Collection[str], now: float) -> None:
        """Remove what is of no app and old. `now` is on the wall clock. Safe in another thread."""
        for path in _old(self.manifests, now - SCANS_STAY):
            if path.name not in apps:
                shutil.rmtree(path, ignore_errors=True)
        for path in _old(self.logs, now - OUTPUT_STAYS):
            name = next((path.name.removesuffix(e) for e in _OUTPUT if path.name.endswith(e)), "")
            if name and name not in apps:
                with contextlib.suppress(OSError):
                    path.unlink()


def _old(directory: Path, before: float) -> list[Path]:
    """What was changed last before a moment."""
    try:
        with os.scandir(directory) as entries:
            return [Path(entry.path) for entry in entries if _changed(entry) < before]
    except OSError:
        return []


def _changed(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except OSError:
        return float("inf")
