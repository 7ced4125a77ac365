"""The plan: a comparison of fields, and nothing else.

    want REMOVED, STOPPED:   stop, if it may run in this boot
    installed != release:    build, install
    not up in this boot:     start
    else running != version: restart
    healthy != version:      check

Only the first step is ever run; then everything is compared anew. That is why a crash, a reboot,
a failed start, a revert after a failure and a change of environment need no rules of their own.
"""

from __future__ import annotations

from dataclasses import replace

from appagent.core.want import Kind, Want
from appagent.model.applied import Applied, Record
from appagent.model.words import Target, Version


def plan(record: Record, want: Want, boot: str) -> tuple[Target, ...]:
    """The targets that lead from what is applied to what is wanted, in order.

    Whether the Makefile has them does not matter here: the run of one that it lacks continues with
    the next, and what is missing counts as done.
    """
    applied = record.applied
    up = applied.up == boot and bool(boot)
    if want.kind is Kind.WAIT:
        return ()
    if want.kind in (Kind.REMOVED, Kind.STOPPED):
        return (Target.STOP,) if applied.may_run == boot and bool(boot) else ()
    if want.kind is Kind.KEEP:
        return () if up or not want.version.release else (Target.START,)
    steps: list[Target] = []
    fresh = applied.installed != want.version.release
    if fresh:
        if want.version.release not in record.built:
            steps.append(Target.BUILD)
        steps.append(Target.INSTALL)
    if not up:
        steps.append(Target.START)
    elif fresh or applied.running != want.version:
        steps.append(Target.RESTART)
    if steps or applied.healthy != want.version:
        steps.append(Target.CHECK)
    return tuple(steps)


def begin(applied: Applied, target: Target, boot: str) -> Applied:
    """Beginning a step clears its field and those below; `up` stays until a stop succeeds.

    That a started app is up is not undone by an install or by a restart that fails: its processes
    may well live on, and the next plan must not start it a second time beside them. From the
    beginning of a start on there may be processes, however it ends. `boot` is the run's; it is ""
    where the shim is not known, which then never proceeded: what may run stays as it was.
    """
    match target:
        case Target.BUILD:
            return applied
        case Target.INSTALL:
            return replace(applied, installed="", running=None, healthy=None)
        case Target.START | Target.RESTART:
            may_run = boot or applied.may_run
            return replace(applied, running=None, healthy=None, serving="", may_run=may_run)
        case Target.STOP:
            return replace(applied, running=None, healthy=None, serving="")
        case Target.CHECK:
            return replace(applied, healthy=None)


def succeed(applied: Applied, target: Target, version: Version, boot: str) -> Applied:
    """Success of a step sets its field; `boot` is the one in which it ran."""
    match target:
        case Target.BUILD:
            return applied
        case Target.INSTALL:
            return replace(applied, installed=version.release)
        case Target.START | Target.RESTART:
            release = version.release
            return replace(applied, running=version, up=boot, serving=release, may_run=boot)
        case Target.STOP:
            return replace(applied, running=None, healthy=None, up="", serving="", may_run="")
        case Target.CHECK:
            return replace(applied, healthy=version)


def take_back(applied: Applied, target: Target) -> Applied:
    """The fields without an accomplishment, so that the plan does it again.

    A start that is asked for again does not undo that there may be processes.
    """
    match target:
        case Target.BUILD | Target.INSTALL:
            return replace(applied, installed="")
        case Target.RESTART:
            return replace(applied, running=None)
        case Target.START:
            return replace(applied, up="")
        case Target.CHECK:
            return replace(applied, healthy=None)
        case Target.STOP:
            return applied
