"""`appagent history` as text: a table with a row for each deploy, or each in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from appagent.core.release import short
from appagent.host.text import one_line
from appagent.report import text
from appagent.report.table import table
from appagent.report.terminal import BOLD, DIM, PLAIN, Screen

Deploy = Mapping[str, Any]
HEADER = ("APP", "WHEN", "RESULT", "RELEASE", "TOOK", "WHY")
WHEN, RESULT, TOOK = 1, 2, 4
RELEASE_MOST = 20  # columns, on a terminal
WIDE = 100  # columns from which the release before is shown too
TAIL_SHOWN = 5  # lines of the output of a run that failed
PARTS = (("settle", "settled_ms"), ("queue", "queue_ms"), ("run", "run_ms"))


def history_table(deploys: Sequence[Deploy], now: float, screen: Screen = PLAIN) -> str:
    """Show deploys, a row for each; a reason that does not fit into it is on the lines below."""
    rows = [row(deploy, now, screen) for deploy in deploys]

    def paint(number: int, column: int, cell: str) -> str:
        if number == 0:
            return screen.paint(cell, DIM)
        return screen.word(cell) if column == RESULT else cell

    laid = table([HEADER, *rows], screen.columns, right=(WHEN, TOOK), paint=paint)
    return "\n".join(line for lines in laid for line in lines)


def row(deploy: Deploy, now: float, screen: Screen) -> list[str]:
    """Show one deploy: of one that failed, why it failed."""
    began = started(deploy)
    release = short(deploy["release"] or "")
    if screen.columns:
        release = text.cut(release, RELEASE_MOST)
    if not screen.columns or screen.columns >= WIDE:
        release = f"{short(deploy['previous'] or '')} -> {release}"
    took = text.duration(deploy["duration_ms"] / 1000) if deploy["duration_ms"] is not None else "-"
    return [
        deploy["app"],
        text.age(now - began) if began else "-",
        deploy["outcome"],
        release,
        took,
        why(deploy),
    ]


def why(deploy: Deploy) -> str:
    """Give the reason of a deploy, or of its failure."""
    if deploy["outcome"] in ("done", "ok", "running"):
        return str(deploy["reason"] or deploy["how"] or "-")
    if deploy["target"] and deploy["line"]:
        return f"{deploy['target']} {deploy['outcome']}: {deploy['line']}"
    return str(deploy["line"] or deploy["reason"] or "-")


def history_details(deploys: Sequence[Deploy], now: float, screen: Screen = PLAIN) -> str:
    """Show deploys, each with its times and its runs."""
    return "\n".join(line for deploy in deploys for line in deploy_lines(deploy, now, screen))


def deploy_lines(deploy: Deploy, now: float, screen: Screen) -> list[str]:
    """Show one deploy with its runs."""
    began = started(deploy)
    name = screen.paint(one_line(deploy["app"]), BOLD)
    what = f"{short(deploy['previous'] or '')} -> {short(deploy['release'] or '')}"
    outcome = screen.word(deploy["outcome"]) if deploy["id"] else "run outside of a deploy"
    lines = [f"{name}: {outcome}, {one_line(what)}, {ago(deploy, now)}"]
    if deploy["id"]:
        parts = [
            f"{label} {deploy[key] / 1000:.1f}" for label, key in PARTS if deploy[key] is not None
        ]
        if deploy["duration_ms"] is not None:
            took = text.duration(deploy["duration_ms"] / 1000)
            parts = [f"took {took}" + (f" ({', '.join(parts)})" if parts else "")]
        notes = [text.moment(began) if began else "-", *parts]
        notes.append(deploy["reason"] or "no reason given")
        notes += [f"noticed by {deploy['how']}"] if deploy["how"] else []
        lines += text.wrap("; ".join(notes), screen.columns, "  ")
        if deploy["line"] and deploy["outcome"] != "done":
            lines += text.wrap(why(deploy), screen.columns, "  ")
    for run in deploy["runs"]:
        if run["outcome"] != "missing":  # the Makefile has no such target: nothing ran
            lines += run_lines(run, screen)
    return lines


def run_lines(run: Deploy, screen: Screen) -> list[str]:
    """Show one run, and the last output of one that failed."""
    took = text.duration(run["duration_ms"] / 1000) if run["duration_ms"] is not None else "-"
    code = f"  exit {run['exit_code']}" if run["exit_code"] else ""
    adopted = "  continued by another agent" if run["adopted"] else ""
    outcome = screen.word(run["outcome"], f"{run['outcome']:<9}")
    lines = [f"  {run['target']:<8} {outcome} {took:>7}{code}{adopted}"]
    if run["outcome"] not in ("ok", "running"):
        for line in text.without_make(run["tail"].splitlines())[-TAIL_SHOWN:]:
            lines += text.wrap(line, screen.columns, "    | ")
    return lines


def started(deploy: Deploy) -> float | None:
    """When a deploy began (wall), as far as that is known."""
    runs = deploy["runs"]
    found: float | None = deploy["began"] or deploy["seen"] or (runs[0]["began"] if runs else None)
    return found


def ago(deploy: Deploy, now: float) -> str:
    """How long ago a deploy began, in a sentence."""
    began = started(deploy)
    return f"{text.duration(max(0, round(now - began)))} ago" if began else "at an unknown time"
