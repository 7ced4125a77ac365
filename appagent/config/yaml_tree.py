"""A YAML text as a small tree that knows the line of everything in it, and cannot be a bomb.

Theory of operation. YAML's own resolution is a trap for people: `on` becomes True, `22:30` becomes
1350 and `0755` becomes 493, and a repeated key silently wins. So nothing is resolved here: a scalar
stays the text that was written, and the schema alone says what it means.

The tree is built from the parser's events, which come one at a time and without recursion, so a
limit can end the reading before anything has grown: depth, the number of nodes, and the number of
nodes with every alias counted as often as it is used. An alias shares the node it names, so that
ten lines that stand for a billion nodes are refused by adding up sizes, not by walking.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

# The C parser is three times as quick; both give the same events.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What YAML allows in a text at all. The two parsers word a breach differently and count its place
# differently, so it is looked for here.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# What a value may not hold, however it was written: an escape like "\0" gets past the above.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_SHOWN = 60


class Place(NamedTuple):
    """Where something is written."""

    file: str
    line: int


class Problem(NamedTuple):
    """One thing that is wrong: `file:line: path: what`."""

    place: Place
    path: str
    what: str

    def __str__(self) -> str:
        where = f"{self.place.file}:{self.place.line}" if self.place.line else self.place.file
        return ": ".join(part for part in (where, self.path, self.what) if part)


class TreeError(Exception):
    """The text is no tree that we read; its one argument is the Problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class Limits(NamedTuple):
    """How much a text may hold."""

    characters: int
    nodes: int
    depth: int = 16


@dataclass(slots=True)
class Scalar:
    """A value as it was written. `plain` says that it stood there without quotes."""

    place: Place
    text: str
    plain: bool
    size: int = 1

    @property
    def nothing(self) -> bool:
        """Whether it says that there is no value: left empty, `~` or `null`."""
        return self.plain and self.text in {"", "~", "null", "Null", "NULL"}


@dataclass(slots=True)
class Listing:
    """A list."""

    place: Place
    items: list[Node] = field(default_factory=list)
    size: int = 1


@dataclass(slots=True)
class Map:
    """A map. `keys` has the place of each key, in the order of writing."""

    place: Place
    entries: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)
    size: int = 1


Node = Scalar | Listing | Map


def shown(text: str) -> str:
    """Give a text from outside as it may stand in one line of a message."""
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


def printable(path: str) -> str:
    """Give a path as it can stand in one line of a message, whatever bytes it is made of."""
    return path if path.isprintable() else repr(path)[1:-1]


def joined(path: str, key: str) -> str:
    """Give the path of a key below another path."""
    plain = len(key) <= _SHOWN and re.fullmatch(r"[\w.+@:<-]+", key)
    step = key if plain else shown(key)
    return f"{path}.{step}" if path else step


def grow(text: str, file: str, limits: Limits) -> tuple[Map, list[Problem]]:
    """Read one document whose top is a map; an empty text is an empty map.

    What leaves a readable tree (a repeated key, a tag) is returned beside it, so that it can be
    told together with what the schema finds. Anything else raises TreeError.
    """
    text = text.removeprefix("\ufeff")
    if len(text) > limits.characters:
        raise TreeError(
            Problem(Place(file, 1), "", f"is too large: more than {limits.characters} characters")
        )
    if bad := _FORBIDDEN.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        what = "a NUL byte" if bad[0] == "\0" else f"the character U+{ord(bad[0]):04X}"
        raise TreeError(Problem(Place(file, line), "", f"{what} cannot stand in a YAML file"))
    grower = _Grower(file, limits)
    events: Any = yaml.parse(text, Loader=_LOADER)
    try:
        for event in events:
            grower.take(event)
    except yaml.YAMLError as error:
        raise TreeError(_syntax(error, text, file)) from None
    finally:
        events.close()  # frees the parser where it was stopped half-way
    return grower.top(), grower.problems


@dataclass(slots=True)
class _Open:
    """A list or map whose end has not come yet."""

    node: Listing | Map
    anchor: str | None
    key: str | None = None
    merged: list[Map] = field(default_factory=list)


class _Grower:
    """Takes the events and builds the tree."""

    def __init__(self, file: str, limits: Limits) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._limits = limits
        self._open: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}
        self._root: Node | None = None
        self._documents = 0
        self._written = 0

    def top(self) -> Map:
        """Give the whole tree."""
        if self._root is None or (isinstance(self._root, Scalar) and self._root.nothing):
            return Map(Place(self._file, 1))
        if not isinstance(self._root, Map):
            what = f"the file must hold a map of settings (`key: value`), not {kind(self._root)}"
            raise TreeError(Problem(self._root.place, "", what))
        return self._root

    def take(self, event: yaml.Event) -> None:
        """Take one event of the parser."""
        line = event.start_mark.line + 1 if event.start_mark else 1
        place = Place(self._file, line)
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise self._stop(place, "a second document begins here (`---`); one file holds one")
        elif isinstance(event, yaml.AliasEvent):
            self._attach(self._alias(str(event.anchor), place), place)
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event, place)
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            self._begin(event, place)
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            self._end()

    def _stop(self, place: Place, what: str) -> TreeError:
        return TreeError(Problem(place, self._path(), what))

    def _path(self) -> str:
        path = ""
        for one in self._open:
            if isinstance(one.node, Listing):
                path += f"[{len(one.node.items)}]"
            elif one.key is not None:
                path = joined(path, one.key)
        return path

    def _count(self, place: Place, size: int = 1) -> None:
        self._written += size
        if self._written > self._limits.nodes:
            what = f"holds more than {self._limits.nodes} values, with every alias counted"
            raise TreeError(Problem(place, "", what))

    def _tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, place: Place) -> None:
        if event.tag is not None:
            what = f"a tag has no meaning here: {shown(event.tag)}; put a text with ! in quotes"
            self.problems.append(Problem(place, self._path(), what))

    def _alias(self, name: str, place: Place) -> Node:
        node = self._anchors.get(name)
        if node is None:
            if name in self._anchors:
                raise self._stop(place, f"*{name} stands inside of what it names")
            what = f"*{name} names no anchor above; a text that begins with * must be in quotes"
            raise self._stop(place, what)
        self._count(place, node.size)
        return node

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> None:
        self._count(place)
        self._tag(event, place)
        plain = not event.style
        if plain and not event.value and self._open:
            # A value that was left empty lies where its key is, not where the parser looked next.
            holder = self._open[-1]
            if isinstance(holder.node, Map) and holder.key is not None:
                place = holder.node.keys.get(holder.key, place)
        node = Scalar(place, event.value, plain=plain)
        if event.anchor:
            self._anchors[event.anchor] = node
        self._attach(node, place)

    def _begin(self, event: yaml.CollectionStartEvent, place: Place) -> None:
        self._count(place)
        self._tag(event, place)
        if len(self._open) >= self._limits.depth:
            raise self._stop(place, f"nests deeper than {self._limits.depth} levels")
        if self._open and isinstance(self._open[-1].node, Map) and self._open[-1].key is None:
            raise self._stop(place, "a key must be one word, not a list or a map")
        node = Listing(place) if isinstance(event, yaml.SequenceStartEvent) else Map(place)
        if event.anchor:
            self._anchors[event.anchor] = None  # known, and not to be used before its end
        self._open.append(_Open(node, event.anchor))

    def _end(self) -> None:
        done = self._open.pop()
        if isinstance(done.node, Map):
            for source in done.merged:
                for key, value in source.entries.items():
                    if key not in done.node.entries:
                        done.node.entries[key] = value
                        done.node.keys[key] = source.keys[key]
        if done.anchor:
            self._anchors[done.anchor] = done.node
        self._attach(done.node, done.node.place)

    def _attach(self, node: Node, place: Place) -> None:
        if not self._open:
            self._root = node
            return
        holder = self._open[-1]
        holder.node.size += node.size
        if isinstance(holder.node, Listing):
            holder.node.items.append(node)
        elif holder.key is None:
            self._key(holder, holder.node, node, place)
        else:
            key, holder.key = holder.key, None
            if key == "<<":
                holder.merged.extend(self._sources(node, place))
            else:
                holder.node.entries.setdefault(key, node)

    def _key(self, holder: _Open, into: Map, node: Node, place: Place) -> None:
        if not isinstance(node, Scalar):
            raise self._stop(place, "a key must be one word, not a list or a map")
        holder.key = node.text
        if node.text in into.keys:
            what = f"is said twice; the first time in line {into.keys[node.text].line}"
            self.problems.append(Problem(place, self._path(), what))
        into.keys.setdefault(node.text, place)

    def _sources(self, node: Node, place: Place) -> Iterator[Map]:
        for one in node.items if isinstance(node, Listing) else [node]:
            if isinstance(one, Map):
                yield one
            else:
                self.problems.append(Problem(place, joined(self._path(), "<<"), "names no map"))


def kind(node: Node) -> str:
    """Say what a node is, for a message."""
    if isinstance(node, Map):
        return "a map"
    if isinstance(node, Listing):
        return "a list"
    return f"the text {shown(node.text)}"


def _syntax(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """Word what the parser says, at the line where a person would look."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return Problem(Place(file, 1), "", "is no YAML")
    what = str(error.problem or "cannot be read")
    mark, begun, doing = error.problem_mark, error.context_mark, str(error.context or "")
    lines = text.rstrip().split("\n")
    if begun is not None and (mark is None or mark.line >= len(lines)):
        mark = begun  # what was never closed, rather than the end of the file
    line = min(mark.line if mark is not None else 0, len(lines) - 1)
    if doing and begun is not None and begun.line != line:
        what += f", {doing} that began in line {begun.line + 1}"
    written = lines[line]
    if "\t" in written[: len(written) - len(written.lstrip())]:
        what += "; a tab cannot indent, use spaces"
    elif "alias" in doing:
        what += "; a text that begins with * must be in quotes"
    elif "tag" in doing:
        what += "; a text that begins with ! must be in quotes"
    elif "cannot start any token" in what:
        what += "; a text that begins with @ or ` must be in quotes"
    return Problem(Place(file, line + 1), "", f"is no YAML: {what}")
