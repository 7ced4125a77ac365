"""The users that the configuration names, and how long the name service takes to know them."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from appagent.config.users import lookup_warnings
from appagent.doctor.finding import Doing, Finding, Said, note, ok, problem, warning
from appagent.model.settings import Settings

NAMES = "names"
_DEADLINE = 4.0
_SLOW = 0.5
_NOBODY = "appagent-doctor-asks"
_LOCAL = frozenset(("files", "compat", "systemd", "db", "altfiles"))


def look(settings: Settings, places: Mapping[str, str]) -> Iterator[Said]:
    """Look up every user and group, in a child of its own with a deadline."""
    yield Doing("asking the name service")
    warnings = lookup_warnings(settings, _DEADLINE, places)
    for line in warnings:
        yield judge(line, root=os.geteuid() == 0)
    if not warnings:
        yield ok(NAMES, "all users and groups of the configuration are known")
    yield Doing(f"asking the name service for {_NOBODY}")
    began = time.monotonic()
    with contextlib.suppress(KeyError):
        pwd.getpwnam(_NOBODY)  # no cache has it, so every source is asked
    yield from judge_service(_nsswitch(), time.monotonic() - began)


def judge(line: str, *, root: bool) -> Finding:
    """Judge one name that is not known."""
    if ".run_as: " in line and root:
        do = "create the user, or see why the name service does not know it: getent passwd NAME"
        return problem(NAMES, line, do)
    return warning(NAMES, line, "getent passwd NAME; getent group NAME")


def _nsswitch() -> str:
    try:
        return Path("/etc/nsswitch.conf").read_text("utf-8", "replace")
    except OSError:
        return ""


def judge_service(nsswitch: str, took: float) -> Iterator[Finding]:
    """Judge how names are found, and how long it took for one."""
    found = re.search(r"(?m)^\s*passwd:([^#\n]*)", nsswitch)
    words = re.sub(r"\[[^]]*\]", " ", found[1]).split() if found else []
    remote = [word for word in words if word not in _LOCAL]
    if took > _SLOW:
        text = f"looking up a name took {took:.1f} s, and every run does that several times"
        yield warning(NAMES, text, "nscd or sssd with a cache, or users of this machine")
    if remote:
        text = f"users come from {', '.join(remote)} too: while that is away, no new run begins"
        yield note(NAMES, text, "a local user for run_as is always known")
