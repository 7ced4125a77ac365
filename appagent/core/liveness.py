"""The life of an app between deploys: its processes end by themselves, the machine goes down.

Theory of operation. The agent counts the processes of each app from time to time. An app that had
some after its start and has none now has *exited*. One that never had any (for example, it only
reloads nginx) is not judged. With `on_exit: start` it counts as down, and is started by the plan;
one that exits repeatedly is started later each time.

Processes that are there shortly after a run may be the end of the run itself, or what a recipe left
in the background. So an app has processes of its own when two counts in a row find some, with no
run in between; or when its start left some, however soon they end.
"""

from __future__ import annotations

from dataclasses import replace

from appagent.core.backoff import delay
from appagent.core.state import App, Backoff
from appagent.core.transition import Turn
from appagent.core.want import Kind, version_of, want
from appagent.model.events import Alive, ShuttingDown
from appagent.model.notices import NoticeKind
from appagent.model.words import Target

STEADY = 300.0  # s without an exit after which the next one counts as the first


def alive(turn: Turn, event: Alive) -> None:
    """Note how many processes an app has of its own."""
    app = turn.app(event.app)
    if app is None:
        return
    lasting = bool(app.processes.count) and event.processes > 0
    processes = replace(app.processes, count=event.processes)
    app = turn.put(replace(app, processes=processes))
    if app.run is not None or app.record.applied.up != turn.node.boot:
        return  # not judged while a run changes them
    if event.processes > 0:
        back = app.processes.exited
        app = turn.put(replace(app, processes=replace(processes, exited=False)))
        if back:
            turn.report(NoticeKind.APP_RUNNING_AGAIN, app)
        if lasting and not app.record.populated:
            turn.save(app, replace(app.record, populated=True))
    elif app.record.populated and not app.processes.exited:
        exited(turn, app)


def exited(turn: Turn, app: App) -> None:
    """All processes of an app have ended, and it was not stopped by the agent."""
    settings = turn.node.settings_of(app)
    starts = settings.on_exit == "start" and turn.node.shutdown is False
    unsteady = app.processes.exits > 0 and turn.now.mono - app.processes.exited_at < STEADY
    exits = app.processes.exits + 1 if unsteady else 1
    wait = delay(settings.retry_first, settings.retry_max, exits)
    running = app.record.applied.running
    turn.report(
        NoticeKind.APP_EXITED,
        app,
        release=running.release if running is not None else "",
        wait_s=wait if starts else None,
    )
    processes = replace(app.processes, exited=True, exits=exits, exited_at=turn.now.mono)
    app = turn.put(replace(app, processes=processes))
    if starts:
        start_exited(turn, app)


def reconfigured(turn: Turn) -> None:
    """Start what exited before the configuration said `on_exit: start`."""
    for app in list(turn.node.apps.values()):
        settings = turn.node.settings_of(app)
        down = app.processes.exited and app.record.applied.up == turn.node.boot
        if down and settings.on_exit == "start" and not turn.node.shutdown:
            start_exited(turn, app)


def start_exited(turn: Turn, app: App) -> None:
    """An app that has exited counts as down, and is started when its wait is over."""
    settings = turn.node.settings_of(app)
    exits = app.processes.exits
    until = app.processes.exited_at + delay(settings.retry_first, settings.retry_max, exits)
    record = replace(app.record, populated=False, applied=replace(app.record.applied, up=""))
    app = turn.save(app, record)
    wanted = want(turn.node, app, turn.now)
    if wanted.kind in (Kind.RUN, Kind.KEEP):
        version = version_of(app, wanted)
        line = "all its processes have exited"
        back = Backoff(version, Target.START, exits, until, line, "exited")
        turn.put(replace(app, attempt=replace(app.attempt, backoff=back)))
    turn.touch(app.name)


def shutting_down(turn: Turn, _: ShuttingDown) -> None:
    """The machine goes down: stop what is to be stopped, begin nothing else."""
    turn.node = replace(turn.node, shutdown=True)
    turn.report(NoticeKind.AGENT_SHUTDOWN)
    turn.touch(*turn.node.apps)
