"""Carry out one command: import its module, and turn what it refuses into an exit code."""

from __future__ import annotations

import argparse
import contextlib
from importlib import import_module

from appagent.commands.printing import flush, message
from appagent.model.exit_codes import Refused


def carry_out(where: str, args: argparse.Namespace) -> int:
    """Run `module:function` of this package; what it refuses is shown as messages."""
    module, _, function = where.partition(":")
    command = getattr(import_module(f"appagent.commands.{module}"), function)
    try:
        code: int = command(args)
        flush()
    except Refused as refused:
        with contextlib.suppress(Refused):
            flush()
        for line in refused.text.splitlines():
            message(line)
        return refused.code
    return code
