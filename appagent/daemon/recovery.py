"""Runs that no record tells of: the disk was full when they began, or the record was lost since.

The lock of each app (run/lock.py) says which run was its newest. Where that is newer than what the
record knows, the run is taken over from there, as if it had been recorded: it is waited for, and
how it ends counts. So neither a full disk nor a lost one leads to a second run beside a living one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from appagent.host import clock
from appagent.model.applied import Record, Run
from appagent.model.codec import Damaged, Newer, dump, parse
from appagent.model.notices import Level, Notice
from appagent.run import lockfile
from appagent.run.launch import Places


class Unrecorded:
    """What the locks of one node know better than its records."""

    def __init__(self, places: Places, boot: str, records: Mapping[str, Record]) -> None:
        """Look at all of them, once."""
        self.places = places
        self.runs: dict[str, Run] = {}
        self.notices: list[Notice] = []
        for found in lockfile.all_in(places.locks):
            record = records.get(found.app)
            if found.identity.boot == boot and is_news(found, record):
                self._take(found)

    def _take(self, found: lockfile.Account) -> None:
        try:
            run = parse("run", Run, found.run)
        except (Damaged, Newer):
            return  # it cannot be waited for, but its lock keeps others from running beside it
        if (run.app, run.id) != (found.app, found.run_id):
            return
        self.runs[run.app] = replace(run, identity=found.identity)
        what = f"make {' or '.join(run.steps)} (pid {found.identity.pid})"
        text = (
            f"{run.app}: {what} was begun and no record tells of it; it is "
            f"taken over, and nothing else of {run.app} runs before it is over"
        )
        fields: dict[str, str | int | float] = {"run_id": run.id, "target": run.target}
        self.notices.append(Notice("run.found", clock.now(), text, run.app, Level.WARNING, fields))

    def drop(self, app: str) -> None:
        """The app is gone."""
        lockfile.remove(self.places.lock(app))


def is_news(found: lockfile.Account, record: Record | None) -> bool:
    """Whether a run of this boot began after all that a record knows of.

    Told by when their shims were started, in ticks since the boot: ids are made of the wall clock,
    which may be set back.
    """
    if record is None:
        return True
    if found.run_id in (record.ended, record.run.id if record.run is not None else ""):
        return False
    shims = (record.ended_shim, record.run.identity if record.run is not None else None)
    known = [shim.started for shim in shims if shim and shim.boot == found.identity.boot]
    return found.identity.started > max(known, default=-1)


def written(run: Run) -> str:
    """A run as it is told to its shim, for an agent to come: one line."""
    return dump("run", run).decode("ascii").replace("\n", "")
