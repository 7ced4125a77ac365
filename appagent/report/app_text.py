"""One app as text: `appagent status APP` and `appagent explain APP`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from appagent.core.release import short
from appagent.host.text import unbroken
from appagent.report import text
from appagent.report.status_text import hold_text, reason, release_text, what_text
from appagent.report.terminal import BOLD, DIM, PLAIN, Screen

Data = dict[str, Any]
Row = tuple[str, str]
OUTPUT_SHOWN = 20  # lines

WANTED = {
    "run": "run {release}",
    "keep": "keep {release} running",
    "removed": "stop it: it was removed from the share",
    "stopped": "keep it stopped",
    "wait": "nothing new, for now",
}


def app_text(app: Data, node: str, now: float, screen: Screen = PLAIN) -> str:
    """Show one app in detail."""
    applied, seen = app["applied"], app["seen"]
    usage = app.get("usage") or {}
    complete = "" if seen["settled"] or not seen["release"] else " (not complete yet)"
    rows = [
        ("root", f"{app['root']} ({app['layout'] or 'layout not known yet'})"),
        ("on the share", short(seen["release"]) + complete),
        ("directory", seen["release_dir"] or "-"),
        ("wanted", wanted_text(app)),
        ("installed", short(applied["installed"])),
        ("runs", release_text(app)),
        ("running", short(applied["running"]["release"])),
        ("healthy", short(applied["healthy"]["release"])),
        ("up", "yes" if applied["up"] else "not started in this boot"),
        ("last good", short(app["last_good"]["release"])),
        ("plan", ", ".join(app["plan"]) or "nothing to do"),
    ]
    if usage.get("processes"):
        memory = text.size(usage["memory"]) if usage["memory"] else "-"
        cpu = text.duration(usage["cpu_s"])
        rows.append(("processes", f"{usage['processes']}, memory {memory}, CPU {cpu}"))
    if app["run"]:
        rows.append(("now", f"{what_text(app)} (pid {app['run']['pid']}, {app['run']['id']})"))
    if slow := app.get("slow"):
        rows.append(("scanned", f"every {text.duration(slow['every_s'])}: {slow['why']}"))
    if app["hold"]:
        rows.append(("hold", hold_text(app["hold"], now)))
    rows += [
        ("failed", f"{short(f['release'])}: {f['target']} {f['outcome']}: {f['line']}")
        for f in app["failures"]
    ]
    lines = head(app, f" on {node}", now, screen)
    lines += labelled(rows, screen)
    if app["last"] and app["last"]["tail"]:
        lines.append(screen.paint("last output:", DIM))
        output = text.without_make(app["last"]["tail"].splitlines())[-OUTPUT_SHOWN:]
        lines += [part for line in output for part in text.wrap(line, screen.columns, "  | ")]
    return "\n".join(lines)


def explain_text(app: Data, now: float, screen: Screen = PLAIN) -> str:
    """Show the comparison itself, field by field, and what follows from it."""
    applied, wanted = app["applied"], app["wanted"]
    running = short(applied["running"]["release"])
    if applied["running"]["conf"]:
        running += f", environment {applied['running']['conf']}"
    rows = [
        ("on the share", short(app["seen"]["release"])),
        ("wanted", wanted_text(app)),
        ("", f"environment {wanted['conf']}" if wanted["conf"] else ""),
        ("installed", short(applied["installed"])),
        ("running", running),
        ("healthy", short(applied["healthy"]["release"])),
        ("up", "this boot" if applied["up"] else "not started in this boot"),
        ("plan", ", ".join(app["plan"]) or "nothing to do"),
        ("", f"the Makefile has no {', '.join(app['missing'])}" if app["missing"] else ""),
    ]
    if app["deploy"]:
        rows.append(("deploy", f"{app['deploy']}, noticed by {app['noticed'] or 'the comparison'}"))
    lines = head(app, "", now, screen) + labelled([row for row in rows if row[1]], screen)
    if app["changes"]:
        lines.append(screen.paint("changed since it was installed:", DIM))
        lines += [part for line in app["changes"] for part in text.wrap(line, screen.columns, "  ")]
    return "\n".join(lines)


def head(app: Data, where: str, now: float, screen: Screen) -> list[str]:
    """Name the app, its state and since when; below it why."""
    state = screen.word(app["state"])
    since = f" for {text.duration(round(now - app['since']))}" if app["since"] else ""
    lines = [f"{screen.paint(unbroken(app['app'] + where), BOLD)}: {state}{since}"]
    why = reason(app, now)
    return [*lines, *(text.wrap(why, screen.columns, "  ") if why else ())]


def labelled(rows: Sequence[Row], screen: Screen) -> list[str]:
    """Lay out values behind their names."""
    wide = max(len(name) for name, _ in rows)
    lines: list[str] = []
    for name, value in rows:
        first, indent = f"  {name:<{wide}}  ", " " * (wide + 4)
        laid = text.wrap(value, screen.columns, indent, first)
        lines += [f"  {screen.paint(name, DIM)}{laid[0][2 + len(name) :]}", *laid[1:]]
    return lines


def wanted_text(app: Data) -> str:
    """Describe what is wanted of an app."""
    wanted = app["wanted"]
    kind: str = WANTED.get(wanted["kind"], wanted["kind"])
    return kind.format(release=short(wanted["release"]))
