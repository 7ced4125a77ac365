"""What the commands do: ask the daemon, print its answer. Data on stdout, words on stderr."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from appagent import config
from appagent.control import LATER, NO_AGENT, NOT_ALLOWED, OK, USAGE, Refused, ask
from appagent.report import status as show
from appagent.report.story import history_text
from appagent.report.text import plain

CONFIG, FAILED = 78, 1
COUNT_MOST = 1_000_000
DEFAULT_RUNTIME = "/run/appagent"
Args = argparse.Namespace


def words(text: str) -> None:
    """A line for a person."""
    sys.stderr.write(f"appagent: {plain(text)}\n")


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Refused(75) for a stdout that takes nothing, such as a full disk."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Refused(LATER, f"cannot write to stdout: {error.strerror}") from None


def data(text: str) -> None:
    """What was asked for; what comes from outside in it can move no cursor."""
    text = plain(text, len(text))
    with writing():
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


def flush() -> None:
    """Have it written now."""
    with writing():
        sys.stdout.flush()


def as_json(value: object) -> None:
    """The same, for a program. In ASCII: no terminal and no encoding can spoil it."""
    with writing():
        sys.stdout.write(json.dumps(value, indent=2) + "\n")


def loaded(args: Args) -> config.Loaded:
    """The configuration; Refused(78) with every line that is wrong."""
    try:
        return config.load(args.config)
    except config.ConfigErrors as wrong:
        raise Refused(CONFIG, "\n".join(wrong.errors)) from None


def socket_of(args: Args) -> tuple[str, str]:
    """Where the agent listens, and what is wrong with the configuration that says so.

    A broken configuration must not keep anyone from asking an agent that runs.
    """
    try:
        return f"{config.load(args.config).settings.runtime_dir}/control.sock", ""
    except config.ConfigErrors as wrong:
        return f"{DEFAULT_RUNTIME}/control.sock", wrong.errors[0]


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
            text = f"{refused.text} (and the configuration is wrong: {trouble})"
            raise Refused(NO_AGENT, text) from None
        raise


def refuse(end: Mapping[str, Any]) -> None:
    """Raise what the daemon refused; an end that is well passes."""
    if end["code"] != OK:
        raise Refused(int(end["code"]), str(end["text"]))


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
            words(str(line["line"]))
    return OK


def span(text: str | None, option: str) -> float | None:
    """A duration of the command line, in seconds."""
    if text is None:
        return None
    try:
        return config.seconds(text)
    except config.BadValueError as wrong:
        raise Refused(USAGE, f"{option} {text[:80]}: {wrong}") from None


def count(text: str, option: str) -> int:
    """A number of the command line."""
    # Its length first: Python itself refuses to read a number of thousands of digits.
    if not (text.isascii() and text.isdigit() and len(text) < 8 and 0 < int(text) <= COUNT_MOST):  # noqa: PLR2004
        raise Refused(USAGE, f"{option} {text[:80]}: a number from 1 to {COUNT_MOST} is wanted")
    return int(text)


def columns() -> int:
    """How wide the terminal is; 0 where nobody looks."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


# --- the commands --------------------------------------------------------------------------------


def run(args: Args) -> int:
    """`appagent run`."""
    from appagent.daemon import run as run_daemon  # noqa: PLC0415 - the others do without it

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
    limit = count(args.limit, "--limit")
    found = answer(args, {"do": "history", "app": args.app or "", "limit": limit})
    if args.json:
        as_json(found)
    else:
        data(history_text(found["deploys"]) if found["deploys"] else "nothing yet")
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
    command += [f"APP={args.app}", "+", f"SYSLOG_IDENTIFIER=appagent-{args.app}"]
    return subprocess.run(command, check=False).returncode


def show_file(path: Path, lines: int, *, follow_it: bool) -> int:
    """The end of a file, and what comes after it; over a file that is cut or put aside."""
    try:
        # What was cut off the front is beside it, and the cut may have been a moment ago.
        before, _ = content(path.with_name(f"{path.name}.1"), 0)
        text, place = content(path, 0)
        if not before and not text:
            words("nothing was printed yet")
        show_lines((before + text).splitlines()[-lines:])
        rest = b""
        while follow_it:
            flush()
            time.sleep(0.25)
            text, place = content(path, place)
            *whole, rest = (rest + text).split(b"\n")
            show_lines(whole)
    except BrokenPipeError:
        raise  # nobody reads any more: no trouble of the file's
    except OSError as error:
        code = NOT_ALLOWED if isinstance(error, PermissionError) else LATER
        raise Refused(code, f"{path}: {error.strerror}") from None
    return OK


def show_lines(lines: Iterable[bytes]) -> None:
    """What an app has printed, made safe to be shown."""
    for line in lines:
        data(line.decode("utf-8", "replace"))


def content(path: Path, place: int) -> tuple[bytes, int]:
    """What a file holds from a place on, or from its begin if it is shorter now; and its end."""
    try:
        with path.open("rb") as file:
            file.seek(place if place <= file.seek(0, os.SEEK_END) else 0)
            return file.read(), file.tell()
    except FileNotFoundError:
        return b"", 0


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
        *config.lookup_warnings(found.settings, 5.0, found.places),
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

    return examine(args.config, json_wanted=args.json)


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
