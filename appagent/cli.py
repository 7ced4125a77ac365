"""The command `appagent`: arguments and exit codes. What the commands do is in commands/.

Exit codes: 0; 1 a deploy or check failed; 64 usage; 69 cannot reach the agent; 70 internal error;
75 temporary failure; 77 permission denied; 78 configuration.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from appagent import __version__
from appagent.model.exit_codes import INTERNAL_ERROR, SOFTWARE, USAGE

ENDED_BY_INT, ENDED_BY_PIPE = 130, 141
OPTIONS = ("--config", "--help", "--version", "-h")  # before the command
TARGETS = ("build", "install", "start", "restart", "stop", "check")


class Parser(argparse.ArgumentParser):
    """An argument parser that ends with 64, in one line, with the nearest known word."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and end with 64."""
        if "invalid choice: " in message:
            wrong = message.split("invalid choice: ", 1)[1].split(" ", 1)[0].strip("'\"")
            known = [str(c) for a in self._actions for c in (a.choices or ())]
            near = difflib.get_close_matches(wrong, known, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are: {', '.join(known)}"
            message = f"unknown {'target' if 'TARGET' in message else 'command'} {wrong}{hint}"
        from appagent.host.text import one_line  # noqa: PLC0415 - as in main

        sys.stderr.write(f"appagent: {one_line(message)} (appagent --help)\n")
        raise SystemExit(USAGE)


def parser() -> Parser:
    """All commands with their arguments, and where each is carried out: the one table of them."""
    top = Parser(
        prog="appagent",
        description="Brings the apps on a shared filesystem to the release that is there.",
        epilog="Every command takes --config F; without it $APPAGENT_CONFIG, then "
        "/etc/appagent/appagent.yaml is read. Exit codes: 0 success; 1 a deploy or check failed; "
        "64 usage error; 69 cannot reach the agent; 70 internal error; 75 temporary failure, try "
        "again; 77 permission denied; 78 configuration error.",
        allow_abbrev=False,
    )
    top.add_argument("--config", metavar="F", help="configuration file")
    top.add_argument("--version", action="version", version=f"appagent {__version__}")
    table = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)

    def add(name: str, where: str, text: str, *, app: str = "", json: bool = False) -> Parser:
        description = f"{text[0].upper()}{text[1:]}."
        sub: Parser = table.add_parser(name, help=text, description=description, allow_abbrev=False)
        sub.set_defaults(where=where)
        # Without a default of its own, which would undo what stood before the command.
        sub.add_argument(
            "--config", metavar="F", help="configuration file", default=argparse.SUPPRESS
        )
        if app:
            count = {"one": None, "maybe": "?", "any": "*", "some": "+"}[app]
            sub.add_argument("app", metavar="APP", nargs=count, help="name of an app")
        if json:
            sub.add_argument("--json", action="store_true", help="print JSON")
        return sub

    run = add("run", "local:run", "run the agent in the foreground")
    run.add_argument("--daemonize", action="store_true", help="run in the background")
    run.add_argument("--pidfile", metavar="F", help="with --daemonize: pidfile to lock")
    status = add(
        "status", "status:status", "show the state of all apps, or of one", app="maybe", json=True
    )
    status.add_argument("--check", action="store_true", help="exit 1 unless all apps are ok")
    status.add_argument("-w", "--watch", action="store_true", help="redraw every second")
    add("explain", "status:explain", "show the plan for an app, and why", app="one", json=True)
    history = add(
        "history", "history:history", "show deploys, newest first", app="maybe", json=True
    )
    history.add_argument("-n", "--limit", metavar="N", default="20", help="show N deploys (20)")
    history.add_argument(
        "-v", "--verbose", action="store_true", help="show their runs too, as with an APP"
    )
    logs = add("logs", "logs:logs", "show the output of an app", app="one")
    logs.add_argument("-f", "--follow", action="store_true", help="wait for more output")
    logs.add_argument("-n", "--lines", metavar="N", default="200", help="show N lines (200)")
    trigger = add(
        "trigger", "change:trigger", "deploy an app now, or run one of its targets", app="one"
    )
    trigger.add_argument(
        "target", metavar="TARGET", nargs="?", choices=TARGETS, help=f"one of {', '.join(TARGETS)}"
    )
    trigger.add_argument(
        "--wait", action="store_true", help="show the output, wait until the app is up to date"
    )
    trigger.add_argument("--timeout", metavar="T", help="with --wait: exit 75 after, e.g., 60s")
    add("cancel", "change:cancel", "end a running build or install, or a backoff", app="one")
    hold = add("hold", "change:hold", "pause deploys of an app, or of all apps", app="maybe")
    hold.add_argument("--why", metavar="W", required=True, help="reason, shown in status")
    hold.add_argument("--for", metavar="T", dest="span", help="end the hold after, e.g., 1h")
    add("resume", "change:resume", "end a hold or a stop, of an app or of all apps", app="maybe")
    add("forget", "change:forget", "confirm that apps were removed on purpose", app="some")
    wait = add(
        "wait", "change:wait", "wait until all apps, or those named, are up to date", app="any"
    )
    wait.description = f"{wait.description} Exits 1 as soon as one cannot get there by itself."
    wait.add_argument("--timeout", metavar="T", help="exit 75 after, e.g., 60s")
    wait.add_argument("-q", "--quiet", action="store_true", help="print no progress and no result")
    check = add("check-config", "local:check_config", "check the configuration")
    output = check.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON")
    output.add_argument(
        "--print", action="store_true", help="print each value in force, and where it is set"
    )
    doctor = add(
        "doctor", "local:doctor", "show what on this machine would break a deploy", json=True
    )
    doctor.add_argument("-v", "--verbose", action="store_true", help="list what is ok, too")
    return top


def open_streams() -> None:
    """Make sure that there are three streams, and that each takes any text.

    In place of one that was closed (`>&-`) would be the first file that is opened.
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
    """Write no more. Python would report the error again when it flushes at its end."""
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
            # A reload that is asked for before the agent can reload waits until it can.
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP,))
        from appagent.commands.dispatch import carry_out  # noqa: PLC0415 - not for `--help`

        code = carry_out(args.where, args)
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError:  # it was reported already
            drop_stdout()
    except KeyboardInterrupt:
        return ENDED_BY_INT
    except BrokenPipeError:
        drop_stdout()  # the reader has ended
        return ENDED_BY_PIPE
    except Exception as error:  # a person gets one line; the traceback on request
        if os.environ.get("APPAGENT_TRACEBACK"):
            raise
        from appagent.host.text import one_line  # noqa: PLC0415 - as above

        what = one_line(f"{type(error).__name__}: {error}")
        sys.stderr.write(f"appagent: {INTERNAL_ERROR}: {what} (APPAGENT_TRACEBACK=1 shows where)\n")
        return SOFTWARE
    return code


if __name__ == "__main__":
    raise SystemExit(main())
