"""`appagent history`: from the agent, or without one from its database."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from appagent.commands.agent import Agent, Args, agent_of, count
from appagent.commands.printing import as_json, data, message, screen
from appagent.daemon.client import MOST_DEPLOYS
from appagent.model.exit_codes import LATER, NO_AGENT, NOT_ALLOWED, OK, Refused
from appagent.report import history as database
from appagent.report.history_text import history_details, history_table


def history(args: Args) -> int:
    """Show deploys, newest first."""
    limit = count(args.limit, "--limit", MOST_DEPLOYS)
    agent = agent_of(args)
    try:
        request = {"do": "history", "app": args.app or "", "limit": limit}
        deploys = [line["deploy"] for line in agent.ask(request) if "deploy" in line]
    except Refused as refused:
        if refused.code != NO_AGENT:
            raise
        deploys = without_agent(agent, args.app or "", limit, refused)
    if args.json:
        as_json({"deploys": deploys})
    elif not deploys:
        data("no deploys yet")
    else:
        shown_on = screen()
        show = history_details if args.verbose or args.app else history_table
        data(show(deploys, time.time(), shown_on), colour=shown_on.colour)
    return OK


def without_agent(agent: Agent, app: str, limit: int, refused: Refused) -> list[dict[str, Any]]:
    """Read the database of an agent that does not answer; Refused as before if there is none."""
    path = Path(agent.located.state_dir) / database.FILE
    try:
        if not path.exists():
            raise refused
        found = list(database.deploys(path, app or None, limit))
    except (OSError, sqlite3.Error) as error:
        denied = isinstance(error, PermissionError) or "unable to open" in str(error)
        raise Refused(NOT_ALLOWED if denied else LATER, f"{path}: {error}") from None
    message(f"the agent does not answer; this is what {path} holds")
    return found
