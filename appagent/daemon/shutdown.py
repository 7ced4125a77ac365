"""The machine shuts down: apps with `on_shutdown: stop` are stopped by their Makefiles first.

The core wants them stopped and runs the stops side by side; this only waits for them, and asks
systemd for more time as long as there is something to wait for.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from appagent.core.state import App, Node
from appagent.core.summary import view
from appagent.daemon.loop import Loop
from appagent.host import boot
from appagent.model.events import ShuttingDown
from appagent.model.words import Now, Target

INTERVAL = 1.0  # s at most between two comparisons
EXTENSION = 10.0  # s of time that systemd is asked for, each second anew


async def stop_apps(
    loop: Loop, without_scopes: Callable[[], None], extend: Callable[[float], None]
) -> None:
    """Stop what is to be stopped, if the machine shuts down; return when all of it is.

    `extend` asks the service manager for more time (s). `without_scopes` has runs start without a
    scope: systemd starts no unit any more.
    """
    concerned = [app for app in loop.node.apps.values() if wants_stop(loop.node, app)]
    if not concerned or not await boot.is_shutting_down():
        return
    without_scopes()
    loop.feed(ShuttingDown())
    until = time.monotonic() + max(longest(loop.node, app) for app in concerned)
    while busy(loop.node, loop.now()) and time.monotonic() < until:
        extend(EXTENSION)
        await loop.change(INTERVAL)


def wants_stop(node: Node, app: App) -> bool:
    """Whether an app may run and is to be stopped with the machine."""
    stops = node.settings_of(app).on_shutdown == "stop"
    return stops and app.record.applied.may_run == node.boot


def longest(node: Node, app: App) -> float:
    """How long an app may take (s): the run under way, and its stop."""
    settings = node.settings_of(app)
    running = app.run.longest + app.run.grace if app.run is not None else 0.0
    return running + settings.timeout[Target.STOP] + settings.grace + EXTENSION


def busy(node: Node, now: Now) -> bool:
    """Whether an app is still being stopped; one whose stop failed is not waited for again."""
    return any(
        wants_stop(node, app)
        and app.attempt.backoff is None
        and (app.run is not None or view(node, app, now).plan)
        for app in node.apps.values()
    )
