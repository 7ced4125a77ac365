"""Whether the users and groups that the configuration names exist on this machine.

Only commands ask, never the daemon: a name service can be unavailable, so a name that is not found
is a warning, and it can hang, so a child asks it.
"""

from __future__ import annotations

import contextlib
import grp
import pwd
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from appagent.host.isolate import End, Task, run_all
from appagent.model.settings import Settings

Answer = tuple[str, int | None, bool]  # name, the uid if it is a user, whether it is a group
_KEYWORDS = ("self", "owner")


def look_up(names: Sequence[str]) -> Iterator[Answer]:
    """Ask the name service for each name."""
    for name in names:
        uid, group = None, False
        with contextlib.suppress(KeyError, ValueError, OSError):
            uid = pwd.getpwnam(name).pw_uid
        with contextlib.suppress(KeyError, ValueError, OSError):
            group = bool(grp.getgrnam(name))
        yield name, uid, group


def lookup_warnings(
    settings: Settings,
    deadline: float,
    positions: Mapping[str, str] | None = None,
    look_up: Callable[[Sequence[str]], Iterable[Answer]] = look_up,
) -> tuple[str, ...]:
    """Look up every user and group, for `deadline` seconds at most; a warning for each problem.

    `positions` is what Loaded.positions has, so that a warning names its line.
    """
    named = list(_named(settings))
    if not named:
        return ()
    names = sorted({name for _, name, _ in named})
    (outcome,) = run_all([Task(partial(look_up, names), deadline, deadline)], deadline)
    answers = {name: (uid, group) for name, uid, group in outcome.items}
    late = outcome.end in (End.HUNG, End.LATE)
    silent = f"the name service did not answer within {deadline:g} s" if late else ""
    warnings = []
    for path, name, group_too in named:
        if name in answers:
            what = _judge(name, answers[name], group_too=group_too)
        else:
            what = f"{name} could not be looked up" + (f": {silent}" if silent else "")
        if what:
            position = (positions or {}).get(path, "")
            warnings.append(": ".join(part for part in (position, path, what) if part))
    return tuple(warnings)


def _named(settings: Settings) -> Iterator[tuple[str, str, bool]]:
    """Each name to look up: its path in the settings, the name, whether a group will do."""
    for root in settings.roots:
        if root.run_as not in _KEYWORDS:
            yield f"roots[{root.path}].run_as", root.run_as, False
        for name in root.trusted_owners:
            yield f"roots[{root.path}].trusted_owners", name, True


def _judge(name: str, answer: tuple[int | None, bool], *, group_too: bool) -> str:
    uid, group = answer
    if uid is None and not (group and group_too):
        if group_too:
            return f"no user or group {name} on this machine; its files are not trusted"
        return f"no user {name} on this machine; until it exists, no app of this root runs"
    if uid == 0 and name != "root" and not group_too:
        return f"{name} is root by another name; root must be given as root"
    return ""
