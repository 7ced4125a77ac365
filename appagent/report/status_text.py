"""`appagent status` as text: what concerns the whole node, then a row for each app.

Below the row of an app that is not ok stands why, whole, on lines of its own.
"""

from __future__ import annotations

from typing import Any

from appagent.core.release import short
from appagent.host.text import one_line
from appagent.report import text
from appagent.report.table import table
from appagent.report.terminal import BAD, BOLD, BUSY, DIM, PAUSED, PLAIN, Screen

Data = dict[str, Any]
HEADER = ("APP", "STATE", "RELEASE", "SINCE", "PROC", "MEMORY")
STATE, RELEASE = 1, 2
NUMBERS = (3, 4, 5)  # columns
RELEASE_MOST = 24  # columns for a release, on a terminal


def status_text(data: Data, screen: Screen = PLAIN) -> str:
    """Show the node; trouble that concerns more than one app comes first."""
    lines = head_lines(data, screen)
    troubles = {root["path"]: root["why"] for root in data["roots"] if not root["known"]}
    apps = [
        app | {"why": ""} if app["why"] == troubles.get(app["root"]) else app
        for app in data["apps"]
    ]
    rows = [(app_row(app, data["now"]), reasons(app, data["now"])) for app in apps]
    rows += [refused_row(path, why) for path, why in data["refused"].items()]
    rows.sort(key=lambda row: row[0][0])
    if not rows:
        return "\n".join([*lines, "no apps"])
    if screen.columns:
        for cells, _ in rows:
            cells[RELEASE] = text.cut(cells[RELEASE], RELEASE_MOST)

    def paint(row: int, column: int, cell: str) -> str:
        if row == 0:
            return screen.paint(cell, DIM)
        return screen.word(cell) if column == STATE else cell

    header, *laid = table(
        [list(HEADER), *(cells for cells, _ in rows)], screen.columns, right=NUMBERS, paint=paint
    )
    lines += header
    for shown, (_, why) in zip(laid, rows, strict=True):
        lines += shown
        for reason in why:
            lines += text.wrap(one_line(reason, 8_000), screen.columns, "    ", "  ")
    return "\n".join(lines)


def head_lines(data: Data, screen: Screen) -> list[str]:
    """Show which node this is, and what concerns all of it."""
    ok = sum(1 for app in data["apps"] if app["state"] == "ok")
    agent = data.get("agent")
    parts = [data["node"], data["environment"] or "no environment"]
    parts.append("standalone" if data["fleet"] == "alone" else str(data["fleet"]))
    if agent:
        parts.append(f"appagent {agent['version']} (pid {agent['pid']})")
    parts.append(f"{ok} of {text.count(len(data['apps']), 'app')} ok")
    notes = [("  ".join(one_line(part) for part in parts if part), BOLD)]
    if refused := data.get("config", {}).get("refused"):
        notes.append((f"reload failed, the previous configuration stays in force: {refused}", BAD))
    if data["hold"]:
        notes.append((f"all apps are {hold_text(data['hold'], data['now'])}", PAUSED))
    for root in data["roots"]:
        if not root["known"]:
            since = text.duration(root["since_s"])
            notes.append((f"{root['path']}: unknown for {since}: {root['why']}", BAD))
        if root["plain_count"]:
            notes.append((plain_text(root), DIM))
    notes += [
        (f"apps are polled every {watcher['interval_s']:.2g} s: {watcher['interval_why']}", BUSY)
        for watcher in data.get("watchers", [])
        if watcher["interval_why"]
    ]
    notes += [(f"not written to disk yet: {path}", BUSY) for path in data.get("unwritten", [])]
    return [
        screen.paint(line, style)
        for note, style in notes
        for line in text.wrap(note, screen.columns, "  ", "")
    ]


def app_row(app: Data, now: float) -> list[str]:
    """Show one app, without reasons."""
    began = app["since"]
    usage = app.get("usage") or {}
    processes, memory = usage.get("processes"), usage.get("memory")
    return [
        app["app"],
        app["state"],
        release_text(app),
        text.age(now - began) if began else "-",
        str(processes) if processes else "-",
        text.size(memory) if processes and memory else "-",
    ]


def refused_row(path: str, why: str) -> tuple[list[str], list[str]]:
    """Show what lies among the apps and cannot be one, and why."""
    name = one_line(path.rpartition("/")[2])
    return [name, "refused", "-", "-", "-", "-"], [why if path in why else f"{path}: {why}"]


def reasons(app: Data, now: float) -> list[str]:
    """Give the lines for below the row of an app; none for one that is ok."""
    lines = [reason(app, now)] if reason(app, now) else []
    seen, runs = short(app["seen"]["release"]), release_text(app)
    if app["state"] != "ok" and seen not in ("-", runs):
        lines.append(f"on the share: {seen}")
    if app["state"] in ("failed", "rolled-back"):
        name = app["app"]
        lines.append(f"details: appagent history {name}; retry: appagent trigger {name}")
    return lines


def reason(app: Data, now: float) -> str:
    """Explain the state of an app, and who holds it."""
    why = what_text(app)
    if app["hold"] or app["state"] == "held":
        hold = hold_text(app["hold"], now) if app["hold"] else "held with all apps of this node"
        missing = app["state"] == "held" and not app["seen"]["known"]
        why = hold if app["state"] == "held" else f"{why}; {hold}" if why else hold
        why += "; missing from the share" if missing else ""
    return why


def what_text(app: Data) -> str:
    """Explain in one line: the run under way, or the reason of the state."""
    run = app["run"]
    if run:
        return f"make {run['target']} for {text.duration(run['seconds'])}: {run['reason']}"
    return str(app["why"])


def hold_text(hold: Data, now: float) -> str:
    """Name who holds, until when, and why: `held by root until 14:30 (29m left): demo`."""
    by = f" by {hold['by']}" if hold["by"] else ""
    if hold["until"] is None:
        end = " until `appagent resume`"
    else:
        remaining = text.age(hold["until"] - now)
        end = f" until {text.clock(hold['until'], now)} ({remaining} left)"
    return f"held{by}{end}: {hold['why']}"


def plain_text(root: Data) -> str:
    """Name the directories of a root that have no Makefile."""
    more = root["plain_count"] - len(root["plain"])
    names = ", ".join(root["plain"]) + (f" and {more} more" if more > 0 else "")
    return f"{root['path']}: not an app (no Makefile): {names}"


def release_text(app: Data) -> str:
    """Name the release that runs: what was started well and not touched since."""
    applied = app["applied"]
    if not applied["may_run"] or app["state"] == "exited":
        return "-"
    if applied["serving"]:
        return short(applied["serving"])
    was = app["last_good"]["release"]
    return f"? (was {short(was)})" if was else "?"
