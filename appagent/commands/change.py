"""Commands that have the agent change something, and its answer in a line."""

from __future__ import annotations

from collections.abc import Mapping

from appagent.commands.agent import Args, agent_of
from appagent.commands.options import span
from appagent.commands.printing import message
from appagent.host.text import one_line
from appagent.model.exit_codes import OK


def change(args: Args, request: Mapping[str, object]) -> int:
    """Ask for a change and show the answer."""
    for line in agent_of(args).ask(request):
        if "line" in line:
            message(one_line(str(line["line"])))
    return OK


def cancel(args: Args) -> int:
    """End a running build or install."""
    return change(args, {"do": "cancel", "app": args.app})


def hold(args: Args) -> int:
    """Deploy nothing new."""
    request = {"do": "hold", "app": args.app or "", "why": args.why}
    return change(args, {**request, "for": span(args.span, "--for")})


def resume(args: Args) -> int:
    """End a hold or a stop."""
    return change(args, {"do": "resume", "app": args.app or ""})


def forget(args: Args) -> int:
    """Confirm that apps were removed on purpose; ends at the first one that is refused."""
    return max(change(args, {"do": "forget", "app": name}) for name in args.app)
