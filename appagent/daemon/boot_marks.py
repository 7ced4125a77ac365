"""Which apps may run in this boot, kept apart from their records.

A file for each in the runtime directory, which a reboot empties. When a record is lost, this still
tells an app that may run (then it is installed and restarted) from one that does not (then it is
installed and started): the state directory and this one are hardly ever lost together.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from appagent.model.applied import Record
from appagent.run.app_processes import AppProcesses
from appagent.run.launch import Places
from appagent.run.scope import has_scopes
from appagent.state.store import Loaded


class Started:
    """The marks of one boot."""

    def __init__(self, runtime_dir: str, boot: str) -> None:
        """Marks of another boot say nothing: a runtime directory need not be on a tmpfs."""
        self.path = Path(runtime_dir) / "started"
        self.boot = boot
        self.marked: dict[str, bool] = {}

    def apps(self) -> frozenset[str]:
        """The apps of which a start began in this boot, and no stop succeeded since."""
        found = set()
        with contextlib.suppress(OSError):
            for mark in self.path.iterdir():
                with contextlib.suppress(OSError):
                    if mark.read_text("utf-8", "replace").strip() == self.boot:
                        found.add(mark.name)
        return frozenset(found)

    def unrecorded(self, found: Loaded, places: Places) -> frozenset[str]:
        """The apps that may run in this boot though no record tells of them.

        A record that cannot be read says nothing by itself: after a boot nothing runs. Without a
        mark, its app may run if processes of it are there.
        """
        app_processes = AppProcesses(places, self.boot, scopes=has_scopes())
        living = {app for app in found.lost if app_processes.any(app, ())}
        return (self.apps() | living) - found.records.keys()

    def note(self, record: Record) -> None:
        """Mark an app as its record says. A mark that cannot be made is missed by nobody else."""
        may_run = record.applied.may_run == self.boot
        if self.marked.get(record.app) is may_run:
            return
        with contextlib.suppress(OSError):
            if may_run:
                self.path.mkdir(parents=True, exist_ok=True)
                (self.path / record.app).write_text(self.boot + "\n", "utf-8")
            else:
                (self.path / record.app).unlink(missing_ok=True)
            self.marked[record.app] = may_run

    def drop(self, app: str) -> None:
        """The app is gone."""
        self.marked.pop(app, None)
        with contextlib.suppress(OSError):
            (self.path / app).unlink(missing_ok=True)
