"""Whether the users and groups that the configuration names are known on this machine.

Only `check-config` asks, never the daemon: a name service can be away, and the answer is then a
warning at most. It can also hang, where nothing in this process could end the call, so a child
asks, and is left to itself when the deadline is over.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from appagent.model.settings import Settings

_ASKED = str(Path(__file__).with_name("ask_names.py"))
_WORDS = ("self", "owner")


def lookup_warnings(
    settings: Settings, deadline: float, places: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Look up every user and group, for `deadline` seconds at most; say which are not known.

    `places` is what Loaded.places has, so that a warning names its line.
    """
    named = list(_named(settings))
    if not named:
        return ()
    answers = _ask(sorted({name for _, name, _ in named}), deadline)
    warnings = []
    for path, name, group_too in named:
        what = _judge(name, answers, group_too=group_too, deadline=deadline)
        if what:
            place = (places or {}).get(path, "")
            warnings.append(": ".join(part for part in (place, path, what) if part))
    return tuple(warnings)


def _named(settings: Settings) -> Iterator[tuple[str, str, bool]]:
    """Give each name: where it stands, the name, whether it may be a group's."""
    for root in settings.roots:
        if root.run_as not in _WORDS:
            yield f"roots[{root.path}].run_as", root.run_as, False
        for name in root.trusted_owners:
            yield f"roots[{root.path}].trusted_owners", name, True


def _judge(
    name: str,
    answers: Mapping[str, tuple[int | None, bool]] | None,
    *,
    group_too: bool,
    deadline: float,
) -> str:
    if answers is None:
        return f"{name} could not be looked up"
    if name not in answers:
        return f"the name service did not say within {deadline:g} s who {name} is"
    uid, group = answers[name]
    if uid is None and not (group and group_too):
        if group_too:
            return f"no user or group {name} is known on this machine; its files are not trusted"
        return f"no user {name} is known on this machine; until it is, no app of this root runs"
    if uid == 0 and name != "root" and not group_too:
        return f"{name} is root by another name; root is taken by its own name only"
    return ""


def _ask(names: list[str], deadline: float) -> dict[str, tuple[int | None, bool]] | None:
    """Ask a child for each name: its uid, if a user has it, and whether a group has it."""
    command = [sys.executable, "-I", "-S", _ASKED]
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return None
    said = b""
    try:
        said, _ = child.communicate(json.dumps(names).encode(), timeout=deadline)
    except subprocess.TimeoutExpired as late:
        said = late.output or b""
        child.kill()
        # It may hang where even SIGKILL waits; then it is left behind.
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=1)
    finally:
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
    whole = said[: said.rfind(b"\n") + 1]
    if child.returncode and not whole:
        return None
    answers = (json.loads(line) for line in whole.splitlines())
    return {name: (uid, group) for name, uid, group in answers}
