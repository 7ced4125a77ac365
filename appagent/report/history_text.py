"""`appagent history` as text: each deploy a line, its runs below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from appagent.core.release import short
from appagent.report import text


def history_text(deploys: Sequence[Mapping[str, Any]]) -> str:
    """Deploys, newest first."""
    return "\n".join(line for deploy in deploys for line in deploy_lines(deploy))


def deploy_lines(deploy: Mapping[str, Any]) -> list[str]:
    """One deploy with its runs."""
    when = deploy["begun"] or deploy["seen"] or (deploy["runs"] and deploy["runs"][0]["began"])
    lines = []
    if deploy["id"]:
        parts = [
            f"{name} {text.duration(deploy[key] / 1000)}"
            for name, key in (
                ("complete after", "settled_ms"),
                ("begun after", "begun_ms"),
                ("done in", "good_ms"),
            )
            if deploy[key] is not None
        ]
        line = (
            f"{text.moment(when) if when else '-'}  {deploy['app']}  {deploy['outcome'].upper()}  "
            f"{short(deploy['previous'] or '')} -> {short(deploy['release'] or '')}  "
            f"({deploy['reason'] or deploy['how'] or 'no reason'}"
        )
        lines.append(line + (f"; {', '.join(parts)})" if parts else ")"))
        if deploy["line"]:
            lines.append(f"    {deploy['line']}")
    else:
        lines.append(f"{text.moment(when) if when else '-'}  {deploy['app']}")
    for run in deploy["runs"]:
        lines += run_lines(run)
    return lines


def run_lines(run: Mapping[str, Any]) -> list[str]:
    """One run, and the last output of one that failed."""
    took = text.duration(run["duration_ms"] / 1000) if run["duration_ms"] is not None else "-"
    code = f" (exit {run['exit_code']})" if run["exit_code"] else ""
    adopted = ", adopted" if run["adopted"] else ""
    lines = [f"    {run['target']:<8} {run['outcome']}{code} in {took}{adopted}  [{run['id']}]"]
    if run["outcome"] not in ("ok", "missing", "running"):
        lines += [f"      | {line}" for line in run["tail"].splitlines()[-5:]]
    return lines
