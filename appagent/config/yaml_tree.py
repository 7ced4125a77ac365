"""A YAML text as a small tree that knows the line of every value, within limits.

YAML's own typing is a trap for people: `on` becomes True, `22:30` becomes 1350 and `0755` becomes
493, and a repeated key silently wins. So nothing is typed here: a scalar stays the text that was
written, and the schema alone says what it means.

The tree is composed from the parser's events, which come one at a time: the limits on depth and on
the number of values are checked as each begins, before anything has grown. (`yaml.compose` builds
the whole text first, recurses as deep as it nests, and forgets where an alias stands.) An alias
shares the node that it names and counts as much as that, so ten lines cannot stand for a billion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from appagent.config.problems import ParseError, Position, Problem, join_path, quoted

# libyaml's parser is three times as fast; both give the same events.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What YAML does not allow in a text at all. PyYAML's two parsers word that differently and count
# its position differently, so it is searched for here.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# What a value must not contain, however it was written: an escape like "\0" gets past the above.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_NULL = {"", "~", "null", "Null", "NULL"}
_IN_QUOTES = "a string that begins with {} must be in quotes"
_HINTS = {"alias": "*", "tag": "!", "cannot start any token": "@ or `"}  # in what PyYAML reports


class Limits(NamedTuple):
    """How much a text may hold."""

    characters: int
    values: int
    aliases: bool
    depth: int = 16


@dataclass(slots=True)
class Scalar:
    """A value as it was written. `plain`: without quotes."""

    position: Position
    text: str
    plain: bool

    @property
    def is_null(self) -> bool:
        """Whether the value was left empty, or is `~` or `null`."""
        return self.plain and self.text in _NULL


@dataclass(slots=True)
class List:
    """A list."""

    position: Position
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Map:
    """A map. `keys` has the position of each key, in the order of writing."""

    position: Position
    entries: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Position] = field(default_factory=dict)


Node = Scalar | List | Map


def describe(node: Node) -> str:
    """Name what a node is, for a message."""
    if isinstance(node, Scalar):
        return f"the string {quoted(node.text)}"
    return "a map" if isinstance(node, Map) else "a list"


def parse(text: str, file: str, limits: Limits) -> tuple[Map, list[Problem]]:
    """Parse one document that is a map; an empty text is an empty map.

    What leaves a usable tree (a repeated key, a tag) is returned beside it, to be reported together
    with what the schema finds. Anything else raises ParseError.
    """
    text = text.removeprefix("\ufeff")
    if len(text) > limits.characters:
        message = f"is too large: more than {limits.characters} characters"
        raise ParseError(Position(file, 1), "", message)
    if bad := _FORBIDDEN.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        what = "a NUL byte" if bad[0] == "\0" else f"the character U+{ord(bad[0]):04X}"
        raise ParseError(Position(file, line), "", f"{what} is not allowed in a YAML file")
    events: Any = yaml.parse(text, Loader=LOADER)
    composer = _Composer(events, file, limits)
    try:
        tree = composer.document()
    except yaml.YAMLError as error:
        raise _syntax_error(error, text, file) from None
    finally:
        events.close()  # frees the parser where it was stopped half-way
    if tree is None or (isinstance(tree, Scalar) and tree.is_null):
        tree = Map(Position(file, 1))
    if not isinstance(tree, Map):
        message = f"expected a map of settings (`key: value`), got {describe(tree)}"
        raise ParseError(tree.position, "", message)
    return tree, composer.problems


class _Composer:
    """Composes the tree from the parser's events."""

    def __init__(self, events: Iterator[Any], file: str, limits: Limits) -> None:
        self.problems: list[Problem] = []
        self._events, self._file, self._limits = events, file, limits
        self._anchors: dict[str, tuple[Node, int] | None] = {}  # None: its end has not come yet
        self._depth = 0
        self._values = 0

    def document(self) -> Node | None:
        """Compose the only document; None where there is none."""
        root = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    message = "a second document begins here (`---`); a file must contain only one"
                    raise ParseError(self._position(event), "", message)
                root = self._node(next(self._events), "")
        return root

    def _node(self, event: Any, path: str) -> Node:  # noqa: ANN401 - PyYAML's classes are not typed
        position, before = self._position(event), self._values
        self._count(1, position)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), position, path)
        if event.tag is not None:
            message = (
                f"a tag has no meaning here: {quoted(event.tag)}; put a string with ! in quotes"
            )
            self.problems.append(Problem(position, path, message))
        if event.anchor:
            self._anchors[event.anchor] = None
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = Scalar(position, event.value, plain=not event.style)
        else:
            if self._depth >= self._limits.depth:
                message = f"nests deeper than {self._limits.depth} levels"
                raise ParseError(position, path, message)
            self._depth += 1
            of_map = isinstance(event, yaml.MappingStartEvent)
            node = self._map(position, path) if of_map else self._list(position, path)
            self._depth -= 1
        if event.anchor:
            self._anchors[event.anchor] = node, self._values - before
        return node

    def _list(self, position: Position, path: str) -> List:
        made = List(position)
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            made.items.append(self._node(event, f"{path}[{len(made.items)}]"))
        return made

    def _map(self, position: Position, path: str) -> Map:
        made = Map(position)
        merged: list[Map] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            at = self._position(event)
            collection = isinstance(event, yaml.CollectionStartEvent)
            key = None if collection else self._node(event, path)
            if not isinstance(key, Scalar):
                raise ParseError(at, path, "a key must be a single word, not a list or a map")
            below = join_path(path, key.text)
            if key.text in made.keys:
                message = f"is set twice; the first time in line {made.keys[key.text].line}"
                self.problems.append(Problem(at, below, message))
            made.keys.setdefault(key.text, at)
            value = self._node(next(self._events), below)
            if isinstance(value, Scalar) and value.plain and not value.text:
                value = Scalar(at, "", plain=True)  # the parser was at whatever comes next
            if key.text == "<<":
                merged += self._sources(value, at, below)
            else:
                made.entries.setdefault(key.text, value)
        for source in merged:
            for name, value in source.entries.items():
                if made.entries.setdefault(name, value) is value:
                    made.keys[name] = source.keys[name]
        return made

    def _sources(self, value: Node, at: Position, path: str) -> Iterator[Map]:
        for source in value.items if isinstance(value, List) else [value]:
            if isinstance(source, Map):
                yield source
            else:
                self.problems.append(Problem(at, path, "expected a map, or an alias of one"))

    def _alias(self, name: str, position: Position, path: str) -> Node:
        if not self._limits.aliases:
            raise ParseError(position, path, f"aliases (*{name}) are not allowed in this file")
        if name not in self._anchors:
            raise ParseError(
                position, path, f"*{name} names no anchor above; {_IN_QUOTES.format('*')}"
            )
        if (named := self._anchors[name]) is None:
            raise ParseError(position, path, f"*{name} stands inside of what it names")
        self._count(named[1] - 1, position)
        return named[0]

    def _count(self, values: int, position: Position) -> None:
        self._values += values
        if self._values > self._limits.values:
            most = f"more than {self._limits.values} values, with every alias counted"
            raise ParseError(position, "", f"contains {most}")

    def _position(self, event: Any) -> Position:  # noqa: ANN401 - as above
        return Position(self._file, event.start_mark.line + 1)


def _syntax_error(error: yaml.YAMLError, text: str, file: str) -> ParseError:
    """Word what the parser reports, at the line that a person should check."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return ParseError(Position(file, 1), "", "invalid YAML")
    what, doing = str(error.problem or "cannot be parsed"), str(error.context or "")
    mark, start = error.problem_mark, error.context_mark
    lines = text.rstrip().split("\n")
    if start is not None and (mark is None or mark.line >= len(lines)):
        mark = start  # what was never closed, rather than the end of the file
    line = min(mark.line if mark is not None else 0, len(lines) - 1)
    indent = lines[line][: len(lines[line]) - len(lines[line].lstrip())]
    signs = [sign for word, sign in _HINTS.items() if word in f"{doing} {what}"]
    hint = f"; {_IN_QUOTES.format(signs[0])}" if signs else ""
    if doing and start is not None and start.line < line:
        what += f", {doing} that began in line {start.line + 1}"
    if "\t" in indent:
        hint = "; a tab cannot indent, use spaces"
    return ParseError(Position(file, line + 1), "", f"invalid YAML: {what}{hint}")
