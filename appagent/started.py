"""Which apps were started in this boot, kept apart from their records.

A file for each in the runtime directory, which a reboot empties. When a record is lost, this still
tells an app that runs (then it is installed and restarted) from one that is new here (then it is
started): the state directory and this one are hardly ever lost together.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from appagent.model import Record


class Started:
    """The marks of one boot."""

    def __init__(self, runtime_dir: str, boot: str) -> None:
        """Marks of another boot say nothing: a runtime directory need not be on a tmpfs."""
        self.path = Path(runtime_dir) / "started"
        self.boot = boot
        self.marked: dict[str, bool] = {}

    def apps(self) -> frozenset[str]:
        """The apps that were started in this boot."""
        found = set()
        with contextlib.suppress(OSError):
            for mark in self.path.iterdir():
                with contextlib.suppress(OSError):
                    if mark.read_text("utf-8", "replace").strip() == self.boot:
                        found.add(mark.name)
        return frozenset(found)

    def note(self, record: Record) -> None:
        """Mark an app as its record says. A mark that cannot be made is missed by nobody else."""
        up = record.applied.up == self.boot
        if self.marked.get(record.app) is up:
            return
        with contextlib.suppress(OSError):
            if up:
                self.path.mkdir(parents=True, exist_ok=True)
                (self.path / record.app).write_text(self.boot + "\n", "utf-8")
            else:
                (self.path / record.app).unlink(missing_ok=True)
            self.marked[record.app] = up

    def drop(self, app: str) -> None:
        """The app is gone."""
        self.marked.pop(app, None)
        with contextlib.suppress(OSError):
            (self.path / app).unlink(missing_ok=True)
