"""The children of a root: which may be apps, which of those this node runs, which cannot be one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appagent.core.names import is_hidden, managed, why_no_app
from appagent.share.disk import DIR, LINK
from appagent.share.watchlist import RootSpec


@dataclass(frozen=True, slots=True)
class Children:
    """A listing of a root, sorted. Files and hidden directories are in none of these."""

    entries: Mapping[str, str]
    spec: RootSpec
    mine: frozenset[str]  # by include and exclude; polled
    others: frozenset[str]  # left out by them; only named
    refused: Mapping[str, str]  # name → why it cannot be an app


def children(entries: Mapping[str, str], spec: RootSpec, before: Children | None) -> Children:
    """Sort a listing; one that is like the one before is not sorted again."""
    if before is not None and entries == before.entries and spec == before.spec:
        return before
    mine, others, refused = set(), set(), {}
    for name, kind in entries.items():
        if kind not in (DIR, LINK) or is_hidden(name):
            continue
        why = why_no_app(name)
        if why:
            refused[name] = why
        elif managed(name, spec.include, spec.exclude):
            mine.add(name)
        else:
            others.add(name)
    return Children(entries, spec, frozenset(mine), frozenset(others), refused)
