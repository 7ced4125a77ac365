"""Commands that have the agent change something, and `wait` for what comes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from appagent.commands.agent import PATIENCE, Args, agent_of, span
from appagent.commands.follow import Output
from appagent.commands.printing import message
from appagent.commands.progress import Progress
from appagent.host.text import one_line
from appagent.model.exit_codes import OK
from appagent.report.text import count, duration


def wait(args: Args) -> int:
    """Wait until all apps, or those named, are up to date."""
    request = {"do": "wait", "apps": args.app, "timeout": span(args.timeout, "--timeout")}
    return result(
        show(agent_of(args).ask(request, None), Progress(quiet=args.quiet)), quiet=args.quiet
    )


def trigger(args: Args) -> int:
    """Deploy, or run one target, now; with --wait show what it prints, and what it came to."""
    request = {"do": "trigger", "app": args.app, "target": args.target or "", "wait": args.wait}
    request["timeout"] = span(args.timeout, "--timeout")
    agent, progress = agent_of(args), Progress()
    if not args.wait:
        return result(show(agent.ask(request, PATIENCE), progress))
    with Output(agent.answer({"do": "where", "app": args.app}), progress):
        done = show(agent.ask(request, None), progress)
    return result(done)


def change(args: Args, request: Mapping[str, object]) -> int:
    """Ask for a change and show the answer."""
    return result(show(agent_of(args).ask(request), Progress()))


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


def show(lines: Iterable[Mapping[str, Any]], progress: Progress) -> Mapping[str, Any] | None:
    """Show what is waited for; gives what was reached, if anything was waited for."""
    done: Mapping[str, Any] | None = None
    try:
        for line in lines:
            if "progress" in line:
                progress.show(progress_text(line["progress"], progress))
            elif "done" in line:
                done = line["done"]
            elif "line" in line and not progress.quiet:
                text = one_line(str(line["line"]))
                progress.above(lambda text=text: message(text))  # type: ignore[misc]
    finally:
        progress.clear()
    return done


def result(done: Mapping[str, Any] | None, *, quiet: bool = False) -> int:
    """Show what was reached."""
    if done is not None and not quiet:
        message(done_text(done))
    return OK


def progress_text(found: Mapping[str, Any], progress: Progress) -> str:
    """Name what is waited for; on a terminal first how many apps are up to date."""
    text = f"waiting for {found['text']}"
    apps = found["apps"]
    if progress.screen.columns and apps > 1:
        return f"{apps - found['waiting']}/{apps} up to date, {text}"
    return text


def done_text(done: Mapping[str, Any]) -> str:
    """Summarize what was reached: `all 9 apps are up to date (3.1 s); held: slow`."""
    took = f"({duration(done['seconds'])})"
    if done["count"] == 1 and done["apps"]:
        (app,) = done["apps"]
        if app["state"] != "ok":
            return f"{app['app']} is {app['state']} {took}"
        return f"{app['app']} is up to date: release {app['release']} {took}"
    if not done["count"]:
        return "no apps"
    text = f"all {count(done['count'], 'app')} are up to date {took}"
    others: dict[str, list[str]] = {}
    for app in done["apps"]:
        others.setdefault(app["state"], []).append(app["app"])
    return "; ".join([text, *(f"{state}: {', '.join(names)}" for state, names in others.items())])
