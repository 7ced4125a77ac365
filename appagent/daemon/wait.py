"""`wait`: until every app that is named, or all, run what is wanted; and nothing said too early.

Theory of operation. What the node knows is always a little old. So whoever waits says when they
asked, and an app is spoken of only once each place that its deploy follows from (the listing of
its root, its files, its env files) was looked at by a look that began after that. Such looks are
asked for here (recheck.py), and asked for again until they have come. What is then still on its
way is waited for; what cannot get there by itself is refused.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING

from appagent.core.freshness import Place, unlisted, unseen
from appagent.core.release import short
from appagent.core.summary import View, view
from appagent.core.want import Kind
from appagent.daemon.recheck import Rechecks
from appagent.model.exit_codes import FAILED, LATER, Refused
from appagent.report.text import duration, one_line

if TYPE_CHECKING:
    from appagent.core.state import Node
    from appagent.daemon.loop import Agent

LOOKING = "scanning"  # the word for a look that was asked for and has not come
SHOWN = 10  # apps that a line names
QUIET = 1.0  # s in which a look that was asked for is no news
PAUSE = 10.0  # times as long as judging took is no judging


class Waiting:
    """Those who wait. What is judged for one of them is judged for all."""

    def __init__(self, agent: Agent) -> None:
        """Speak for an agent."""
        self.agent = agent
        self.rechecks = Rechecks(agent.watchers.recheck)
        self.node: Node | None = None
        self.views: dict[str, View] = {}  # of this very node

    def view(self, name: str) -> View:
        """What is to be said of an app now."""
        if self.agent.node is not self.node:
            self.node, self.views = self.agent.node, {}
        if name not in self.views:
            node = self.agent.node
            self.views[name] = view(node, node.apps[name], self.agent.now())
        return self.views[name]

    async def until_there(
        self, names: Sequence[str], since: float, most: float | None
    ) -> AsyncIterator[Mapping[str, object]]:
        """Yield a line whenever what is waited for changes; Refused if it cannot be reached.

        `names` are the apps, none: all of this node. `since` (mono) is when it was asked, `most`
        the longest to wait (s).
        """
        start = time.monotonic()
        until = start + most if most is not None else inf
        told, wait = "", Wait(self, tuple(dict.fromkeys(names)), since)
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
            news = ", ".join(words[:SHOWN]) + more(words)
            if news != told and (
                began > start + QUIET or any(word != LOOKING for _, word in open_ones)
            ):
                told = news
                progress = {"text": news, "apps": wait.count(), "waiting": len(open_ones)}
                yield {"line": f"waiting for {news}", "progress": progress}
            left = until - time.monotonic()
            if left <= 0:
                raise Refused(LATER, f"after {duration(most or 0)} still waiting for {news}")
            await asyncio.sleep(min(left, PAUSE * (time.monotonic() - began)))
            await self.agent.change(min(left, 1.0))


class Wait:
    """One who waits."""

    def __init__(self, waiting: Waiting, names: tuple[str, ...], since: float) -> None:
        self.waiting = waiting
        self.names = names
        self.since = since
        self.seen: set[str] = set()  # apps that were looked at since, wholly

    def judge(self) -> tuple[list[tuple[str, str]], list[View]]:
        """What is not there yet, with a word, and the apps that cannot get there by themselves."""
        node = self.waiting.agent.node
        open_ones: list[tuple[str, str]] = []
        hopeless = []
        if not self.names or any(name not in node.apps for name in self.names):
            for root in node.settings.roots:
                if self.ask(unlisted(node, root.path, self.since)) and not self.names:
                    state = node.roots.get(root.path)
                    known = state is not None and state.known and not state.stuck
                    why = "" if state is None else state.stuck or state.why
                    open_ones.append((root.path, LOOKING if known else because("unknown", why)))
        for name in self.names or sorted(node.apps):
            if name not in node.apps:
                open_ones.append((one_line(name, 80), self.not_an_app(name)))
                continue
            seen = self.waiting.view(name)
            if seen.want.word == "unmanaged":
                continue
            if seen.want.kind is not Kind.STOPPED and not self.looked_at(name):
                word = because(seen.word, seen.why)
                open_ones.append((name, LOOKING if seen.reached is not None else word))
            elif seen.reached is False:
                hopeless.append(seen)
            elif seen.reached is None or seen.want.kind is Kind.GONE:
                open_ones.append((name, because(seen.word, seen.why)))
        return open_ones, hopeless

    def not_an_app(self, name: str) -> str:
        """Say why there is no app of this name yet."""
        for path, why in self.waiting.agent.node.refused.items():
            if path.rpartition("/")[2] == name:
                return f"refused: {one_line(why)}"
        return "not seen yet"

    def count(self) -> int:
        """Count the apps that are waited for."""
        return len(self.names) or len(self.waiting.agent.node.apps)

    def done(self, seconds: float) -> Mapping[str, object]:
        """Tell what was reached: a single app, or the apps that are not `ok` but as wanted."""
        node = self.waiting.agent.node
        names = [name for name in self.names or sorted(node.apps) if name in node.apps]
        views = [self.waiting.view(name) for name in names]
        apps = [
            {"app": each.app, "state": each.word, "release": short(each.want.version.release)}
            for each in views
            if len(views) == 1 or each.word != "ok"
        ]
        return {"count": len(views), "apps": apps[:SHOWN], "seconds": round(seconds, 3)}

    def looked_at(self, name: str) -> bool:
        """Whether an app was looked at since it was asked for; else have that done."""
        if name not in self.seen:
            node = self.waiting.agent.node
            if self.ask(unseen(node, node.apps[name], self.since)):
                return False
            self.seen.add(name)
        return True

    def ask(self, places: Mapping[Place, float]) -> bool:
        """Ask for looks at these places; whether there are any."""
        now = time.monotonic()
        for place, since in places.items():
            if since <= now:
                self.waiting.rechecks.ask(place, since)
        return bool(places)


def because(word: str, why: str) -> str:
    """Give a word with its reason, where that is what a person needs and no count of seconds."""
    return f"{word}: {one_line(why)}" if word == "unknown" and why else word


def more(these: Sequence[object]) -> str:
    """How many are not named."""
    return f" and {len(these) - SHOWN} more" if len(these) > SHOWN else ""
