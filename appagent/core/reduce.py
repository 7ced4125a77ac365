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

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from math import inf
from typing import Any

from appagent.core import liveness, observe, permits, progress, requests, runs
from appagent.core.discovery import include, take_in, unmanaged
from appagent.core.progress import with_run
from appagent.core.reconcile import advance
from appagent.core.state import App, Attempt, Node, Root
from appagent.core.transition import Turn
from appagent.model import events, seen
from appagent.model.applied import Applied, Hold, Record, Run
from appagent.model.commands import Command, PollNow, Rewatch, SaveNodeHold
from appagent.model.notices import NoticeKind
from appagent.model.settings import Settings
from appagent.model.words import Event, Now


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
    `unrecorded` are runs that were started but are not in the records.
    """
    apps = {}
    for name, record in records.items():
        deploy = record.deploy  # it continues, unless the machine was down
        apps[name] = App(
            record, attempt=Attempt(deploy if deploy and deploy.boot == boot else None)
        )
    for name in lost:
        unknown = Applied(up=boot, may_run=boot)
        apps.setdefault(name, App(Record(app=name, root="", applied=unknown)))
    for name, run in (unrecorded or {}).items():
        app = apps.get(name) or App(Record(app=name, root=run.root))
        apps[name] = replace(app, record=with_run(app.record, run))
    return Node(settings=settings, boot=boot, apps=apps, mounted=mounted, hold=hold)


def step(node: Node, event: Event, now: Now) -> tuple[Node, list[Command]]:
    """The node after an event, and the commands that follow from it."""
    turn = Turn(node, now)
    HANDLERS[type(event)](turn, event)
    while turn.due:
        names, turn.due = list(turn.due), {}
        for name in names:
            advance(turn, name)
    return turn.node, turn.commands


def ticked(turn: Turn, _: events.Ticked) -> None:
    """Compare the apps for which time alone may change something."""
    hold = turn.node.hold
    if hold is not None and hold.over(turn.now):
        turn.report(NoticeKind.NODE_RESUMED, reason=hold.why)
        turn.node = replace(turn.node, hold=None)
        turn.do(SaveNodeHold(None))
        turn.touch(*turn.node.apps)
    turn.touch(*(name for name, app in turn.node.apps.items() if app.wake <= turn.now.mono))


def configured(turn: Turn, event: events.Configured) -> None:
    """Put a new configuration in force; the comparison finds what it changed."""
    settings = event.settings
    paths = {root.path for root in settings.roots}
    roots = {path: root for path, root in turn.node.roots.items() if path in paths}
    fresh = sorted(paths - roots.keys())
    for path in fresh:
        roots[path] = Root(since=turn.now.mono)
    excluded = [app.name for app in turn.node.apps.values() if unmanaged(turn, app)]
    turn.node = replace(turn.node, settings=settings, roots=roots)
    turn.do(Rewatch())
    for path in fresh:
        # A root that was left out only for a moment never left the list of its watcher, which would
        # report nothing.
        turn.do(PollNow(path, ""))
    include(turn, excluded)
    take_in(turn)
    liveness.reconfigured(turn)
    turn.touch(*turn.node.apps)


def stopping(turn: Turn, _: events.Stopping) -> None:
    """The agent stops: nothing more begins."""
    turn.node = replace(turn.node, stopping=True)


# Which function puts an event into the node.
HANDLERS: dict[type[Event], Callable[[Turn, Any], None]] = {
    events.AppObserved: observe.app_observed,
    seen.RootSeen: observe.root_observed,
    seen.EnvSeen: observe.env_observed,
    events.WatcherStuck: observe.watcher_stuck,
    events.WatcherBack: observe.watcher_back,
    events.Ticked: ticked,
    events.PermitGranted: permits.granted,
    events.PermitDenied: permits.denied,
    events.ShimReady: runs.shim_ready,
    events.StepFound: progress.step_found,
    events.Ended: runs.ended,
    events.Trigger: requests.trigger,
    events.Cancel: requests.cancel,
    events.HoldAsked: requests.hold_asked,
    events.ResumeAsked: requests.resume_asked,
    events.Forget: requests.forget,
    events.Configured: configured,
    events.Alive: liveness.alive,
    events.ShuttingDown: liveness.shutting_down,
    events.Stopping: stopping,
}


def next_wake(node: Node, now: Now) -> float:
    """When time alone may change something, on the monotonic clock; inf: never."""
    times = [app.wake for app in node.apps.values()]
    if node.hold is not None and node.hold.until is not None:
        times.append(now.mono + max(0.0, node.hold.until - now.wall))
    return min(times, default=inf)
