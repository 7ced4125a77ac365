"""`appagent status` and `appagent explain`."""

from __future__ import annotations

import sys
import time
from typing import Any

from appagent.commands.agent import Agent, Args, agent_of
from appagent.commands.printing import as_json, data, flush, safe, screen
from appagent.model.exit_codes import FAILED, LATER, OK, USAGE, Refused
from appagent.report.app_text import app_text, explain_text
from appagent.report.status_text import status_text
from appagent.report.terminal import Screen, is_terminal

EVERY = 1.0  # seconds between two screens of --watch
# Another screen than the one that the shell uses, and no cursor; and back again.
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
HOME, END_OF_LINE, BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


def status(args: Args) -> int:
    """Show the state of all apps, or of one."""
    if args.watch:
        if args.json or args.check:
            other = "--json" if args.json else "--check"
            raise Refused(USAGE, f"--watch cannot be combined with {other}")
        if not is_terminal(sys.stdout):
            raise Refused(USAGE, "--watch needs a terminal; for programs: appagent status --json")
        return watch(agent_of(args), args)
    found = ask_status(agent_of(args), args)
    if args.json:
        as_json(found)
    else:
        shown_on = screen()
        data(text_of(found, args, shown_on), colour=shown_on.colour)
    if not args.check:
        return OK
    if any(app["reached"] is False for app in found["apps"]):
        return FAILED
    unknown = not args.app and any(not root["known"] for root in found["roots"])
    return LATER if unknown or any(app["reached"] is None for app in found["apps"]) else OK


def ask_status(agent: Agent, args: Args) -> dict[str, Any]:
    """Ask for the state of the node, with one app or all."""
    found: dict[str, Any] = agent.answer({"do": "status", "app": args.app or ""})
    return found


def text_of(found: dict[str, Any], args: Args, shown_on: Screen) -> str:
    """Make the text for a screen."""
    if args.app:
        return app_text(found["apps"][0], found["node"], found["now"], shown_on)
    return status_text(found, shown_on)


def watch(agent: Agent, args: Args) -> int:
    """Redraw until interrupted; an agent that does not answer now may do so later."""
    found = ask_status(
        agent, args
    )  # what is wrong with the command line, or the agent, is an error
    trouble = ""
    sys.stdout.write(ENTER)
    try:
        while True:
            shown_on = screen()
            text = text_of(found, args, shown_on)
            if trouble:
                text = f"{shown_on.word('warning', f'not up to date: {trouble}')}\n{text}"
            draw(text, shown_on)
            time.sleep(EVERY)
            try:
                found, trouble = ask_status(agent, args), ""
            except Refused as refused:
                trouble = refused.text
    finally:
        sys.stdout.write(LEAVE)
        flush()


def draw(text: str, shown_on: Screen) -> None:
    """Draw over what is on the screen, as many lines as it has."""
    lines = safe(text, colour=shown_on.colour).splitlines()
    room = shown_on.rows - 1
    if len(lines) > room:
        more = len(lines) - room + 1
        lines = [*lines[: room - 1], f"… {more} more lines"]
    sys.stdout.write(HOME + "".join(f"{line}{END_OF_LINE}\n" for line in lines) + BELOW)
    flush()


def explain(args: Args) -> int:
    """Show what is compared for one app, and what follows."""
    found = agent_of(args).answer({"do": "explain", "app": args.app})
    if args.json:
        as_json(found)
    else:
        shown_on = screen()
        data(explain_text(found, found["now"], shown_on), colour=shown_on.colour)
    return OK
