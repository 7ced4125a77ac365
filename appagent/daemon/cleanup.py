"""Files of removed apps in the state directory: scans of their trees, output files.

The scans are removed with the app. Its output stays for a while, for whoever wants to know how it
ended. Other files without an app are swept: they are there after a crash, or because a scan or a
process of the app was late.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

SCANS_STAY = 3600.0  # s since the last change
OUTPUT_STAYS = 7 * 86_400.0
_OUTPUT = (".log", ".log.1", ".log.1.new")


class RemovedApps:
    """The directories that hold files of apps."""

    def __init__(self, manifests: str, logs: str) -> None:
        """Take their paths; they need not exist."""
        self.manifests = Path(manifests)
        self.logs = Path(logs)

    def drop(self, app: str) -> None:
        """Remove the scans of an app."""
        shutil.rmtree(self.manifests / app, ignore_errors=True)

    def sweep(self, apps: Collection[str], now: float) -> None:
        """Remove old files without an app. `now` is wall-clock time. Safe in another thread."""
        for path in _old(self.manifests, now - SCANS_STAY):
            if path.name not in apps:
                shutil.rmtree(path, ignore_errors=True)
        for path in _old(self.logs, now - OUTPUT_STAYS):
            name = next((path.name.removesuffix(e) for e in _OUTPUT if path.name.endswith(e)), "")
            if name and name not in apps:
                with contextlib.suppress(OSError):
                    path.unlink()


def _old(directory: Path, before: float) -> Iterator[Path]:
    """The entries whose last change was before a time."""
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            with contextlib.suppress(OSError):
                if path.lstat().st_mtime < before:
                    yield path
