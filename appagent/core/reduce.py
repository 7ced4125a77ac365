"""The core's one mutator: an event goes in, a new node and commands come out.

Theory of operation. The agent is level-triggered. `step` puts the content of an event into the node
and then compares every app that it concerns (`advance`): what is seen, what is therefore wanted,
what is applied. Where these differ, the first step of the plan begins and nothing more; its end is
an event again. An event never decides what to do, so a lost, repeated, early or late one costs time
and never correctness.

Commands have to be carried out in their order: a `Save` is on the disk before the `Proceed` after
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import inf

from appagent.core import liveness, observe, permits, progress, requests, runs
from appagent.core.discovery import take_in, take_in_again, unmanaged
from appagent.core.progress import with_run
from appagent.core.reconcile import advance
from appagent.core.state import App, Attempt, Node, Root
from appagent.core.transition import Turn
from appagent.model.applied import Applied, Hold, Record, Run
from appagent.model.commands import Command, PollNow, Rewatch, SaveNodeHold
from appagent.model.events import (
    Alive,
    AppObserved,
    Cancel,
    Configured,
    Ended,
    EnvObserved,
    Event,
    Forget,
    HoldAsked,
    PermitDenied,
    PermitGranted,
    ResumeAsked,
    RootObserved,
    ShimReady,
    ShuttingDown,
    StepFound,
    Stopping,
    Ticked,
    Trigger,
    WatcherBack,
    WatcherStuck,
)
from appagent.model.notices import NoticeKind
from appagent.model.settings import Settings
from appagent.model.words import Now


def first(  # noqa: PLR0913 - each is one thing that the disk keeps
    settings: Settings,
    boot: str,
    records: Mapping[str, Record],
    *,
    lost: Iterable[str] = (),
    unrecorded: Mapping[str, Run] | None = None,
    mounted: frozenset[str] = frozenset(),
    hold: Hold | None = None,
) -> Node:
    """The node as it is when the agent begins.

    `lost` are apps that may run in this boot but have no record: they run something unknown, so
    they are installed and restarted, not started a second time, and stopped when removed.
    `unrecorded` are runs that were begun but are not in the records.
    """
    apps = {name: resumed(record, boot) for name, record in records.items()}
    for name in lost:
        apps.setdefault(name, App(Record(app=name, root="", applied=Applied(up=boot))))
    for name, run in (unrecorded or {}).items():
        app = apps.get(name) or App(Record(app=name, root=run.root))
        apps[name] = replace(app, record=with_run(app.record, run))
    return Node(settings=settings, boot=boot, apps=apps, mounted=mounted, hold=hold)


def resumed(record: Record, boot: str) -> App:
    """An app as an earlier agent left it. Its deploy continues, unless the machine was down."""
    deploy = record.deploy
    return App(record, attempt=Attempt(deploy if deploy and deploy.boot == boot else None))


def step(node: Node, event: Event, now: Now) -> tuple[Node, list[Command]]:
    """The node after an event, and the commands that follow from it."""
    turn = Turn(node, now)
    take(turn, event)
    while turn.due:
        names, turn.due = list(turn.due), {}
        for name in names:
            advance(turn, name)
    return turn.node, turn.commands


def take(turn: Turn, event: Event) -> None:  # noqa: C901, PLR0912 - one case for each event
    """Put one event into the node."""
    match event:
        case AppObserved():
            observe.app_observed(turn, event)
        case RootObserved():
            observe.root_observed(turn, event.seen)
        case EnvObserved():
            observe.env_observed(turn, event.seen)
        case WatcherStuck():
            observe.watcher_stuck(turn, event)
        case WatcherBack():
            observe.watcher_back(turn, event)
        case Ticked():
            ticked(turn)
        case PermitGranted():
            permits.granted(turn, event)
        case PermitDenied():
            permits.denied(turn, event)
        case ShimReady():
            runs.shim_ready(turn, event)
        case StepFound():
            progress.step_found(turn, event)
        case Ended():
            runs.ended(turn, event)
        case Trigger():
            requests.trigger(turn, event)
        case Cancel():
            requests.cancel(turn, event)
        case HoldAsked():
            requests.hold_asked(turn, event)
        case ResumeAsked():
            requests.resume_asked(turn, event)
        case Forget():
            requests.forget(turn, event)
        case Configured():
            configured(turn, event.settings)
        case Alive():
            liveness.alive(turn, event)
        case ShuttingDown():
            liveness.shutting_down(turn)
        case Stopping():
            turn.node = replace(turn.node, stopping=True)


def ticked(turn: Turn) -> None:
    """Compare the apps for which time alone may change something."""
    hold = turn.node.hold
    if hold is not None and hold.until is not None and hold.until <= turn.now.wall:
        turn.report(NoticeKind.NODE_RESUMED, reason=hold.why)
        turn.node = replace(turn.node, hold=None)
        turn.do(SaveNodeHold(None))
        turn.touch(*turn.node.apps)
    turn.touch(*(name for name, app in turn.node.apps.items() if app.wake <= turn.now.mono))


def configured(turn: Turn, settings: Settings) -> None:
    """Put a new configuration in force; the comparison finds what it changed."""
    paths = {root.path for root in settings.roots}
    roots = {path: root for path, root in turn.node.roots.items() if path in paths}
    fresh = sorted(paths - roots.keys())
    for path in fresh:
        roots[path] = Root(since=turn.now.mono)
    left_out = [app.name for app in turn.node.apps.values() if unmanaged(turn, app)]
    turn.node = replace(turn.node, settings=settings, roots=roots)
    turn.do(Rewatch())
    for path in fresh:
        # A root that was left out only for a moment never left the list of its watcher, which would
        # report nothing.
        turn.do(PollNow(path, ""))
    take_in_again(turn, left_out)
    take_in(turn)
    liveness.reconfigured(turn)
    turn.touch(*turn.node.apps)


def next_wake(node: Node, now: Now) -> float:
    """When time alone may change something, on the monotonic clock; inf: never."""
    times = [app.wake for app in node.apps.values()]
    if node.hold is not None and node.hold.until is not None:
        times.append(now.mono + max(0.0, node.hold.until - now.wall))
    return min(times, default=inf)
