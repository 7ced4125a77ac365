"""`appagent run`: the daemon."""

from __future__ import annotations

from appagent.commands.agent import Args, loaded
from appagent.daemon.main import run as run_daemon


def run(args: Args) -> int:
    """Run the daemon."""
    return run_daemon(loaded(args), args.config, daemonize=args.daemonize, pidfile=args.pidfile)
