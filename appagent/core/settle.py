"""When what is seen is complete.

A symlink is swapped atomically, so it is complete at once. A work tree is complete when HEAD did
not change for `settle` without an index.lock, any other tree when two whole scans with `settle`
between them were equal. A release that is installed here was complete then: after a reboot it needs
no new wait.
"""

from __future__ import annotations

from collections.abc import Sequence

from appagent.model.seen import AppSeen
from appagent.model.settings import AppSettings
from appagent.model.words import Layout


def is_settled(seen: AppSeen, settings: AppSettings, installed: str) -> bool:
    """Whether a complete release was seen."""
    if not seen.known:
        return False
    if seen.release == installed:
        return True
    if seen.incomplete:
        return False
    if seen.layout is Layout.SYMLINK:
        return True
    # The watcher reports again after `settle`; the tolerance is for the subtraction of floats.
    return seen.at - seen.since >= settings.settle - 1e-6


def half_there(seen: AppSeen) -> str:
    """What keeps the release that was seen from being complete; "" if nothing does."""
    return f"{seen.incomplete} exists" if seen.incomplete else ""


def ignore_lines(paths: Sequence[str], most: int = 3) -> tuple[str, ...]:
    """The `ignore` lines that would leave these paths out, the fewest first.

    Several paths in one directory are proposed as that directory; a single file as itself.
    """
    by_dir: dict[str, list[str]] = {}
    for path in paths:
        head, _, _ = path.rpartition("/")
        by_dir.setdefault(head, []).append(path)
    lines: list[str] = []
    for head, inside in by_dir.items():
        if head and len(inside) > 1:
            lines.append(f"/{head}/")
        else:
            lines += [f"/{path}" for path in inside]
    return tuple(lines[:most])
