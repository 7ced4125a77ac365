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
from appagent.model.events import Ended
from appagent.model.seen import Slow
from appagent.model.words import Now, Version

Data = dict[str, Any]


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
    record, latest = app.record, app.seen.latest
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
            "installed": record.applied.installed,
            "running": version_data(record.applied.running),
            "healthy": version_data(record.applied.healthy),
            "up": record.applied.up == node.boot and bool(node.boot),
            "may_run": record.applied.may_run == node.boot and bool(node.boot),
            "serving": record.applied.serving,
        },
        "last_good": version_data(record.last_good),
        "plan": [str(target) for target in seen.plan],
        "missing": sorted(app.makefile.missing),
        "run": run_data(app.run, now),
        "deploy": app.attempt.deploy.id if app.attempt.deploy else "",
        "noticed": app.attempt.deploy.how if app.attempt.deploy else "",
        "hold": hold_data(record.hold),
        "stopped": record.stopped,
        "cancelled": asdict(record.cancelled) if record.cancelled else None,
        "failures": [
            {
                "release": failure.version.release,
                "target": str(failure.target),
                "outcome": str(failure.outcome),
                "line": failure.line,
                "at": failure.at,
            }
            for failure in record.failures
        ],
        "last": last_data(app.last_failed),
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
    takes = f"{slow.takes:.2g} s"
    why = f"a scan takes {takes}, and all scans together get only a part of the time"
    return {"every_s": round(slow.every, 1), "takes_s": round(slow.takes, 2), "why": why}


def version_data(version: Version | None) -> Data:
    """A version, or empty."""
    if version is None:
        return {"release": "", "conf": ""}
    return {"release": version.release, "conf": version.conf}


def hold_data(hold: Hold | None) -> Data | None:
    """A hold."""
    if hold is None:
        return None
    return {"why": hold.why, "until": hold.until, "by": hold.by}


def run_data(run: Run | None, now: Now) -> Data | None:
    """A run that is under way."""
    if run is None:
        return None
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


def last_data(last: Ended | None) -> Data | None:
    """The last run that did not succeed."""
    if last is None:
        return None
    return {
        "run_id": last.run_id,
        "outcome": str(last.outcome),
        "exit_code": last.exit_code,
        "line": last.line,
        "tail": last.tail,
    }


def status_line(node: Node) -> str:
    """Summarize the node in the line that `systemctl status` shows."""
    away = [path for path, root in node.roots.items() if root.stuck or not root.known]
    busy = [app.name for app in node.apps.values() if app.run is not None]
    failed = [a.name for a in node.apps.values() if a.record.failures or a.attempt.backoff]
    parts = [f"{len(node.apps)} apps"]
    if busy:
        parts.append(f"deploying {', '.join(sorted(busy)[:5])}")
    if failed:
        parts.append(f"failed: {', '.join(sorted(failed)[:5])}")
    if away:
        parts.append(f"unknown: {', '.join(sorted(away)[:3])}")
    return "; ".join(parts)
