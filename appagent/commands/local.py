"""`appagent run`, and `check-config` and `doctor`, which need no agent."""

from __future__ import annotations

from appagent import config
from appagent.commands.agent import Args, loaded
from appagent.commands.printing import as_json, data, message
from appagent.config.users import lookup_warnings
from appagent.model.exit_codes import CONFIG, OK, Refused


def check_config(args: Args) -> int:
    """Check the configuration."""
    try:
        found = loaded(args)
    except Refused as wrong:
        if args.json:
            as_json({"ok": False, "errors": wrong.text.splitlines(), "warnings": []})
            return CONFIG
        raise
    warnings = [*found.warnings, *lookup_warnings(found.settings, 5.0, found.positions)]
    notes = [f"{path} ({position})" for path, position in config.planned(found.tree)]
    if notes:
        notes = [f"planned keys, no effect yet: {', '.join(notes)}"]
    if args.json:
        result = {"ok": True, "errors": [], "warnings": warnings, "notes": notes}
        as_json(result | {"files": list(found.files)})
        return OK
    for line in warnings:
        message(f"warning: {line}")
    for line in notes:
        message(f"note: {line}")
    data(config.effective(found) if args.print else f"{', '.join(found.files)}: OK")
    return OK


def doctor(args: Args) -> int:
    """Show what on this machine would break a deploy."""
    from appagent.doctor import examine  # noqa: PLC0415 - check-config does without it

    return examine(args.config, json_wanted=args.json, verbose=args.verbose)


def run(args: Args) -> int:
    """Run the daemon."""
    from appagent.daemon.main import run as run_daemon  # noqa: PLC0415 - check-config does without

    return run_daemon(loaded(args), args.config, daemonize=args.daemonize, pidfile=args.pidfile)
