"""What the commands do: ask the daemon, print its answer. Data on stdout, words on stderr."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from appagent import config
from appagent.commands.logs import show_file
from appagent.commands.printing import as_json, data, flush, words
from appagent.config.users import lookup_warnings
from appagent.daemon.client import MOST_DEPLOYS, ask
from appagent.model.exit_codes import CONFIG, FAILED, LATER, NO_AGENT, OK, USAGE, Refused
from appagent.report import status as show
from appagent.report.history_text import history_text
from appagent.report.text import one_line

COUNT_MOST = 1_000_000
NOT_MINE = os.strerror(errno.EACCES)
Args = argparse.Namespace


def loaded(args: Args) -> config.Loaded:
    """The configuration; Refused(78) with every line that is wrong."""
    try:
        return config.load(args.config)
    except config.ConfigErrors as wrong:
        raise Refused(CONFIG, "\n".join(wrong.errors)) from None


def socket_of(args: Args) -> tuple[str, tuple[str, ...]]:
    """Where the agent listens; and what is wrong with the configuration, which is said.

    A broken configuration must not keep anyone from asking an agent that runs. One that this
    person may not read is not wrong: that is said only where it hides the agent.
    """
    found = config.locate(args.config)
    wrong = [line for line in found.errors if NOT_MINE not in line]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        words(f"the configuration is wrong: {wrong[0]}{more}; see: appagent check-config")
    return found.socket, () if wrong else found.errors


def asking(
    args: Args, request: Mapping[str, object], patience: float | None = 10.0
) -> Iterator[dict[str, Any]]:
    """Ask the daemon; yields its data and lines, raises Refused for an end that is not 0."""
    path, trouble = socket_of(args)
    try:
        for line in ask(path, request, patience):
            if "end" not in line:
                yield line
                continue
            refuse(line["end"])
    except Refused as refused:
        if refused.code == NO_AGENT and trouble:
            text = f"{refused.text} (the configuration: {trouble[0]})"
            raise Refused(NO_AGENT, text) from None
        raise


def refuse(end: Mapping[str, Any]) -> None:
    """Raise what the daemon refused; an end that is well passes."""
    if end["code"] != OK:
        raise Refused(int(end["code"]), one_line(str(end["text"])))


def answer(args: Args, request: Mapping[str, object]) -> Any:  # noqa: ANN401 - JSON is any
    """The one piece of data that the daemon answers with."""
    found = None
    for line in asking(args, request):
        found = line.get("data", found)
    return found


def follow(
    args: Args,
    request: Mapping[str, object],
    *,
    patience: float | None = 10.0,
    quiet: bool = False,
) -> int:
    """Ask for something and show the words on the way; without patience, however long it takes."""
    for line in asking(args, request, patience):
        if "line" in line and not quiet:
            words(one_line(str(line["line"])))
    return OK


def span(text: str | None, option: str) -> float | None:
    """A duration of the command line, in seconds."""
    if text is None:
        return None
    try:
        return config.seconds(text)
    except config.BadValueError as wrong:
        raise Refused(USAGE, f"{option} {text[:80]}: {wrong}") from None


def count(text: str, option: str, most: int = COUNT_MOST) -> int:
    """A number of the command line, from 1 to `most`."""
    # Its length first: Python itself refuses to read a number of thousands of digits.
    if not (text.isascii() and text.isdigit() and len(text) < 8 and 0 < int(text) <= most):  # noqa: PLR2004
        raise Refused(USAGE, f"{option} {text[:80]}: a number from 1 to {most} is wanted")
    return int(text)


def columns() -> int:
    """How wide the terminal is; 0 where nobody looks."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


# --- the commands --------------------------------------------------------------------------------


def run(args: Args) -> int:
    """`appagent run`."""
    from appagent.daemon.main import run as run_daemon  # noqa: PLC0415 - the others do without it

    return run_daemon(loaded(args), args.config, daemonize=args.daemonize, pidfile=args.pidfile)


def status(args: Args) -> int:
    """`appagent status [APP]`."""
    found = answer(args, {"do": "status", "app": args.app or ""})
    if args.json:
        as_json(found)
    elif args.app:
        data(show.app_text(found["apps"][0], found["node"]))
    else:
        data(show.status_text(found, columns()))
    if not args.check:
        return OK
    if any(app["reached"] is False for app in found["apps"]):
        return FAILED
    away = not args.app and any(not root["known"] for root in found["roots"])
    return LATER if away or any(app["reached"] is None for app in found["apps"]) else OK


def explain(args: Args) -> int:
    """`appagent explain APP`."""
    found = answer(args, {"do": "explain", "app": args.app})
    if args.json:
        as_json({key: value for key, value in found.items() if key != "text"})
    else:
        data(found["text"])
    return OK


def history(args: Args) -> int:
    """`appagent history [APP]`."""
    limit = count(args.limit, "--limit", MOST_DEPLOYS)
    request = {"do": "history", "app": args.app or "", "limit": limit}
    deploys = [line["deploy"] for line in asking(args, request) if "deploy" in line]
    if args.json:
        as_json({"deploys": deploys})
    else:
        data(history_text(deploys) if deploys else "nothing yet")
    return OK


def logs(args: Args) -> int:
    """`appagent logs APP`: the journal, or where there is none the file."""
    lines = count(args.lines, "--lines")
    where = answer(args, {"do": "where", "app": args.app})
    if where["file"]:
        return show_file(Path(where["file"]), lines, follow_it=args.follow)
    if shutil.which("journalctl") is None:
        raise Refused(LATER, "the output is in the journal, and there is no journalctl here")
    command = ["journalctl", "--no-pager", "-n", str(lines)]
    command += ["-f"] if args.follow else []
    flush()
    return subprocess.run([*command, *where["matches"]], check=False).returncode


def trigger(args: Args) -> int:
    """`appagent trigger APP [TARGET]`."""
    request = {"do": "trigger", "app": args.app, "target": args.target or "", "wait": args.wait}
    request["timeout"] = span(args.timeout, "--timeout")
    return follow(args, request, patience=None if args.wait else 10.0)


def cancel(args: Args) -> int:
    """`appagent cancel APP`."""
    return follow(args, {"do": "cancel", "app": args.app})


def hold(args: Args) -> int:
    """`appagent hold [APP] --why W`."""
    request = {"do": "hold", "app": args.app or "", "why": args.why}
    return follow(args, {**request, "for": span(args.span, "--for")})


def resume(args: Args) -> int:
    """`appagent resume [APP]`."""
    return follow(args, {"do": "resume", "app": args.app or ""})


def forget(args: Args) -> int:
    """`appagent forget APP`."""
    return follow(args, {"do": "forget", "app": args.app})


def wait(args: Args) -> int:
    """`appagent wait [APP…]`."""
    request = {"do": "wait", "apps": args.app, "timeout": span(args.timeout, "--timeout")}
    return follow(args, request, patience=None, quiet=args.quiet)


def check_config(args: Args) -> int:
    """`appagent check-config`."""
    try:
        found = loaded(args)
    except Refused as wrong:
        if args.json:
            as_json({"ok": False, "errors": wrong.text.splitlines(), "warnings": []})
            return CONFIG
        raise
    warnings = [
        *found.warnings,
        *lookup_warnings(found.settings, 5.0, found.places),
    ]
    if args.json:
        as_json({"ok": True, "errors": [], "warnings": warnings, "files": list(found.files)})
        return OK
    for line in warnings:
        words(f"warning: {line}")
    data(f"fine: {', '.join(found.files)}")
    return OK


def doctor(args: Args) -> int:
    """`appagent doctor`."""
    from appagent.doctor import examine  # noqa: PLC0415 - only this command needs it

    return examine(args.config, json_wanted=args.json, verbose=args.verbose)


def said(command: Callable[[Args], int]) -> Callable[[Args], int]:
    """The command, with what it refuses said in words and turned into its exit code."""

    def wrapped(args: Args) -> int:
        try:
            code = command(args)
            flush()
        except Refused as refused:
            with contextlib.suppress(Refused):
                flush()
            for line in refused.text.splitlines():
                words(line)
            return refused.code
        return code

    return wrapped


COMMANDS: Mapping[str, Callable[[Args], int]] = {
    "run": said(run),
    "status": said(status),
    "explain": said(explain),
    "history": said(history),
    "logs": said(logs),
    "trigger": said(trigger),
    "cancel": said(cancel),
    "hold": said(hold),
    "resume": said(resume),
    "forget": said(forget),
    "wait": said(wait),
    "check-config": said(check_config),
    "doctor": said(doctor),
}
