"""Runs and apps without a record: the disk was full when they began, or the state was lost since.

The lock of each app (shim/lock.py) names its newest run. Where that is newer than what the
record knows, the run is adopted from there, as if it had been recorded: it is waited for, and how
it ends counts. So neither a full disk nor a lost one leads to a second run beside a living one.

The lock also has whether the app could have processes in this boot before that run. It is in the
runtime directory, which a reboot empties: the state directory and this one are hardly ever lost
together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from appagent.host import clock
from appagent.model.applied import Record, Run
from appagent.model.notices import Notice, NoticeKind, notice
from appagent.run import lockfile
from appagent.run.launch import Paths
from appagent.run.processes import AppProcesses
from appagent.run.scope import has_scopes

_STARTS = {"start", "restart"}


@dataclass(slots=True)
class Recovered:
    """What the locks of one node know better than its records."""

    runs: dict[str, Run] = field(default_factory=dict)  # by app
    may_run: set[str] = field(default_factory=set)  # apps without a record
    notices: list[Notice] = field(default_factory=list)


def recover(
    paths: Paths, boot: str, records: Mapping[str, Record], damaged: Collection[str] = ()
) -> Recovered:
    """Read all locks, once. `damaged` are apps whose record cannot be read.

    Such a record means nothing by itself, as nothing runs after a boot: its app may run if the lock
    has it so, or if processes of it exist.
    """
    found = Recovered()
    for last in lockfile.all_in(paths.locks):
        if last.identity.boot != boot:
            continue
        run = _adopted(last)
        may_run = last.may_run or (run is None and not _STARTS.isdisjoint(last.targets))
        if may_run and last.app not in records:
            found.may_run.add(last.app)
        if run is not None and is_newer(last, records.get(last.app)):
            found.runs[run.app] = run
            found.notices.append(
                notice(
                    NoticeKind.RUN_FOUND,
                    clock.now(),
                    run.app,
                    run_id=run.id,
                    target=run.target,
                    steps=" ".join(run.steps),
                    pid=last.identity.pid,
                )
            )
    processes = AppProcesses(paths, boot, scopes=has_scopes())
    lost = [app for app in damaged if app not in records]
    found.may_run.update(app for app in lost if processes.any(app, ()))
    return found


def is_newer(last: lockfile.LastRun, record: Record | None) -> bool:
    """Whether a run of this boot began after all that a record knows of.

    It compares when the shims were started, in ticks since the boot: ids are made of the wall
    clock, which may be set back.
    """
    if record is None:
        return True
    if last.run_id in (record.ended, record.run.id if record.run is not None else ""):
        return False
    shims = (record.ended_shim, record.run.identity if record.run is not None else None)
    known = [shim.started for shim in shims if shim and shim.boot == last.identity.boot]
    return last.identity.started > max(known, default=-1)


def _adopted(last: lockfile.LastRun) -> Run | None:
    """The run with its identity. None if it cannot be adopted; its lock still keeps others off."""
    run = last.run
    if run is None or (run.app, run.id) != (last.app, last.run_id):
        return None
    return replace(run, identity=last.identity)
