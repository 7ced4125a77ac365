"""The node as `status` and `explain` show it: first as plain data, then as text.

The data is the `--json` of the commands; its keys are promised to programs, so they are added to
and not renamed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from appagent.core.release import short, short_version
from appagent.core.state import App, Node
from appagent.core.summary import View, view
from appagent.core.want import seen_version
from appagent.model.applied import Hold, Run
from appagent.model.events import Ended
from appagent.model.seen import Slow
from appagent.model.words import Now, Version
from appagent.report import text
from appagent.report.table import table

Data = dict[str, Any]
MIB = 1024 * 1024


def node_data(node: Node, now: Now, intervals: Mapping[str, float]) -> Data:
    """The whole node. `intervals` says how often each root is really looked at (s)."""
    return {
        "node": node.settings.node,
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
    record, look = app.record, app.seen.latest
    return {
        "app": app.name,
        "root": record.root,
        "state": seen.word,
        "why": seen.why,
        "reached": seen.reached,
        "layout": str(look.layout or "") if look else str(record.ran.layout) if record.ran else "",
        "seen": {
            "known": bool(look and look.known and app.seen.listed),
            "release": look.release if look else "",
            "release_dir": look.release_dir if look else "",
            "settled": bool(look and look.release == app.seen.settled),
            "incomplete": look.incomplete if look else "",
            "unknown_s": round(now.mono - look.since, 1) if look and not look.known else None,
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
        "run": run_data(app.run, now),
        "deploy": app.attempt.deploy.id if app.attempt.deploy else "",
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


# --- as text -------------------------------------------------------------------------------------


def status_text(data: Data, columns: int = 0) -> str:
    """`appagent status`: trouble first, then a line for each app."""
    lines = [head_line(data)]
    if refused := data.get("config", {}).get("refused"):
        lines.append(f"the configuration is not taken, the old one stays: {refused}")
    if data["hold"]:
        lines.append(f"all apps are held: {data['hold']['why']}; ends with: appagent resume")
    for root in data["roots"]:
        if not root["known"]:
            since = text.duration(root["since_s"])
            lines.append(f"{root['path']}: UNKNOWN for {since}: {root['why']}")
        if root["plain_count"]:
            lines.append(plain_text(root))
    lines += [
        f"apps are polled every {watcher['interval_s']:.2g} s: {watcher['interval_why']}"
        for watcher in data.get("watchers", [])
        if watcher["interval_why"]
    ]
    lines += [f"not on the disk yet: {path}" for path in data.get("unwritten", [])]
    lines = [text.one_line(line) for line in lines]  # a pusher chooses names, with newlines in them
    rows = [
        [
            app["app"],
            app["state"],
            runs_text(app),
            short(app["seen"]["release"]),
            usage_text(app.get("usage")),
            what_text(app),
        ]
        for app in data["apps"]
    ]
    rows += [refused_row(path, why) for path, why in data["refused"].items()]
    rows.sort(key=lambda row: row[0])
    if rows:
        header = ["APP", "STATE", "RUNS", "ON THE SHARE", "PROCESSES", "WHY"]
        lines += [line for row in table([header, *rows], columns) for line in row]
    else:
        lines.append("no apps")
    return "\n".join(lines)


def refused_row(path: str, why: str) -> list[str]:
    """What cannot be an app, among the apps."""
    return [
        path.rpartition("/")[2],
        "refused",
        "-",
        "-",
        "-",
        why if path in why else f"{path}: {why}",
    ]


def plain_text(root: Data) -> str:
    """The directories of a root that have no Makefile, in one line."""
    more = root["plain_count"] - len(root["plain"])
    names = ", ".join(root["plain"]) + (f" and {more} more" if more > 0 else "")
    return f"{root['path']}: not an app (no Makefile): {names}"


def head_line(data: Data) -> str:
    """Who speaks."""
    agent = data.get("agent", {})
    parts = [data["node"], data["environment"] or "no environment"]
    if agent:
        parts.append(f"appagent {agent['version']} (pid {agent['pid']})")
    parts.append("deploying alone" if data["fleet"] == "alone" else str(data["fleet"]))
    return ", ".join(parts)


def status_line(node: Node) -> str:
    """Tell how the node is in the line that `systemctl status` shows."""
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


def what_text(app: Data) -> str:
    """What is going on with an app, in a few words."""
    run = app["run"]
    if run:
        return f"make {run['target']} for {text.duration(run['seconds'])}: {run['reason']}"
    unknown = app["seen"]["unknown_s"]
    if app["state"] == "unknown" and unknown is not None:
        return f"for {text.duration(unknown)}: {app['why']}"
    return str(app["why"])


def runs_text(app: Data) -> str:
    """What an app runs, as far as that is known: what was started well and not touched since."""
    applied = app["applied"]
    if not applied["may_run"] or app["state"] == "exited":
        return "-"
    if applied["serving"]:
        return short(applied["serving"])
    was = app["last_good"]["release"]
    return f"? (was {short(was)})" if was else "?"


def usage_text(usage: Data | None) -> str:
    """How many processes an app has, and what they take."""
    if not usage or not usage["processes"]:
        return "-"
    return f"{usage['processes']}, {usage['memory'] / MIB:.0f} MiB, {usage['cpu_s']:.0f} s"


def app_text(app: Data, node: str) -> str:
    """`appagent status APP`."""
    applied, seen = app["applied"], app["seen"]
    rows = [
        ("state", f"{app['state']}{': ' + what_text(app) if app['why'] else ''}"),
        ("root", f"{app['root']} ({app['layout'] or 'layout not known yet'})"),
        ("on the share", f"{seen['release'] or '-'}{'' if seen['settled'] else ' (not settled)'}"),
        ("directory", seen["release_dir"] or "-"),
        ("wanted", f"{app['wanted']['kind']} {app['wanted']['release']}".strip()),
        ("installed", applied["installed"] or "-"),
        ("runs", runs_text(app)),
        ("running", applied["running"]["release"] or "-"),
        ("healthy", applied["healthy"]["release"] or "-"),
        ("up", "yes" if applied["up"] else "not started in this boot"),
        ("last good", app["last_good"]["release"] or "-"),
        ("plan", ", ".join(app["plan"]) or "nothing to do"),
        ("processes", f"{usage_text(app.get('usage'))} (number, memory, CPU)"),
    ]
    if app["run"]:
        rows.append(("now", f"{what_text(app)} (pid {app['run']['pid']}, {app['run']['id']})"))
    if slow := app.get("slow"):
        rows.append(("scanned", f"every {text.duration(slow['every_s'])}: {slow['why']}"))
    if app["hold"]:
        rows.append(("held", app["hold"]["why"]))
    rows += [
        ("failed", f"{short(f['release'])}: {f['target']} {f['outcome']}: {f['line']}")
        for f in app["failures"]
    ]
    wide = max(len(name) for name, _ in rows)
    lines = [f"{app['app']} on {node}"]
    lines += [f"  {name:<{wide}}  {value}" for name, value in rows]
    if app["last"] and app["last"]["tail"]:
        lines += ["  last output:"]
        lines += [f"    {line}" for line in app["last"]["tail"].splitlines()[-20:]]
    return "\n".join(text.unbroken(line) for line in lines)


def explain_text(node: Node, app: App, now: Now, changes: Sequence[str]) -> str:
    """`appagent explain APP`: the comparison itself, field by field."""
    seen: View = view(node, app, now)
    record, wanted = app.record, seen.want
    lines = [f"{app.name}: {seen.word}{': ' + seen.why if seen.why else ''}", ""]
    what = short(wanted.version.release)
    lines.append(f"wanted:    {wanted.kind} {what if wanted.version.release else wanted.why}")
    if wanted.version.conf:
        lines.append(f"           environment {wanted.version.conf}")
    applied = record.applied
    up = "this boot" if applied.up == node.boot else ("an earlier boot" if applied.up else "-")
    lines += [
        f"installed: {short(applied.installed)}",
        f"running:   {short_version(applied.running)}"
        + (f", environment {applied.running.conf}" if applied.running else ""),
        f"good:      {short_version(applied.healthy)}",
        f"up:        {up}",
        "",
        f"plan:      {', '.join(seen.plan) or 'nothing to do'}",
    ]
    if app.makefile.missing:
        lines.append(f"           the Makefile has no {', '.join(sorted(app.makefile.missing))}")
    if deploy := app.attempt.deploy:
        lines.append(f"deploy:    {deploy.id}, seen by {deploy.how or 'the comparison'}")
    if changes:
        lines += ["", "changed since it was installed:", *(f"  {line}" for line in changes)]
    return "\n".join(text.unbroken(line) for line in lines)
