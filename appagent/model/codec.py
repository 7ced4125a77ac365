"""The model's values as JSON and back: for the state directory, the watchers, the control socket.

What is read may be damaged, truncated or from another version, so reading is strict and driven by
the types of the model: every value must be of the type its field has, or `Damaged` says where it
is not. Three rules keep files readable over versions:

- A field that the data lacks takes its default; without a default the data is damaged.
- A field that the model lacks is ignored. What an older agent must not ignore raises FORMAT.
- Data whose "format" is above FORMAT is `Newer`; nothing in it is read.

What is written can be read again. A NUL, which no file name can hold and which is refused when
read, is written as U+FFFD: whatever text comes from outside, it costs a character and no record.

Text may hold the lone surrogates that stand for undecodable bytes of a file name (PEP 383); they
are written as ASCII escapes and come back as they were. Bytes are written in hexadecimal.

A decoder is built once for each type, so that a watcher's line takes microseconds.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Any, TypeVar

FORMAT = 1

# Far above any real record (some kB), far below what would hurt to read.
MAX_BYTES = 4 * 1024 * 1024

_INT_LIMIT = 1 << 63
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")  # not where the backslash itself is escaped

T = TypeVar("T")
Decoder = Callable[[object], Any]


class Damaged(ValueError):
    """The data is not what was written. `where` is the path of the value inside it."""

    def __init__(self, what: str, where: str = "") -> None:
        """Take what is wrong."""
        super().__init__(what)
        self.where = where

    def __str__(self) -> str:
        """Name the position, and what is wrong."""
        what = super().__str__()
        return f"{self.where}: {what}" if self.where else what


class Newer(ValueError):
    """The data was written by an agent newer than this one."""


# --- writing -------------------------------------------------------------------------------------


def to_json(value: object, indent: int | None = None) -> bytes:
    """Write a value of the model, or plain values that hold some, in ASCII with a newline.

    Raises ValueError for what could not be read again.
    """
    separators = (",", ":") if indent is None else None
    text = json.dumps(value, indent=indent, separators=separators, allow_nan=False, default=_plain)
    if "\\u0000" in text:
        text = _NUL.sub(r"\1\\ufffd", text)
    return text.encode("ascii") + b"\n"


def dump(name: str, value: object) -> bytes:
    """Make the content of a file that holds one value under a name, and its format."""
    return to_json({"format": FORMAT, name: value}, indent=1)


def _plain(value: object) -> object:
    """Make one level of plain values, where json knows of none."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: getattr(value, name) for name in _field_names(type(value))}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, AbstractSet):
        return sorted(value)
    if isinstance(value, bytes):
        return value.hex()
    raise ValueError(f"{type(value).__name__} cannot be written")


@functools.cache
def _field_names(kind: Any) -> tuple[str, ...]:  # noqa: ANN401 - a dataclass
    return tuple(field.name for field in dataclasses.fields(kind))


# --- reading -------------------------------------------------------------------------------------


def parse(name: str, kind: type[T], content: bytes) -> T:
    """Read what dump() made. Raises Damaged or Newer, and nothing else."""
    if len(content) > MAX_BYTES:
        raise Damaged(f"larger than {MAX_BYTES} bytes")
    if not content.strip():
        raise Damaged("empty")
    body = from_json(content)
    form = body.get("format")
    if not isinstance(form, int) or isinstance(form, bool) or form < 1:
        raise Damaged("no format")
    if form > FORMAT:
        raise Newer(f"format {form}, and this agent knows up to {FORMAT}")
    if name not in body:
        raise Damaged(f"no {name}")
    return decode(kind, body[name], name)


def from_json(content: bytes) -> dict[str, object]:
    """Read one JSON object. Raises Damaged."""
    try:
        body = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"invalid JSON: {error}") from error
    if not isinstance(body, dict):
        raise Damaged("not a JSON object")
    return body


def decode(kind: type[T], data: object, where: str = "") -> T:
    """Make a value of the type `kind` of plain JSON values, or raise Damaged."""
    read: Callable[[object], T] = _decoder(kind)  # type: ignore[arg-type] # a type is hashable
    try:
        return read(data)
    except Damaged as error:
        error.where = (where or kind.__name__) + error.where
        raise


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number here")


@functools.cache
def _decoder(kind: Any) -> Decoder:  # noqa: ANN401 - any annotation
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _union(inner)
    if origin in (tuple, frozenset):
        return _several(origin, _decoder(inner[0]))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(*(_decoder(each) for each in inner))
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _scalar(f"a {kind.__name__.lower()}", kind, str)
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _named(kind)
    raise TypeError(f"no way to read {kind}")


def _at(where: str, read: Decoder, data: object) -> Any:  # noqa: ANN401 - what the decoder makes
    """Read a value inside another one."""
    try:
        return read(data)
    except Damaged as error:
        error.where = where + error.where
        raise


def _scalar(expected: str, make: Callable[[Any], object], *kinds: type) -> Decoder:
    """A decoder for one value of these kinds, of which `make` may refuse some (ValueError)."""

    def read(data: object) -> object:
        if type(data) in kinds:
            try:
                return make(data)
            except ValueError:
                raise _unlike(expected, data) from None
        raise _unlike(expected, data)

    return read


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError
    return text


def _bounded(number: float) -> float:
    if abs(number) >= _INT_LIMIT:
        raise ValueError
    return number


_PLAIN: dict[Any, Decoder] = {
    str: _scalar("a string", _without_nul, str),
    int: _scalar("a whole number", _bounded, int),
    float: _scalar("a number", lambda number: float(_bounded(number)), int, float),
    bool: _scalar("true or false", bool, bool),
    bytes: _scalar("hexadecimal digits", bytes.fromhex, str),
    type(None): _scalar("null", lambda _: None, type(None)),
}


def _union(kinds: tuple[Any, ...]) -> Decoder:
    optional = type(None) in kinds
    *others, last = (_decoder(kind) for kind in kinds if kind is not type(None))

    def read(data: object) -> object:
        if data is None and optional:
            return None
        for other in others:
            try:
                return other(data)
            except Damaged:
                continue
        return last(data)

    return read


def _several(make: Any, read_one: Decoder) -> Decoder:  # noqa: ANN401 - tuple or frozenset
    def read(data: object) -> object:
        if not isinstance(data, list):
            raise _unlike("a list", data)
        return make(_at(f"[{at}]", read_one, each) for at, each in enumerate(data))

    return read


def _mapping(read_key: Decoder, read_value: Decoder) -> Decoder:
    def read(data: object) -> object:
        pairs = _object(data).items()
        return {_at(f".{k}", read_key, k): _at(f".{k}", read_value, v) for k, v in pairs}

    return read


def _dataclass(kind: Any) -> Decoder:  # noqa: ANN401 - a dataclass
    hints = typing.get_type_hints(kind)
    missing = dataclasses.MISSING
    fields = dataclasses.fields(kind)
    decoders = [(field.name, f".{field.name}", _decoder(hints[field.name])) for field in fields]
    needed = [f.name for f in fields if f.default is missing and f.default_factory is missing]

    def read(data: object) -> object:
        given = _object(data)
        for name in needed:
            if name not in given:
                raise Damaged(f"no {name}")
        return kind(**{n: _at(at, read, given[n]) for n, at, read in decoders if n in given})

    return read


def _named(kind: Any) -> Decoder:  # noqa: ANN401 - a NamedTuple
    decoders = [(f".{name}", _decoder(hint)) for name, hint in typing.get_type_hints(kind).items()]

    def read(data: object) -> object:
        if not isinstance(data, list) or len(data) != len(decoders):
            raise _unlike(f"{len(decoders)} values", data)
        pairs = zip(decoders, data, strict=True)
        return kind(*(_at(at, read_one, each) for (at, read_one), each in pairs))

    return read


def _object(data: object) -> dict[str, object]:
    if not isinstance(data, dict):
        raise _unlike("an object", data)
    return data


def _unlike(expected: str, data: object) -> Damaged:
    text = repr(data)
    shown = text if len(text) <= 40 else text[:37] + "..."  # noqa: PLR2004 - fits in a line
    return Damaged(f"expected {expected}, got {shown}")
