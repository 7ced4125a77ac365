"""A tree read by a table: plain values where all is well, and a Problem for all that is not.

What is wrong is left out of the values, so that whatever can be checked further still is, and a
person sees everything at once. A bad tree costs a bounded number of messages.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NoReturn

from appagent.config.schema import Key, Many, Named, Table, homes
from appagent.config.values import BadValueError, Kind
from appagent.config.yaml_tree import (
    UNPRINTABLE,
    Listing,
    Map,
    Node,
    Place,
    Problem,
    Scalar,
    joined,
    kind,
    shown,
)

# A table's values by key; a value of a kind, a list, or such a map again.
Values = dict[str, object]

_MOST_PROBLEMS = 100
_LONGEST_KEY = 64


class ConfigErrors(Exception):
    """Everything that is wrong with a configuration."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(dict.fromkeys(problems), key=lambda one: one.place))
        lines = [str(one) for one in self.problems[:_MOST_PROBLEMS]]
        if len(self.problems) > _MOST_PROBLEMS:
            lines.append(f"… and {len(self.problems) - _MOST_PROBLEMS} more")
        self.errors = tuple(lines)
        super().__init__("\n".join(lines))


class Reader:
    """Reads trees and gathers what is wrong with them.

    `not_here` is what is said of a key that exists, but elsewhere.
    """

    def __init__(self, not_here: str = "") -> None:
        self.problems: list[Problem] = []
        self._not_here = not_here

    def wrong(self, place: Place, path: str, what: str) -> None:
        """Note that something is wrong."""
        self.problems.append(Problem(place, path, what))

    def table(self, node: Map, table: Table, path: str = "") -> Values:
        """Read a map by its table."""
        values: Values = {}
        for name, child in node.entries.items():
            key = table.keys.get(name)
            below = joined(path, name)
            if key is None:
                self.wrong(node.keys[name], below, self._unknown(name, table))
                continue
            try:
                values[name] = self._value(child, key.of, node.keys[name], below)
            except _LeftOutError:
                continue
        for key in table.keys.values():
            if key.required and key.name not in node.entries:
                self.wrong(node.place, joined(path, key.name), f"must be given: {_wanted(key)}")
        return values

    def _value(self, node: Node, of: Kind | Many | Named | Table, key: Place, path: str) -> object:
        nothing = isinstance(node, Scalar) and node.nothing
        if isinstance(of, Kind):
            return self._scalar(node, of, key, path)
        if isinstance(of, Many):
            if not isinstance(node, Listing):
                what = "has no value: a list is wanted, of which [] is the empty one"
                self._leave_out(key, path, what if nothing else _want("a list", node))
            if not node.items and not of.empty:
                self._leave_out(key, path, "must not be empty")
            if 0 < of.most < len(node.items):
                what = f"holds {len(node.items)} values; at most {of.most} are allowed here"
                self._leave_out(key, path, what)
            return self._items(node, of.of, path)
        if nothing:
            return {}  # a map whose lines are all commented out says nothing
        if not isinstance(node, Map):
            self._leave_out(key, path, _want("a map", node))
        if isinstance(of, Table):
            return self.table(node, of, path)
        return self._named(node, of, path)

    def _scalar(self, node: Node, of: Kind, key: Place, path: str) -> object:
        if not isinstance(node, Scalar):
            self._leave_out(key, path, f"one value is wanted ({of.wants}), not {kind(node)}")
        if node.nothing:
            self._leave_out(node.place, path, f"has no value: {of.wants}")
        if UNPRINTABLE.search(node.text):
            what = f"{shown(node.text)} holds a line break or a control character"
            self._leave_out(node.place, path, what)
        try:
            return of.read(node.text)
        except BadValueError as wrong:
            self._leave_out(node.place, path, f"{wrong}{_meant(node.text, of.wants)}")

    def _items(self, node: Listing, of: Kind | Table, path: str) -> tuple[object, ...]:
        items = []
        for number, item in enumerate(node.items):
            try:
                items.append(self._value(item, of, item.place, f"{path}[{number}]"))
            except _LeftOutError:
                continue
        return tuple(items)

    def _named(self, node: Map, of: Named, path: str) -> Values:
        values: Values = {}
        for name, child in node.entries.items():
            place, below = node.keys[name], joined(path, name)
            try:
                of.key.read(name)
            except BadValueError as wrong:
                self.wrong(place, below, f"cannot be {of.key.wants}: {wrong}")
            try:
                values[name] = self._value(child, of.of, place, below)
            except _LeftOutError:
                continue
        return values

    def _leave_out(self, place: Place, path: str, what: str) -> NoReturn:
        self.wrong(place, path, what)
        raise _LeftOutError

    def _unknown(self, name: str, table: Table) -> str:
        elsewhere = homes(name)
        if self._not_here and elsewhere:
            return self._not_here
        near = nearest(name, table.keys)
        if near and not (elsewhere and _folded(near) != _folded(name)):
            return f"unknown key; did you mean {near}?"
        if elsewhere:
            return f"unknown key here; it belongs under {' or '.join(elsewhere)}"
        return f"unknown key; known here: {', '.join(table.keys)}"


class _LeftOutError(Exception):
    """A value is wrong; that has been noted."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Give the known name that is nearest to this one, or "" if none is near."""
    names = {_folded(one): one for one in known}
    found = difflib.get_close_matches(_folded(name[:_LONGEST_KEY]), names, 1, 0.6)
    return names[found[0]] if found else ""


def _folded(name: str) -> str:
    return name.lower().replace("-", "_")


def _meant(text: str, wants: str) -> str:
    """Name the word that was meant, where the kind is one of a few words."""
    words = wants.split(" | ")
    near = nearest(text, words) if len(words) > 1 else ""
    return f"; did you mean {near}?" if near and len(near.split()) == 1 else ""


def _want(wanted: str, node: Node) -> str:
    return f"{wanted} is wanted, not {kind(node)}"


def _wanted(key: Key) -> str:
    return key.of.wants if isinstance(key.of, Kind) else key.what
