"""The node as plain data: what `status` and `explain` show, and the `--json` of both.

Programs rely on the keys: new ones may be added, none is renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from appagent.core.state import App, Node
from appagent.core.summary import view
from appagent.core.want import seen_version
from appagent.model.applied import Hold, Run
from appagent.model.seen import Slow
from appagent.model.words import Now, Version

Data = dict[str, Any]
LAST = ("run_id", "outcome", "exit_code", "line", "tail")  # shown of the last run that failed


def node_data(node: Node, now: Now, intervals: Mapping[str, float]) -> Data:
    """The whole node. `intervals`: how often each root is really polled (s)."""
    return {
        "node": node.settings.node,
        "now": now.wall,
        "environment": node.settings.environment,
        "fleet": "alone",
        "boot": node.boot,
        "stopping": node.stopping,
        "hold": hold_data(node.hold),
        "roots": [root_data(node, path, now, intervals) for path in sorted(node.roots)],
        "apps": [app_data(node, node.apps[name], now) for name in sorted(node.apps)],
        "refused": dict(sorted(node.refused.items())),
        "parallel_apps": node.settings.parallel_apps,
    }


def root_data(node: Node, path: str, now: Now, intervals: Mapping[str, float]) -> Data:
    """One root: whether it can be read, and since when not."""
    root = node.roots[path]
    known = root.known and not root.stuck
    return {
        "path": path,
        "known": known,
        "why": "" if known else root.stuck or root.why,
        "since_s": round(now.mono - root.since, 1),
        "fstype": root.seen.fstype if root.seen else "",
        "mounted": bool(root.seen and root.seen.mounted),
        "interval_s": intervals.get(path),
        "apps": sum(1 for app in node.apps.values() if app.record.root == path),
        "plain": list(root.seen.plain) if root.seen else [],
        "plain_count": root.seen.plain_count if root.seen else 0,
    }


def app_data(node: Node, app: App, now: Now) -> Data:
    """One app: what is seen, wanted, applied and going on."""
    seen = view(node, app, now)
    record, latest, last = app.record, app.seen.latest, app.last_failed
    applied, deploy = record.applied, app.attempt.deploy
    layout = latest.layout if latest else record.ran.layout if record.ran else None
    return {
        "app": app.name,
        "root": record.root,
        "state": seen.word,
        "why": seen.why,
        "reached": seen.reached,
        "since": since(node, app, seen.word, now),
        "layout": str(layout or ""),
        "seen": {
            "known": bool(latest and latest.known and app.seen.listed),
            "release": latest.release if latest else "",
            "release_dir": latest.release_dir if latest else "",
            "settled": bool(latest and latest.release == app.seen.settled),
            "incomplete": latest.incomplete if latest else "",
            "unknown_s": round(now.mono - latest.since, 1) if latest and not latest.known else None,
            "version": version_data(seen_version(node, app)),
        },
        "wanted": {"kind": str(seen.want.kind), **version_data(seen.want.version)},
        "applied": {
            "installed": applied.installed,
            "running": version_data(applied.running),
            "healthy": version_data(applied.healthy),
            "up": applied.up == node.boot and bool(node.boot),
            "may_run": applied.may_run == node.boot and bool(node.boot),
            "serving": applied.serving,
        },
        "last_good": version_data(record.last_good),
        "plan": [str(target) for target in seen.plan],
        "missing": sorted(app.makefile.missing),
        "run": run_data(app.run, now) if app.run else None,
        "deploy": deploy.id if deploy else "",
        "noticed": deploy.how if deploy else "",
        "hold": hold_data(record.hold),
        "stopped": record.stopped,
        "cancelled": asdict(record.cancelled) if record.cancelled else None,
        "failures": [
            {"release": each.version.release}
            | {name: getattr(each, name) for name in ("target", "outcome", "line", "at")}
            for each in record.failures
        ],
        "last": {name: getattr(last, name) for name in LAST} if last is not None else None,
        "permit": "deploying alone",
    }


def since(node: Node, app: App, word: str, now: Now) -> float | None:
    """When an app's state began (wall); None where that was with the end of its last run."""
    root = node.roots.get(app.record.root)
    mono: float | None = None
    if app.run is not None:
        return app.run.began.wall
    if word == "failed" and app.record.failures:
        return app.record.failures[-1].at
    if word == "settling":
        return app.seen.unsettled.since.wall if app.seen.unsettled else None
    if word == "exited":
        mono = app.processes.exited_at
    elif word == "unknown":
        if root is not None and (root.stuck or not root.known):
            mono = root.since
        elif app.seen.listed is False:
            mono = app.seen.absent_since
        elif app.seen.latest is not None and not app.seen.latest.known:
            mono = app.seen.latest.since
    return now.wall - (now.mono - mono) if mono is not None else None


def slow_data(slow: Slow | None) -> Data | None:
    """How seldom a tree is scanned, if that is less often than it should be."""
    if slow is None:
        return None
    why = f"a scan takes {slow.takes:.2g} s, and all scans together get only a part of the time"
    return {"every_s": round(slow.every, 1), "takes_s": round(slow.takes, 2), "why": why}


def version_data(version: Version | None) -> Data:
    """A version, or empty."""
    return asdict(version or Version("", ""))


def hold_data(hold: Hold | None) -> Data | None:
    """A hold."""
    return asdict(hold) if hold is not None else None


def run_data(run: Run, now: Now) -> Data:
    """A run that is under way."""
    return {
        "id": run.id,
        "target": str(run.target),
        "release": run.version.release,
        "reason": run.reason,
        "pid": run.identity.pid if run.identity else None,
        "unit": run.identity.unit if run.identity else "",
        "seconds": round(now.wall - run.began.wall, 1),
        "timeout_s": run.timeout,
        "cancelled": run.cancelled,
    }


def status_line(node: Node) -> str:
    """Summarize the node in the line that `systemctl status` shows."""
    unavailable = [path for path, root in node.roots.items() if root.stuck or not root.known]
    busy = [app.name for app in node.apps.values() if app.run is not None]
    failed = [a.name for a in node.apps.values() if a.record.failures or a.attempt.backoff]
    parts = [f"{len(node.apps)} apps"]
    if busy:
        parts.append(f"deploying {', '.join(sorted(busy)[:5])}")
    if failed:
        parts.append(f"failed: {', '.join(sorted(failed)[:5])}")
    if unavailable:
        parts.append(f"unknown: {', '.join(sorted(unavailable)[:3])}")
    return "; ".join(parts)
