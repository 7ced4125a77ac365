"""The command `appagent`: arguments and exit codes. What the commands do is in commands.py.

Exit codes: 0; 1 a deploy or check failed; 64 usage; 69 cannot reach the agent;
70 internal error; 75 try again; 77 not allowed; 78 configuration.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from appagent import __version__
from appagent.daemon import hangup
from appagent.model.exit_codes import INTERNAL_ERROR, SOFTWARE, USAGE

ENDED_BY_INT, ENDED_BY_PIPE = 130, 141
OPTIONS = ("--config", "--help", "--version", "-h")  # before the command
TARGETS = ("build", "install", "start", "restart", "stop", "check")


class Parser(argparse.ArgumentParser):
    """An argument parser that ends with 64, in one line, with the nearest known word."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where to read on."""
        if "invalid choice: " in message:
            wrong = message.split("invalid choice: ", 1)[1].split(" ", 1)[0].strip("'\"")
            known = [str(c) for a in self._actions for c in (a.choices or ())]
            near = difflib.get_close_matches(wrong, known, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are: {', '.join(known)}"
            message = f"unknown {'target' if 'TARGET' in message else 'command'} {wrong}{hint}"
        from appagent.report.text import one_line  # noqa: PLC0415 - as in main

        sys.stderr.write(f"appagent: {one_line(message)} (appagent --help)\n")
        raise SystemExit(USAGE)


def parser() -> Parser:
    """All commands and their arguments."""
    top = Parser(
        prog="appagent",
        description="Brings the apps on a shared filesystem to the release that is there.",
        epilog="Every command takes --config F; else $APPAGENT_CONFIG, else "
        "/etc/appagent/appagent.yaml. Exit codes: 0; 1 a deploy or check failed; 64 usage; "
        "69 cannot reach the agent; 70 internal error; 75 try again; 77 not allowed; "
        "78 configuration.",
        allow_abbrev=False,
    )
    top.add_argument("--config", metavar="F", help="the configuration file")
    top.add_argument("--version", action="version", version=f"appagent {__version__}")
    table = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)

    def add(name: str, text: str, *, app: str = "", json: bool = False) -> Parser:
        sub: Parser = table.add_parser(name, help=text, description=text, allow_abbrev=False)
        # Without a default of its own, which would undo what stood before the command.
        sub.add_argument(
            "--config", metavar="F", help="the configuration file", default=argparse.SUPPRESS
        )
        if app:
            count = {"one": None, "maybe": "?", "any": "*"}[app]
            sub.add_argument("app", metavar="APP", nargs=count)
        if json:
            sub.add_argument("--json", action="store_true", help="for programs")
        return sub

    run = add("run", "the daemon")
    run.add_argument("--daemonize", action="store_true", help="go to the background")
    run.add_argument("--pidfile", metavar="F", help="with --daemonize: the locked pidfile")
    status = add("status", "what this node sees, wants, has applied, is doing", app="maybe")
    status.add_argument("--json", action="store_true", help="for programs")
    status.add_argument("--check", action="store_true", help="1 unless all is where it should be")
    add("explain", "the plan now, and why; for a tree, what changed", app="one", json=True)
    history = add("history", "deploys and runs, newest first", app="maybe", json=True)
    history.add_argument("-n", "--limit", metavar="N", default="20", help="so many (20)")
    logs = add("logs", "the journal of one app", app="one")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    logs.add_argument("-n", "--lines", metavar="N", default="200", help="the last N lines (200)")
    trigger = add("trigger", "do it now (no TARGET: look and deploy; clears a backoff)", app="one")
    trigger.add_argument("target", metavar="TARGET", nargs="?", choices=TARGETS)
    trigger.add_argument("--wait", action="store_true", help="until the app is there")
    trigger.add_argument("--timeout", metavar="T", help="with --wait: at most so long, e.g. 60s")
    add("cancel", "end a running build or install, or a backoff", app="one")
    hold = add("hold", "deploy nothing new (no APP: on the whole node)", app="maybe")
    hold.add_argument("--why", metavar="W", required=True, help="for whoever reads status")
    hold.add_argument("--for", metavar="T", dest="span", help="ends by itself after, e.g. 1h")
    add("resume", "end a hold or a stop (no APP: all of this node)", app="maybe")
    add("forget", "an app that is gone from the share is really gone", app="one")
    wait = add("wait", "0 once every app runs what is wanted, 1 if one cannot", app="any")
    wait.add_argument("--timeout", metavar="T", help="at most so long, e.g. 60s; then 75")
    wait.add_argument("-q", "--quiet", action="store_true", help="no words on the way")
    add("check-config", "is the configuration right?", json=True)
    doctor = add("doctor", "what on this machine would break a deploy", json=True)
    doctor.add_argument("-v", "--verbose", action="store_true", help="list what is ok, too")
    return top


def open_streams() -> None:
    """See to it that there are three streams, and that each takes any text.

    Who closes one (`>&-`) would have the first file that is opened in its place.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def drop_stdout() -> None:
    """Write no more. Python would complain once more when it flushes at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    open_streams()
    try:
        argv, top = sys.argv[1:] if argv is None else argv, parser()
        if argv and argv[0].startswith("-") and argv[0].partition("=")[0] not in OPTIONS:
            top.error(f"unrecognized arguments: {argv[0]}")  # whose value would be the command
        args = top.parse_args(argv)
        if args.command is None:
            top.print_help(sys.stderr)
            return USAGE
        if args.command == "run":
            hangup.keep()
        from appagent.commands import table  # noqa: PLC0415 - `--help` should not wait for the rest

        code = table.COMMANDS[args.command](args)
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError:  # it was said already
            drop_stdout()
    except KeyboardInterrupt:
        return ENDED_BY_INT
    except BrokenPipeError:
        drop_stdout()  # whoever read us has enough
        return ENDED_BY_PIPE
    except Exception as error:  # a person gets one line; the traceback on request
        if os.environ.get("APPAGENT_TRACEBACK"):
            raise
        from appagent.report.text import one_line  # noqa: PLC0415 - as above

        what = one_line(f"{type(error).__name__}: {error}")
        sys.stderr.write(f"appagent: {INTERNAL_ERROR}: {what} (APPAGENT_TRACEBACK=1 shows where)\n")
        return SOFTWARE
    return code


if __name__ == "__main__":
    raise SystemExit(main())
