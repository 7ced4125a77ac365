"""What happened on this node, as data: a kind and its fields.

The words that people read are made of it in `report/messages.py`, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypedDict, Unpack, cast

from appagent.model.words import Now


class Level(StrEnum):
    """How important a line of the log is."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class NoticeKind(StrEnum):
    """What happened. The values are the `kind` of a JSON line and KIND in the journal."""

    DEPLOY_SEEN = "deploy.seen"
    DEPLOY_SETTLED = "deploy.settled"
    DEPLOY_BEGAN = "deploy.began"
    DEPLOY_DONE = "deploy.done"
    DEPLOY_FAILED = "deploy.failed"
    DEPLOY_RETRYING = "deploy.retrying"
    DEPLOY_SUPERSEDED = "deploy.superseded"
    DEPLOY_VOID = "deploy.void"  # what was seen went back to what is applied before a run began

    RUN_BEGAN = "run.began"
    RUN_ENDED = "run.ended"
    RUN_CANCELLED = "run.cancelled"
    RUN_WARNING = "run.warning"
    RUN_FOUND = "run.found"  # it is alive, and no record has it
    RUN_RESULT = "run.result"  # of an earlier agent's run; for the history alone

    APP_UNKNOWN = "app.unknown"
    APP_BLOCKED = "app.blocked"
    APP_KNOWN = "app.known"
    APP_REFUSED = "app.refused"
    APP_REMOVED = "app.removed"
    APP_MOVED = "app.moved"
    APP_RERECORDED = "app.rerecorded"
    APP_WAITING = "app.waiting"
    APP_CHURNING = "app.churning"
    APP_NO_ROLLBACK = "app.no_rollback"
    APP_EXITED = "app.exited"
    APP_RUNNING_AGAIN = "app.running_again"
    APP_TRIGGERED = "app.triggered"
    APP_HELD = "app.held"
    APP_RESUMED = "app.resumed"
    APP_FORGOTTEN = "app.forgotten"

    ROOT_UNKNOWN = "root.unknown"
    ROOT_KNOWN = "root.known"
    WATCHER_STUCK = "watcher.stuck"
    WATCHER_BACK = "watcher.back"

    NODE_HELD = "node.held"
    NODE_RESUMED = "node.resumed"
    CONFIG_LOADED = "config.loaded"
    CONFIG_REFUSED = "config.refused"
    CONFIG_WARNING = "config.warning"
    AGENT_READY = "agent.ready"
    AGENT_FAILED = "agent.failed"
    AGENT_SHUTDOWN = "agent.shutdown"
    AGENT_STOPPING = "agent.stopping"

    STORE_FAILED = "store.failed"
    STORE_WORKS = "store.works"
    STORE_DAMAGED = "store.damaged"
    STORE_NEWER = "store.newer"
    STORE_UNREADABLE = "store.unreadable"
    STORE_SECRET = "store.secret"  # noqa: S105 - no password
    HISTORY_FAILED = "history.failed"
    HISTORY_WORKS = "history.works"
    HISTORY_DAMAGED = "history.damaged"
    HISTORY_NEWER = "history.newer"
    HISTORY_UNREADABLE = "history.unreadable"


class Fields(TypedDict, total=False):
    """All that a notice may have. The names are JSON keys; the journal has them in upper case."""

    adopted: str  # "yes": an earlier agent began the run
    apps: int
    aside: str  # where a file is kept that cannot be used
    attempt: int
    by: str  # the person who asked
    calls: str  # the targets that make was called with, separated by spaces
    conf: str
    count: int
    deploy_id: str
    duration_ms: int  # of a run; or seen → done
    error: str
    exit_code: int | None
    how: str  # by which event it was seen
    ignore: str  # the `ignore` lines that would help, one a line
    incomplete: str  # what shows that a release is half there
    line: str  # one line: why a run failed, or what a part warns of
    newer: str  # the release that supersedes
    old_root: str
    outcome: str
    path: str
    permit: str
    pid: int
    previous: str
    queue_ms: int  # settled → began
    reason: str
    release: str
    repeated: str  # "yes": the same as the last time
    rollback: str  # the release that the node goes back to
    root: str
    roots: int
    run_id: str
    run_ms: int  # began → done
    settled_ms: int  # seen → settled
    steps: str  # the targets that a run may come to, separated by spaces
    tail: str  # the last output
    target: str
    version: str
    wait_s: float | None  # seconds until the next try; or that were waited


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that happened; all that reporters are given."""

    kind: NoticeKind
    at: Now
    app: str = ""
    fields: Fields = field(default_factory=Fields)


def notice(kind: NoticeKind, at: Now, app: str = "", /, **fields: Unpack[Fields]) -> Notice:
    """Make a notice; fields that say nothing ("" and None) are left out."""
    known = {name: value for name, value in fields.items() if value not in ("", None)}
    return Notice(kind, at, app, cast("Fields", known))


class Reporter(Protocol):
    """Whoever wants to know what happened: the log, the history."""

    def report(self, notice: Notice, /) -> None:
        """Take a notice. Never raises and never waits."""
