"""How a command asks the agent: its arguments, where the agent listens, its answer and refusals."""

from __future__ import annotations

import argparse
import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from appagent import config
from appagent.commands.printing import message
from appagent.daemon.client import ask
from appagent.host.text import one_line
from appagent.model.exit_codes import CONFIG, NO_AGENT, OK, USAGE, Refused

PATIENCE = 10.0  # seconds for an answer
NOT_MINE = os.strerror(errno.EACCES)
COUNT_MOST = 1_000_000
Args = argparse.Namespace


def loaded(args: Args) -> config.Loaded:
    """Load the configuration; Refused(78) with every line that is wrong."""
    try:
        return config.load(args.config)
    except config.ConfigErrors as wrong:
        raise Refused(CONFIG, "\n".join(wrong.errors)) from None


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent of a configuration, which may run or not."""

    located: config.Located
    trouble: tuple[str, ...] = ()  # why it may not be found there

    def ask(
        self, request: Mapping[str, object], patience: float | None = PATIENCE
    ) -> Iterator[dict[str, Any]]:
        """Ask it; yields its data and lines, raises Refused for an end that is not 0."""
        try:
            for line in ask(self.located.socket, request, patience):
                if "end" not in line:
                    yield line
                elif (end := line["end"])["code"] != OK:
                    raise Refused(int(end["code"]), one_line(str(end["text"])))  # noqa: TRY301 - as `ask` does
        except Refused as refused:
            if refused.code == NO_AGENT and self.trouble:
                text = f"{refused.text} (the configuration: {self.trouble[0]})"
                raise Refused(NO_AGENT, text) from None
            raise

    def answer(self, request: Mapping[str, object]) -> Any:  # noqa: ANN401 - JSON is any
        """Ask it for one piece of data."""
        found = None
        for line in self.ask(request):
            found = line.get("data", found)
        return found


def agent_of(args: Args) -> Agent:
    """Find the agent; what is wrong with its configuration is reported.

    A broken configuration must not keep anyone from asking an agent that runs. One that this
    person may not read is not wrong: that is reported only where it hides the agent.
    """
    found = config.locate(args.config)
    wrong = [line for line in found.errors if NOT_MINE not in line]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        message(f"the configuration is wrong: {wrong[0]}{more}; see: appagent check-config")
    return Agent(found, () if wrong else found.errors)


def span(text: str | None, option: str) -> float | None:
    """Read a duration, in seconds."""
    if text is None:
        return None
    try:
        return config.seconds(text)
    except config.BadValueError as wrong:
        raise Refused(USAGE, f"{option} {text[:80]}: {wrong}") from None


def count(text: str, option: str, most: int = COUNT_MOST) -> int:
    """Read a number from 1 to `most`."""
    # Its length first: Python itself refuses to read a number of thousands of digits.
    if not (text.isascii() and text.isdigit() and len(text) < 8 and 0 < int(text) <= most):  # noqa: PLR2004
        raise Refused(USAGE, f"{option} {text[:80]}: expected a number from 1 to {most}")
    return int(text)
