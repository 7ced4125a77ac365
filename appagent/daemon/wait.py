"""`wait`: until all apps, or those that are named, run what is wanted; no answer comes too early.

Theory of operation. What the node knows is always a little old. So the time of the request counts:
an app is judged only once each source that its deploy follows from (the listing of its root, its
files, its env files) was polled by a poll that began after that. Such polls are requested here
(recheck.py), and requested again until they have come. What is then still in progress is waited
for; what cannot get there by itself is refused.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from math import inf

from appagent.core.freshness import Subject, unlisted, unseen
from appagent.core.release import short
from appagent.core.state import Node
from appagent.core.summary import View, view
from appagent.core.want import Kind
from appagent.daemon.loop import Loop
from appagent.daemon.recheck import Rechecks
from appagent.host.text import one_line
from appagent.model.exit_codes import FAILED, LATER, Refused
from appagent.report.text import duration

SCANNING = "scanning"  # a poll was requested and has not come
SHOWN = 10  # apps that a line names
QUIET = 1.0  # s in which a poll that has not come is not reported
PAUSE = 10.0  # times as long as judging took, until it is done again


class Waiting:
    """All clients that wait. What is judged for one of them is judged for all."""

    def __init__(self, loop: Loop, rechecks: Rechecks) -> None:
        """`rechecks` requests the polls."""
        self.loop = loop
        self.rechecks = rechecks
        self.node: Node | None = None
        self.views: dict[str, View] = {}  # of this very node

    def view(self, name: str) -> View:
        """The summary of an app now."""
        node = self.loop.node
        if node is not self.node:
            self.node, self.views = node, {}
        if name not in self.views:
            self.views[name] = view(node, node.apps[name], self.loop.now())
        return self.views[name]

    async def until_there(
        self, names: Sequence[str], since: float, most: float | None
    ) -> AsyncIterator[Mapping[str, object]]:
        """Yield a line whenever what is waited for changes; Refused if it cannot be reached.

        `names` are the apps, none: all of this node. `since` (mono) is the time of the request,
        `most` the longest time to wait (s).
        """
        start = time.monotonic()
        until = start + most if most is not None else inf
        shown, wait = "", Wait(self, tuple(dict.fromkeys(names)), since)
        while True:
            began = time.monotonic()
            open_ones, hopeless = wait.judge()
            if hopeless:
                lines = [f"{each.app}: {each.word}: {each.why}" for each in hopeless[:SHOWN]]
                raise Refused(FAILED, "; ".join(lines) + more(hopeless))
            if not open_ones:
                yield {"done": wait.done(time.monotonic() - start)}
                return
            words = [f"{name} ({word})" for name, word in open_ones]
            text = ", ".join(words[:SHOWN]) + more(words)
            if text != shown and (
                began > start + QUIET or any(word != SCANNING for _, word in open_ones)
            ):
                shown = text
                progress = {"text": text, "apps": wait.count(), "waiting": len(open_ones)}
                yield {"line": f"waiting for {text}", "progress": progress}
            remaining = until - time.monotonic()
            if remaining <= 0:
                raise Refused(LATER, f"after {duration(most or 0)} still waiting for {text}")
            await asyncio.sleep(min(remaining, PAUSE * (time.monotonic() - began)))
            await self.loop.change(min(remaining, 1.0))


class Wait:
    """One client that waits."""

    def __init__(self, waiting: Waiting, names: tuple[str, ...], since: float) -> None:
        self.waiting = waiting
        self.names = names
        self.since = since
        self.seen: set[str] = set()  # apps of which every subject was polled since

    def judge(self) -> tuple[list[tuple[str, str]], list[View]]:
        """What is not done yet, with its state, and the apps that cannot get there themselves."""
        node = self.waiting.loop.node
        open_ones: list[tuple[str, str]] = []
        hopeless = []
        if not self.names or any(name not in node.apps for name in self.names):
            for root in node.settings.roots:
                if self.ask(unlisted(node, root.path, self.since)) and not self.names:
                    state = node.roots.get(root.path)
                    known = state is not None and state.known and not state.stuck
                    why = "" if state is None else state.stuck or state.why
                    open_ones.append((root.path, SCANNING if known else because("unknown", why)))
        for name in self.names or sorted(node.apps):
            if name not in node.apps:
                open_ones.append((one_line(name, 80), self.not_an_app(name)))
                continue
            seen = self.waiting.view(name)
            if seen.want.word == "unmanaged":
                continue
            if seen.want.kind is not Kind.STOPPED and not self.is_fresh(name):
                word = because(seen.word, seen.why)
                open_ones.append((name, SCANNING if seen.reached is not None else word))
            elif seen.reached is False:
                hopeless.append(seen)
            elif seen.reached is None or seen.want.kind is Kind.REMOVED:
                open_ones.append((name, because(seen.word, seen.why)))
        return open_ones, hopeless

    def not_an_app(self, name: str) -> str:
        """Return why this node has no app of this name."""
        for path, why in self.waiting.loop.node.refused.items():
            if path.rpartition("/")[2] == name:
                return f"refused: {one_line(why)}"
        return "not seen yet"

    def count(self) -> int:
        """Count the apps that are waited for."""
        return len(self.names) or len(self.waiting.loop.node.apps)

    def done(self, seconds: float) -> Mapping[str, object]:
        """Report what was reached: a single app, or the apps that are not `ok` but as wanted."""
        node = self.waiting.loop.node
        names = [name for name in self.names or sorted(node.apps) if name in node.apps]
        views = [self.waiting.view(name) for name in names]
        apps = [
            {"app": each.app, "state": each.word, "release": short(each.want.version.release)}
            for each in views
            if len(views) == 1 or each.word != "ok"
        ]
        return {"count": len(views), "apps": apps[:SHOWN], "seconds": round(seconds, 3)}

    def is_fresh(self, name: str) -> bool:
        """Whether all of an app was polled since the request; else request it."""
        if name not in self.seen:
            node = self.waiting.loop.node
            if self.ask(unseen(node, node.apps[name], self.since)):
                return False
            self.seen.add(name)
        return True

    def ask(self, subjects: Mapping[Subject, float]) -> bool:
        """Request polls of these subjects; whether there are any."""
        now = time.monotonic()
        for subject, since in subjects.items():
            if since <= now:
                self.waiting.rechecks.ask(subject, since)
        return bool(subjects)


def because(word: str, why: str) -> str:
    """Give a word with its reason, where that is what a person needs and no count of seconds."""
    return f"{word}: {one_line(why)}" if word == "unknown" and why else word


def more(these: Sequence[object]) -> str:
    """Count those that are not named."""
    return f" and {len(these) - SHOWN} more" if len(these) > SHOWN else ""
