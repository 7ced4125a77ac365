"""Whether the users and groups of the configuration exist on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from appagent.config.users import lookup_warnings
from appagent.doctor.finding import Finding, Item, Step, ok, problem, warning
from appagent.model.settings import Settings

USERS = "users"
_DEADLINE = 4.0


def check(settings: Settings, positions: Mapping[str, str]) -> Iterator[Item]:
    """Look up every user and group."""
    yield Step("asking the name service")
    lines = lookup_warnings(settings, _DEADLINE, positions)
    for line in lines:
        yield judge(line, root=os.geteuid() == 0)
    if not lines:
        yield ok(USERS, "all users and groups of the configuration exist")


def judge(line: str, *, root: bool) -> Finding:
    """Judge one name that was not found."""
    if ".run_as: " in line and root:
        do = "create the user, or fix the name service: getent passwd NAME"
        return problem(USERS, line, do)
    return warning(USERS, line, "getent passwd NAME; getent group NAME")
