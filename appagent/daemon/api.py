"""What clients can ask of the daemon over its socket, and who may."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from appagent import __version__
from appagent.daemon.client import MOST_DEPLOYS
from appagent.daemon.control import Peer, Request, Verb
from appagent.daemon.loop import Loop
from appagent.daemon.recheck import Rechecks
from appagent.daemon.reload import Configuration
from appagent.daemon.runner import Runner
from appagent.daemon.wait import Waiting
from appagent.daemon.watchers import Watchers
from appagent.host import accounts, units
from appagent.host.text import one_line
from appagent.model.applied import Hold
from appagent.model.events import Cancel, Forget, HoldAsked, ResumeAsked, Trigger
from appagent.model.exit_codes import FAILED, OK, USAGE, Refused
from appagent.model.words import Event, Target
from appagent.report import status as show
from appagent.report.history import History
from appagent.state.store import Store

Lines = AsyncIterator[Mapping[str, object]]
NAMES_MOST = 1000  # of a wait
SECONDS_MOST = 1e9  # 30 years


def who(peer: Peer) -> str:
    """The name of a client's user, for a person. No name service is asked: it could hang."""
    return "root" if peer.uid == 0 else accounts.user_name(peer.uid)


def text_of(request: Request, name: str, most: int = 200) -> str:
    """A string of the request, or ""."""
    value = request.get(name, "")
    if not isinstance(value, str) or len(value) > most:
        raise Refused(USAGE, f"{name} must be a string of at most {most} characters")
    try:
        value.encode()
    except UnicodeEncodeError:  # undecodable bytes of a command line; they cannot be stored
        raise Refused(USAGE, f"{name} must be UTF-8") from None
    return value


def seconds_of(request: Request, name: str) -> float | None:
    """A number of seconds of the request, or None."""
    value = request.get(name)
    if value is None:
        return None
    # Compared first: a whole number may be too large for anything but that.
    if not isinstance(value, int | float) or not 0 <= value <= SECONDS_MOST:
        raise Refused(USAGE, f"{name} must be a number of seconds, {SECONDS_MOST:.0f} at most")
    return float(value)


@dataclass
class Verbs:
    """The daemon's answers. Reading never changes anything; a change is an event for the core."""

    loop: Loop
    configuration: Configuration
    watchers: Watchers
    runner: Runner
    history_db: History
    store: Store

    def __post_init__(self) -> None:
        """Keep when the agent started, and the clients that wait."""
        self.since = self.loop.now()
        self.waiting = Waiting(self.loop, Rechecks(self.watchers.recheck))

    def table(self) -> dict[str, Verb]:
        """Every verb by its name."""
        return {
            "status": Verb(self.status, costly=True),
            "explain": Verb(self.explain, costly=True),
            "history": Verb(self.history, costly=True),
            "wait": Verb(self.wait),
            "where": Verb(self.where),
            "trigger": Verb(self.trigger, changes=True),
            "cancel": Verb(self.cancel, changes=True),
            "hold": Verb(self.hold, changes=True),
            "resume": Verb(self.resume, changes=True),
            "forget": Verb(self.forget, changes=True),
        }

    # --- reading ---------------------------------------------------------------------------------

    def data(self) -> show.Data:
        """The whole node as plain data."""
        now = self.loop.now()
        found = show.node_data(self.loop.node, now, self.watchers.intervals())
        found["agent"] = {
            "version": __version__,
            "pid": os.getpid(),
            "since": self.since.wall,
            "user": os.geteuid(),
        }
        found["watchers"] = self.watchers.data(now.mono)
        slow = self.watchers.slow()
        for app in found["apps"]:
            app["slow"] = show.slow_data(slow.get((app["root"], app["app"])))
        found["unwritten"] = list(self.store.unwritten)
        configuration = self.configuration
        found["config"] = {
            "files": list(configuration.loaded.files), "refused": configuration.refused
        }  # fmt: skip
        return found

    async def status(self, request: Request, _: Peer) -> Lines:
        """The node, or one app."""
        name = self.app_of(request, optional=True)
        found = self.data()
        if name:
            found["apps"] = [app for app in found["apps"] if app["app"] == name]
        names = [app["app"] for app in found["apps"]]
        usage = await asyncio.to_thread(self.runner.usage, names)
        ended = await asyncio.to_thread(self.history_db.last_ends)
        for app in found["apps"]:
            app["usage"] = usage[app["app"]]
            app["since"] = app["since"] or ended.get(app["app"])
        yield {"data": found}

    def app_of(self, request: Request, *, optional: bool = False) -> str:
        """Return the app that a request names, "" for the whole node; refuse an unknown one."""
        name = text_of(request, "app")
        if name or not optional:
            self.known(name)
        return name

    def known(self, name: str) -> None:
        """Refuse a name that no app of this node has."""
        if name in self.loop.node.apps:
            return
        for path, why in self.loop.node.refused.items():
            if path.rpartition("/")[2] == name:
                raise Refused(FAILED, f"{path} is not an app: {why}")
        shown = one_line(name, 80)
        raise Refused(USAGE, f"no app {shown} on this node; `appagent status` lists them")

    async def explain(self, request: Request, _: Peer) -> Lines:
        """The comparison for one app, and for a tree what changed."""
        app = self.loop.node.apps[self.app_of(request)]
        changes = await asyncio.to_thread(self.watchers.changes, app)
        now = self.loop.now()
        data = show.app_data(self.loop.node, app, now)
        yield {"data": {**data, "changes": list(changes), "now": now.wall}}

    async def history(self, request: Request, _: Peer) -> Lines:
        """Deploys and runs, newest first: a deploy a line, and one at a time in memory."""
        name = text_of(request, "app")
        limit = int(seconds_of(request, "limit") or 20)
        if limit > MOST_DEPLOYS:
            raise Refused(USAGE, f"limit must be at most {MOST_DEPLOYS}")
        alive = {app.run.id for app in self.loop.node.apps.values() if app.run}
        attempts = (app.attempt for app in self.loop.node.apps.values())
        current = {attempt.deploy.id for attempt in attempts if attempt.deploy}
        deploys = self.history_db.deploys(name or None, limit, alive | current)
        deploy = await asyncio.to_thread(next, deploys, None)
        if name and deploy is None:
            self.known(name)  # what was forgotten long ago may still be read
        while deploy is not None:
            yield {"deploy": deploy}
            deploy = await asyncio.to_thread(next, deploys, None)

    async def where(self, request: Request, _: Peer) -> Lines:
        """Where an app's output goes: a file, or the journal, found by these matches of journalctl.

        `matches` also finds what the agent logs of the app, `output` only what the app prints.
        """
        name = self.app_of(request)
        log = self.runner.log_file(name)
        found: dict[str, object] = {"file": log, "matches": [], "output": []}
        if not log:
            found["matches"] = units.log_matches(name, os.geteuid())
            found["output"] = units.output_matches(name, os.geteuid())
        yield {"data": found}

    # --- waiting ---------------------------------------------------------------------------------

    async def wait(self, request: Request, _: Peer) -> Lines:
        """Until every app, or those named, run what is wanted."""
        asked = request.get("apps") or []
        if not isinstance(asked, list) or not all(isinstance(name, str) for name in asked):
            raise Refused(USAGE, "apps must be a list of names")
        names = [str(name) for name in asked]
        if len(names) > NAMES_MOST:
            raise Refused(USAGE, f"{NAMES_MOST} apps at most; without names: all of them")
        since, timeout = self.loop.now().mono, seconds_of(request, "timeout")
        async for line in self.waiting.until_there(names, since, timeout):
            yield line

    # --- changing --------------------------------------------------------------------------------

    def feed(self, event: Event) -> str:
        """Ask the core; its answer, or Refused."""
        answer = self.loop.ask(event)
        if answer.code != OK:
            raise Refused(answer.code, answer.text)
        return answer.text

    async def trigger(self, request: Request, peer: Peer) -> Lines:
        """Do it now; with wait, until it is there."""
        name, word = self.app_of(request), text_of(request, "target")
        try:
            target = Target(word) if word else None
        except ValueError:
            names = ", ".join(Target)
            shown = one_line(word, 80)
            raise Refused(USAGE, f"{shown} is not a target; expected one of {names}") from None
        since, timeout = self.loop.now().mono, seconds_of(request, "timeout")
        text = self.feed(Trigger(name, target, who(peer)))
        yield {"line": text}
        if request.get("wait") is True:
            async for line in self.waiting.until_there([name], since, timeout):
                yield line

    async def cancel(self, request: Request, peer: Peer) -> Lines:
        """End a running build or install, or a backoff."""
        yield {"line": self.feed(Cancel(self.app_of(request), who(peer)))}

    async def hold(self, request: Request, peer: Peer) -> Lines:
        """Deploy nothing new."""
        why = one_line(text_of(request, "why", 500), 500)
        if not why:
            raise Refused(USAGE, "a hold needs a reason: hold --why WORDS")
        name, span = self.app_of(request, optional=True), seconds_of(request, "for")
        until = time.time() + span if span is not None else None
        yield {"line": self.feed(HoldAsked(name or None, Hold(why, until, who(peer))))}

    async def resume(self, request: Request, peer: Peer) -> Lines:
        """End a hold and a stop."""
        name = self.app_of(request, optional=True) or None
        yield {"line": self.feed(ResumeAsked(name, who(peer)))}

    async def forget(self, request: Request, peer: Peer) -> Lines:
        """Confirm that an app was removed."""
        yield {"line": self.feed(Forget(self.app_of(request), who(peer)))}
