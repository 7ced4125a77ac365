"""The words of each kind of notice, and its level: a table for each level.

A message does not name the app: a log puts the name before it, a table has a column for it. Most
are templates over the notice's fields, with short releases; the others are functions of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from appagent.core.release import short
from appagent.model.notices import Level, Notice, NoticeKind
from appagent.model.words import Outcome
from appagent.report.text import count

_RELEASES = ("release", "previous", "newer", "rollback")

_TIMES = ("queue_ms", "duration_ms", "run_ms", "settled_ms", "wait_s")
_NUMBERS = frozenset((*_TIMES, "apps", "attempt", "count", "pid", "roots"))

_BAD = frozenset((Outcome.FAILED, Outcome.TIMEOUT, Outcome.REFUSED))


class _Fields(dict[str, Any]):
    """The fields of a notice and its app, for people; one that is missing is "" or 0."""

    def __init__(self, notice: Notice) -> None:
        super().__init__(notice.fields, app=notice.app)
        self.update({name: short(self[name]) for name in _RELEASES if name in self})

    def __missing__(self, name: str) -> str | int:
        return 0 if name in _NUMBERS else ""

    def seconds(self, name: str) -> str:
        """A time in milliseconds, in seconds."""
        return f"{self[name] / 1000:.1f}"


_Words = str | Callable[[_Fields], str]


def message(notice: Notice) -> str:
    """The message of a notice, without the name of its app."""
    _, words = _TABLE[notice.kind]
    fields = _Fields(notice)
    return words.format_map(fields) if isinstance(words, str) else words(fields)


def text(notice: Notice) -> str:
    """The whole line for a log."""
    return f"{notice.app}: {message(notice)}" if notice.app else message(notice)


def level(notice: Notice) -> Level:
    """How important it is. Of a run the outcome decides; the same failure again is less loud."""
    usual, _ = _TABLE[notice.kind]
    outcome, repeated = notice.fields.get("outcome", ""), "repeated" in notice.fields
    if notice.kind is NoticeKind.RUN_ENDED:
        if outcome in _BAD:
            return Level.WARNING if repeated else Level.ERROR
        if outcome == Outcome.MISSING:  # nothing ran
            return Level.DEBUG
        if outcome == Outcome.LOST or (outcome == Outcome.BUSY and not repeated):
            return Level.WARNING
    if notice.kind is NoticeKind.DEPLOY_BEGAN and "rollback" in notice.fields:
        return Level.DEBUG  # the failed deploy has announced it
    return usual


def _make(fields: _Fields) -> str:
    """Which targets make was called with; before that is known, which it may be."""
    calls, steps = fields["calls"].split(), fields["steps"].split()
    return "make " + (" and ".join(calls) or " or ".join(steps) or fields["target"])


def _run_began(fields: _Fields) -> str:
    return f"{_make(fields)} ({fields['reason']})"


def _run_ended(fields: _Fields) -> str:
    outcome, seconds = fields["outcome"], fields.seconds("duration_ms")
    how = {
        Outcome.OK: f"succeeded in {seconds} s",
        Outcome.FAILED: f"failed after {seconds} s",
        Outcome.TIMEOUT: f"timed out after {seconds} s",
        Outcome.MISSING: "skipped: the Makefile has no such target",
        Outcome.REFUSED: "was refused",
        Outcome.MOVED: "did not run, the release has moved",
        Outcome.BUSY: "did not run",
        Outcome.CANCELLED: f"was cancelled after {seconds} s",
        Outcome.LOST: "was interrupted",
    }.get(outcome, str(outcome))
    return f"{_make(fields)} {how}" + (f": {fields['line']}" if fields["line"] else "")


def _run_found(fields: _Fields) -> str:
    return (
        f"found {_make(fields)} (pid {fields['pid']}) without a record; "
        f"waiting for it to end before anything else of {fields['app']} runs"
    )


def _deploy_seen(fields: _Fields) -> str:
    if fields["reason"]:
        return f"change detected: {fields['release']} ({fields['reason']})"
    return "change detected; waiting for it to settle"


def _deploy_done(fields: _Fields) -> str:
    return (
        f"deployed {fields['release']} in {fields.seconds('duration_ms')} s "
        f"(settle {fields.seconds('settled_ms')}, queue {fields.seconds('queue_ms')}, "
        f"run {fields.seconds('run_ms')})"
    )


def _deploy_failed(fields: _Fields) -> str:
    failed = f"{fields['target']} of {fields['release']} failed"
    if fields["rollback"]:
        return f"rolling back to {fields['rollback']} ({failed})"
    return f"{failed}; not rolling back. To try again: appagent trigger {fields['app']}"


def _deploy_superseded(fields: _Fields) -> str:
    if fields["newer"]:
        return f"{fields['release']} is superseded by {fields['newer']}"
    return f"the deploy of {fields['release']} ends: {fields['reason']}"


def _app_unknown(fields: _Fields) -> str:
    stopped = f"; will be stopped in {fields['wait_s']:.0f} s" if "wait_s" in fields else ""
    return f"{fields['reason']}{stopped}"


def _app_waiting(fields: _Fields) -> str:
    changing = f"these keep changing: {fields['path']}" if fields["path"] else "it keeps changing"
    text = f"not settled after {fields['wait_s']:g} s: {fields['incomplete'] or changing}"
    return text + _ignore(fields, "to leave them out")


def _app_churning(fields: _Fields) -> str:
    return (
        f"deployed {fields['count']} times lately; the next deploy waits {fields['wait_s']:g} s. "
        f"Changed: {fields['path'] or 'unknown'}{_ignore(fields, 'if the app writes them itself')}."
        f" To deploy now: appagent trigger {fields['app']}"
    )


def _ignore(fields: _Fields, when: str) -> str:
    lines = ", ".join(f'"{line}"' for line in fields["ignore"].splitlines())
    return f"; {when}: ignore: [{lines}]" if lines else ""


def _app_exited(fields: _Fields) -> str:
    wait = f"next start in {fields['wait_s']:g} s"
    return f"all its processes have exited; {wait if 'wait_s' in fields else 'on_exit: report'}"


def _triggered(fields: _Fields) -> str:
    return f"{fields['target'] or 'deploy'} triggered by {fields['reason']}"


def _resumed(fields: _Fields) -> str:
    return f"resumed by {fields['by']}" if fields["by"] else f"hold expired ({fields['reason']})"


def _agent_ready(fields: _Fields) -> str:
    roots = count(fields["roots"], "root")
    apps = count(fields["apps"], "app") if fields["apps"] else "no apps yet"
    return f"appagent {fields['version']} started (pid {fields['pid']}): {roots}, {apps}"


def _damaged(fields: _Fields) -> str:
    return f"{fields['path']} is damaged ({fields['error']}); {_kept(fields)}"


def _newer(fields: _Fields) -> str:
    return f"{fields['path']} is from a newer appagent ({fields['error']}); {_kept(fields)}"


def _kept(fields: _Fields) -> str:
    failed = f"cannot move it aside: {fields['line']}"
    return f"moved to {fields['aside']}" if fields["aside"] else failed


def _history_works(fields: _Fields) -> str:
    lost = f"; {fields['count']} events are missing in it" if fields["count"] else ""
    return f"{fields['path']} can be written again{lost}"


# The words of each kind, a table for each level.
_DEBUG: dict[NoticeKind, _Words] = {
    NoticeKind.DEPLOY_SEEN: _deploy_seen,
    NoticeKind.DEPLOY_SETTLED: "{release} has settled ({reason})",
    NoticeKind.DEPLOY_VOID: "back to what is applied; nothing to deploy",
    NoticeKind.RUN_BEGAN: _run_began,
    NoticeKind.RUN_CANCELLED: "cancelling make {target}: {reason}",
}
_INFO: dict[NoticeKind, _Words] = {
    NoticeKind.DEPLOY_BEGAN: "deploying {release} ({reason})",
    NoticeKind.DEPLOY_DONE: _deploy_done,
    NoticeKind.DEPLOY_RETRYING: "make {target}: try {attempt} in {wait_s:g} s",
    NoticeKind.DEPLOY_SUPERSEDED: _deploy_superseded,
    NoticeKind.RUN_ENDED: _run_ended,
    NoticeKind.RUN_RESULT: _run_ended,
    NoticeKind.APP_KNOWN: "no longer {reason}",
    NoticeKind.APP_REMOVED: "removed from {root}",
    NoticeKind.APP_MOVED: "moved from {old_root} to {root}",
    NoticeKind.APP_RERECORDED: "same files under a new id; nothing to deploy",
    NoticeKind.APP_RUNNING_AGAIN: "has running processes again",
    NoticeKind.APP_TRIGGERED: _triggered,
    NoticeKind.APP_HELD: "held by {by}: {reason}",
    NoticeKind.APP_RESUMED: _resumed,
    NoticeKind.ROOT_KNOWN: "{path} is available again",
    NoticeKind.WATCHER_BACK: "the watcher of {path} answers again",
    NoticeKind.NODE_HELD: "all apps are held by {by}: {reason}",
    NoticeKind.NODE_RESUMED: lambda fields: f"the node: {_resumed(fields)}",
    NoticeKind.CONFIG_LOADED: "configuration loaded: {path}",
    NoticeKind.AGENT_READY: _agent_ready,
    NoticeKind.AGENT_SHUTDOWN: "the machine is shutting down; stopping apps with on_shutdown: stop",
    NoticeKind.AGENT_STOPPING: "appagent stops; apps and runs keep running",
    NoticeKind.STORE_WORKS: "{path} can be written again",
    NoticeKind.HISTORY_WORKS: _history_works,
}
_WARNING: dict[NoticeKind, _Words] = {
    NoticeKind.DEPLOY_FAILED: _deploy_failed,
    NoticeKind.RUN_WARNING: "{line}",
    NoticeKind.RUN_FOUND: _run_found,
    NoticeKind.APP_UNKNOWN: _app_unknown,
    NoticeKind.APP_REFUSED: "{path}: {reason}",
    NoticeKind.APP_WAITING: _app_waiting,
    NoticeKind.APP_CHURNING: _app_churning,
    NoticeKind.APP_FORGOTTEN: "forgotten by {by}",
    NoticeKind.ROOT_UNKNOWN: "{path}: {reason}; no run starts there until it is available again",
    NoticeKind.WATCHER_STUCK: "{reason}; apps keep running, no run starts until it answers",
    NoticeKind.CONFIG_WARNING: "{line}",
    NoticeKind.STORE_DAMAGED: _damaged,
    NoticeKind.STORE_NEWER: _newer,
    NoticeKind.STORE_SECRET: "created a new {path}: conf ids change, so running apps are restarted",
    NoticeKind.HISTORY_FAILED: "cannot write {path}: {error}; continuing without history",
    NoticeKind.HISTORY_DAMAGED: _damaged,
    NoticeKind.HISTORY_NEWER: _newer,
    NoticeKind.HISTORY_UNREADABLE: "cannot read {path}: {error}",
}
_ERROR: dict[NoticeKind, _Words] = {
    NoticeKind.APP_BLOCKED: "{reason}",
    NoticeKind.APP_NO_ROLLBACK: "cannot roll back to {release}: {line}",
    NoticeKind.APP_EXITED: _app_exited,
    NoticeKind.CONFIG_REFUSED: "configuration refused, the old one stays in force: {error}",
    NoticeKind.AGENT_FAILED: "cannot listen at {path}: {error}",
    NoticeKind.STORE_FAILED: "cannot write {path}: {error}; keeping it in memory",
    NoticeKind.STORE_UNREADABLE: "cannot read {path}: {error}",
}
_TABLE = {
    kind: (level, words)
    for level, table in (
        (Level.DEBUG, _DEBUG),
        (Level.INFO, _INFO),
        (Level.WARNING, _WARNING),
        (Level.ERROR, _ERROR),
    )
    for kind, words in table.items()
}
