"""Validates a tree by the schema: plain values for what is right, a Problem for what is not.

What is wrong is left out of the values, so that whatever can be checked further still is, and a
person sees everything at once. A bad tree costs a bounded number of messages.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from contextlib import suppress
from typing import NoReturn

from appagent.config.problems import Position, Problem, join_path, quoted
from appagent.config.schema import APP, NODE, ListOf, MapOf, Table, locations
from appagent.config.values import BadValueError, Kind
from appagent.config.yaml_tree import UNPRINTABLE, List, Map, Node, Scalar, describe

# A table's values by key; a value of a kind, a list, or such a map again.
Values = dict[str, object]

_MAX_PROBLEMS = 100
_MAX_KEY = 64


class ConfigErrors(Exception):
    """Everything that is wrong with a configuration."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(dict.fromkeys(problems), key=lambda one: one.position))
        lines = [str(one) for one in self.problems[:_MAX_PROBLEMS]]
        if len(self.problems) > _MAX_PROBLEMS:
            lines.append(f"… and {len(self.problems) - _MAX_PROBLEMS} more")
        self.errors = tuple(lines)
        super().__init__("\n".join(lines))


class Validator:
    """Validates trees and collects what is wrong with them.

    `not_allowed` is the message for a key that exists, but elsewhere.
    """

    def __init__(self, not_allowed: str = "") -> None:
        self.problems: list[Problem] = []
        self._not_allowed = not_allowed

    def wrong(self, position: Position, path: str, message: str) -> None:
        """Note that something is wrong."""
        self.problems.append(Problem(position, path, message))

    def table(self, node: Map, table: Table, path: str = "") -> Values:
        """Validate a map with known keys; the values that are right."""
        values: Values = {}
        for name, child in node.entries.items():
            key, below = table.keys.get(name), join_path(path, name)
            if key is None:
                self.wrong(node.keys[name], below, self._unknown(name, table))
                continue
            with suppress(_OmittedError):
                values[name] = self._value(child, key.type, node.keys[name], below)
        for key in table.keys.values():
            if key.required and key.name not in node.entries:
                expected = key.type.expected if isinstance(key.type, Kind) else key.description
                self.wrong(node.position, join_path(path, key.name), f"is required: {expected}")
        return values

    def _value(
        self, node: Node, of: Kind | ListOf | MapOf | Table, at: Position, path: str
    ) -> object:
        null = isinstance(node, Scalar) and node.is_null
        if isinstance(of, Kind):
            return self._scalar(node, of, at, path)
        if isinstance(of, ListOf):
            if not isinstance(node, List):
                empty = "has no value: expected a list; [] is the empty one"
                self._leave_out(
                    at, path, empty if null else f"expected a list, got {describe(node)}"
                )
            if not node.items and not of.may_be_empty:
                self._leave_out(at, path, "must not be empty")
            if 0 < of.limit < len(node.items):
                message = f"contains {len(node.items)} values; at most {of.limit} are allowed here"
                self._leave_out(at, path, message)
            return self._items(node, of.items, path)
        if null:
            return {}  # a map whose lines are all commented out
        if not isinstance(node, Map):
            self._leave_out(at, path, f"expected a map, got {describe(node)}")
        if isinstance(of, Table):
            return self.table(node, of, path)
        return self._names(node, of, path)

    def _scalar(self, node: Node, of: Kind, at: Position, path: str) -> object:
        if not isinstance(node, Scalar):
            message = f"expected a single value ({of.expected}), got {describe(node)}"
            self._leave_out(at, path, message)
        if node.is_null:
            self._leave_out(node.position, path, f"has no value: expected {of.expected}")
        if UNPRINTABLE.search(node.text):
            message = f"{quoted(node.text)} contains a line break or a control character"
            self._leave_out(node.position, path, message)
        try:
            return of.parse(node.text)
        except BadValueError as wrong:
            message = f"{wrong}{_did_you_mean(node.text, of.expected)}"
            self._leave_out(node.position, path, message)

    def _items(self, node: List, of: Kind | Table, path: str) -> tuple[object, ...]:
        items = []
        for number, item in enumerate(node.items):
            with suppress(_OmittedError):
                items.append(self._value(item, of, item.position, f"{path}[{number}]"))
        return tuple(items)

    def _names(self, node: Map, of: MapOf, path: str) -> Values:
        values: Values = {}
        for name, child in node.entries.items():
            position, below = node.keys[name], join_path(path, name)
            try:
                of.names.parse(name)
            except BadValueError as wrong:
                self.wrong(position, below, f"cannot be {of.names.expected}: {wrong}")
            with suppress(_OmittedError):
                values[name] = self._value(child, of.values, position, below)
        return values

    def _leave_out(self, position: Position, path: str, message: str) -> NoReturn:
        self.wrong(position, path, message)
        raise _OmittedError

    def _unknown(self, name: str, table: Table) -> str:
        elsewhere = locations(name)
        if self._not_allowed and elsewhere:
            return self._not_allowed
        if elsewhere:
            return f"unknown key here; it belongs under {' or '.join(elsewhere)}"
        # People forget the level above: of the top level's keys, those of `defaults` are near too.
        below = APP.keys if table is NODE else {}
        if near := nearest(name, [*below, *table.keys]):
            shown = near if near in table.keys else f"defaults.{near}"
            return f"unknown key; did you mean {shown}?"
        return f"unknown key; known here: {', '.join(table.keys)}"


class _OmittedError(Exception):
    """A value is wrong; that has been noted."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is nearest to this one, or "" if none is near."""
    names = {_folded(one): one for one in known}
    found = difflib.get_close_matches(_folded(name[:_MAX_KEY]), names, 1, 0.6)
    return names[found[0]] if found else ""


def _folded(name: str) -> str:
    return name.lower().replace("-", "_")


def _did_you_mean(text: str, expected: str) -> str:
    """Name the word that was meant, where one of a few words is expected."""
    words = expected.split(" | ")
    near = nearest(text, words) if len(words) > 1 else ""
    return f"; did you mean {near}?" if near and len(near.split()) == 1 else ""
