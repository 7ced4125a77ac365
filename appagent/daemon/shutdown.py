"""The machine goes down: apps with `on_shutdown: stop` are stopped by their Makefiles first.

The core wants them stopped and runs the stops side by side; here it is only waited for them, and
systemd is asked for more time as long as there is something to wait for.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from appagent.core.state import App
from appagent.core.summary import view
from appagent.host import boot
from appagent.model.events import ShuttingDown
from appagent.model.words import Target

if TYPE_CHECKING:
    from appagent.daemon.loop import Agent

LOOK_AGAIN = 1.0  # s
AHEAD = 10.0  # s of time that are asked for, each second anew


async def stop_apps(agent: Agent) -> None:
    """Stop what is to be stopped, if the machine goes down; return when nothing is left to do."""
    concerned = [app for app in agent.node.apps.values() if wants_stop(agent, app)]
    if not concerned or not await boot.is_shutting_down():
        return
    agent.runner.spawner.without_scopes()
    agent.feed(ShuttingDown())
    longest = max(bound(agent, app) for app in concerned)
    until = time.monotonic() + longest
    while busy(agent) and time.monotonic() < until:
        agent.service.extend(AHEAD)
        await agent.change(LOOK_AGAIN)


def wants_stop(agent: Agent, app: App) -> bool:
    """Whether an app may run and is to be stopped with the machine."""
    settings = agent.node.settings_of(app)
    return settings.on_shutdown == "stop" and app.record.applied.may_run == agent.node.boot


def bound(agent: Agent, app: App) -> float:
    """How long an app may take: the run that is under way, and its stop."""
    settings = agent.node.settings_of(app)
    running = app.run.longest + app.run.grace if app.run is not None else 0.0
    return running + settings.timeout[Target.STOP] + settings.grace + AHEAD


def busy(agent: Agent) -> list[str]:
    """The apps that are still being stopped; one whose stop failed is not waited for again."""
    now = agent.now()
    return [
        app.name
        for app in agent.node.apps.values()
        if wants_stop(agent, app)
        and app.attempt.backoff is None
        and (app.run is not None or view(agent.node, app, now).plan)
    ]
