"""The loop: events in, commands out.

Theory of operation. Everything that happens becomes an event; `feed` passes it to `core.step` and
carries out the commands it returns, in order. This is the only place that changes the node, and it
never awaits, so decisions are never interleaved. The tasks around it only turn I/O into events:
what a watcher saw, the end of a run, a person's request, a timer.

The parts of the daemon are given the loop, and know nothing of the agent that holds them all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from typing import Unpack

from appagent.core import reduce as core
from appagent.core.state import Node
from appagent.host import clock
from appagent.model.commands import Answer, Command
from appagent.model.events import Ticked
from appagent.model.exit_codes import INTERNAL_ERROR, OK, SOFTWARE
from appagent.model.notices import Fields, Notice, NoticeKind, Reporter, notice
from appagent.model.words import Event, Now
from appagent.report.log import Log
from appagent.shim import failpoint

MIN_TICK = 0.02  # s between two ticks, however often time matters

_NO_ANSWER = Answer(SOFTWARE, "the core gave no answer")


class Loop:
    """The node of one daemon, and the one way to change it."""

    def __init__(
        self, node: Node, secret: bytes, log: Log, carry_out: Callable[[Command], None]
    ) -> None:
        """`secret` is the key of the digests of env values."""
        self.node = node
        self.secret = secret
        self.end = asyncio.Event()  # set: the agent is to end
        self.code = OK  # the exit code then
        self.log = log
        self.reporters: list[Reporter] = [log]
        self._carry_out = carry_out
        self._events: deque[Event] = deque()
        self._feeding = False
        self._answer = _NO_ANSWER
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()

    def now(self) -> Now:
        """The time."""
        return clock.now()

    def feed(self, event: Event) -> None:
        """Give an event to the core and carry out what it decides. Never interleaved."""
        self._events.append(event)
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._events:
                self.node, commands = core.step(self.node, self._events.popleft(), self.now())
                for command in commands:
                    if isinstance(command, Answer):
                        self._answer = command
                    else:
                        self._carry_out(command)
        except Exception:
            self.fail("the core or a command failed")
            raise
        finally:
            self._feeding = False
        self._arm()
        self._changed.set()
        self._changed = asyncio.Event()

    def ask(self, event: Event) -> Answer:
        """Feed a person's request; the core's answer to it."""
        self._answer = _NO_ANSWER
        self.feed(event)
        return self._answer

    async def change(self, timeout: float) -> None:  # noqa: ASYNC109 - no change is no error
        """Wait until something changed, at most `timeout` seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout)

    def report(self, notices: Iterable[Notice]) -> None:
        """Give notices to all reporters."""
        for each in notices:
            for reporter in self.reporters:
                reporter.report(each)

    def note(self, kind: NoticeKind, app: str = "", /, **fields: Unpack[Fields]) -> None:
        """Report what happened to the agent."""
        self.report([notice(kind, self.now(), app, **fields)])

    def fail(self, text: str, error: BaseException | None = None) -> None:
        """Log an internal error with its traceback and end; apps and their runs keep running."""
        self.log.fault(f"{INTERNAL_ERROR}: {text}; the agent ends and is started again", error)
        self.code = SOFTWARE
        self.end.set()

    def hit(self, what: str, app: str) -> None:
        """Pass a failpoint of an app's run, e.g. `agent.ended.install`; only tests arm one."""
        found = self.node.apps.get(app)
        if found is not None and found.run is not None:
            failpoint.hit(f"agent.{what}.{found.run.target}")

    def close(self) -> None:
        """Wake up no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        """Wake up when time alone may matter."""
        self.close()
        now = self.now()
        wait = core.next_wake(self.node, now) - now.mono
        self._timer = None
        if wait != inf and not self.end.is_set():
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(MIN_TICK, wait), self.feed, Ticked())
