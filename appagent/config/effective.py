"""The configuration in force as YAML, with a comment on each value that says where it comes from.

The output is a configuration again: loaded on the same machine it makes the same settings, but for
secrets, such as the URL of a webhook, which are hidden.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from appagent.config.load import Loaded
from appagent.config.problems import Position, join_path
from appagent.config.schema import NODE, Key, ListOf, MapOf, Table
from appagent.config.yaml_tree import List, Map, Node, Scalar

_COLUMN = 44  # where the comments begin
_PLANNED = "planned, no effect yet"
_HIDDEN = "<hidden>"
_PLAIN = re.compile(r"[A-Za-z0-9_/.%+][A-Za-z0-9_/.%+@-]*")


class _Line(NamedTuple):
    text: str
    source: str = ""

    def __str__(self) -> str:
        return f"{self.text:<{_COLUMN}} # {self.source}" if self.source else self.text


def effective(loaded: Loaded) -> str:
    """Render every setting of the node, and of each app what differs from the defaults."""
    defaults = {"node": (loaded.settings.node, "the host name"), "roots[].run_as": ("self", "")}
    return "".join(f"{line}\n" for line in _Renderer(defaults).table(loaded.tree, NODE, ""))


def planned(tree: Node, table: Table = NODE, path: str = "") -> Iterator[tuple[str, Position]]:
    """Find the keys that were written and have no effect yet: path and position."""
    for name, node in tree.entries.items() if isinstance(tree, Map) else ():
        key, below = table.keys[name], join_path(path, name)
        if key.planned and isinstance(tree, Map):
            yield below, tree.keys[name]
        elif isinstance(key.type, Table):
            yield from planned(node, key.type, below)
        elif isinstance(key.type, MapOf) and isinstance(node, Map):
            for app, child in node.entries.items():
                yield from planned(child, key.type.values, join_path(below, app))
        elif isinstance(key.type, ListOf) and isinstance(key.type.items, Table):
            for number, item in enumerate(node.items if isinstance(node, List) else ()):
                yield from planned(item, key.type.items, f"{below}[{number}]")


class _Renderer:
    """Renders maps; `defaults` has those that the schema cannot know: path → value, reason."""

    def __init__(self, defaults: dict[str, tuple[str, str]]) -> None:
        self._defaults = defaults

    def table(
        self, tree: Node | None, table: Table, path: str, *, whole: bool = True
    ) -> Iterator[_Line]:
        """Render a map with known keys; with `whole` also the keys that were not written."""
        written = tree if isinstance(tree, Map) else Map(Position("", 0))
        for key in table.keys.values():
            if whole or key.name in written.entries:
                below = f"{path}.{key.name}" if path else key.name
                yield from self._key(written, key, below, whole=whole)

    def _key(self, tree: Map, key: Key, path: str, *, whole: bool) -> Iterator[_Line]:
        node, of = tree.entries.get(key.name), key.type
        source = str(tree.keys[key.name]) if node is not None else "default"
        source += f"; {_PLANNED}" if key.planned else ""
        items = node.items if isinstance(node, List) else []
        if isinstance(of, Table):
            yield _Line(f"{key.name}:", _PLANNED if key.planned else "")
            yield from _indented(self.table(node, of, path, whole=whole))
        elif isinstance(of, MapOf) and isinstance(node, Map) and node.entries:
            yield _Line(f"{key.name}:")
            for name, child in node.entries.items():
                lines = list(self.table(child, of.values, path, whole=False))
                empty = "" if lines else " {}"
                yield _Line(f"  {_text(name)}:{empty}", "" if lines else str(node.keys[name]))
                yield from _indented(_indented(lines))
        elif isinstance(of, ListOf) and isinstance(of.items, Table) and items:
            yield _Line(f"{key.name}:", _PLANNED if key.planned else "")
            for item in items:
                first, *rest = self.table(item, of.items, f"{path}[]")
                yield first._replace(text=f"  - {first.text}")
                yield from _indented(_indented(rest))
        elif isinstance(of, ListOf) and isinstance(node, List):
            texts = ", ".join(_text(item.text) for item in items if isinstance(item, Scalar))
            yield _Line(f"{key.name}: [{texts}]", source)
        elif key.secret and isinstance(node, Scalar):
            yield _Line(f"{key.name}: {_HIDDEN}", source)
        elif isinstance(node, Scalar) and not node.is_null:
            yield _Line(f"{key.name}: {_text(node.text)}", source)
        else:
            yield self._default(key, path, source)

    def _default(self, key: Key, path: str, source: str) -> _Line:
        text, reason = self._defaults.get(path, (key.default, ""))
        if not text:
            return _Line(f"# {key.name}:", "not set")
        return _Line(f"{key.name}: {text}", f"{source}: {reason}" if reason else source)


def _indented(lines: Iterator[_Line] | list[_Line]) -> Iterator[_Line]:
    return (line._replace(text=f"  {line.text}") for line in lines)


def _text(text: str) -> str:
    """Write a string so that it means itself in a list too; JSON's quotes are YAML's."""
    plain = _PLAIN.fullmatch(text) and text.lower() != "null"
    return text if plain else json.dumps(text, ensure_ascii=False)
