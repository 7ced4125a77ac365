"""How a command asks the agent: where it listens, its answer, and what it refuses."""

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
from appagent.model.exit_codes import CONFIG, NO_AGENT, OK, Refused

PATIENCE = 10.0  # seconds for an answer
NOT_MINE = os.strerror(errno.EACCES)
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
                else:
                    refuse(line["end"])
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


def refuse(end: Mapping[str, Any]) -> None:
    """Raise what the agent refused; an end that is well passes."""
    if end["code"] != OK:
        raise Refused(int(end["code"]), one_line(str(end["text"])))


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
