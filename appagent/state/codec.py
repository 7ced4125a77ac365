"""The model's values as JSON and back.

What is read may be damaged, truncated or from another version, so reading is strict and driven by
the types of the model: every value must be of the type its field has, or `Damaged` says where it
is not. Four rules keep files readable over versions:

- A field that the data lacks takes its default; without a default the data is damaged.
- A field that the model lacks is passed over. What must not be passed over by an older agent
  raises FORMAT instead.
- A type whose older data had other fields says with `upgraded` what they are called now.
- Data whose "format" is above FORMAT is `Newer`; nothing in it is looked at.

What is written can be read again. A NUL, which no name of a file can hold and which is refused when
read, is written as U+FFFD: whatever text comes from outside, it costs a character and no record.

Text may hold the lone surrogates that stand for the odd bytes of a file name (PEP 383); they are
written as ASCII escapes and come back as they were.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Any, TypeVar

FORMAT = 1

# Far above any real record (some kB), far below what would hurt to read.
MAX_BYTES = 4 * 1024 * 1024

_INT_LIMIT = 1 << 63

T = TypeVar("T")

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


class Damaged(ValueError):
    """The data is not what was written."""


class Newer(ValueError):
    """The data was written by an agent newer than this one."""


def encode(value: object) -> Json:
    """Make plain JSON values of a value of the model."""
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            msg = f"{value} cannot be written"
            raise ValueError(msg)
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [encode(each) for each in value]
    if isinstance(value, AbstractSet):
        return [encode(each) for each in sorted(value)]
    if isinstance(value, Mapping):
        return {str(encode(str(key))): encode(each) for key, each in value.items()}
    msg = f"{type(value).__name__} cannot be written"
    raise ValueError(msg)


def decode(kind: type[T], data: object, where: str = "") -> T:
    """Make a value of the type `kind` of plain JSON values, or raise Damaged."""
    return typing.cast("T", _decode(kind, data, where or kind.__name__))


def dump(name: str, value: object) -> bytes:
    """Make the content of a file that holds one value under a name, and its format."""
    body = {"format": FORMAT, name: encode(value)}
    return json.dumps(body, ensure_ascii=True, allow_nan=False, indent=1).encode("ascii") + b"\n"


def parse(name: str, kind: type[T], content: bytes) -> T:
    """Read what dump() made. Raises Damaged or Newer, and nothing else."""
    if len(content) > MAX_BYTES:
        msg = f"larger than {MAX_BYTES} bytes"
        raise Damaged(msg)
    if not content.strip():
        msg = "empty"
        raise Damaged(msg)
    try:
        body = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        msg = f"not JSON: {error}"
        raise Damaged(msg) from error
    if not isinstance(body, dict):
        msg = "not a JSON object"
        raise Damaged(msg)
    form = body.get("format")
    if not isinstance(form, int) or isinstance(form, bool) or form < 1:
        msg = "without a format"
        raise Damaged(msg)
    if form > FORMAT:
        msg = f"format {form}, and this agent knows up to {FORMAT}"
        raise Newer(msg)
    if name not in body:
        msg = f"without {name}"
        raise Damaged(msg)
    return decode(kind, body[name], name)


def _refuse_constant(text: str) -> float:
    msg = f"{text} is no number here"
    raise ValueError(msg)


def _decode(kind: Any, data: object, where: str) -> object:  # noqa: ANN401 - any annotation
    if kind in _PLAIN:
        return _plain(kind, data, where)
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return _union(typing.get_args(kind), data, where)
    if origin in (tuple, frozenset):
        return _several(origin, typing.get_args(kind), data, where)
    if origin is Mapping or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return _mapping(typing.get_args(kind), data, where)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        text = typing.cast("str", _plain(str, data, where))
        try:
            return kind(text)
        except ValueError:
            msg = f"{where}: {_short(text)} is no {kind.__name__.lower()}"
            raise Damaged(msg) from None
    if dataclasses.is_dataclass(kind):
        return _fields(kind, data, where)
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _named(kind, data, where)
    msg = f"{where}: no way to read {kind}"
    raise TypeError(msg)


_PLAIN = (str, int, float, bool, type(None))


def _plain(kind: Any, data: object, where: str) -> object:  # noqa: ANN401 - one of _PLAIN
    number = isinstance(data, (int, float)) and not isinstance(data, bool)
    if kind is float:
        fine = number and abs(typing.cast("float", data)) < _INT_LIMIT
        if fine:
            return float(typing.cast("float", data))
    elif kind is int:
        fine = isinstance(data, int) and number and abs(data) < _INT_LIMIT
    elif kind is str:
        fine = isinstance(data, str) and "\0" not in data
    else:
        fine = isinstance(data, kind)
    if not fine:
        wanted = "null" if kind is type(None) else kind.__name__
        msg = f"{where}: {_short(data)} instead of {wanted}"
        raise Damaged(msg)
    return data


def _union(kinds: tuple[Any, ...], data: object, where: str) -> object:
    if data is None and type(None) in kinds:
        return None
    rest = [kind for kind in kinds if kind is not type(None)]
    for kind in rest[:-1]:
        try:
            return _decode(kind, data, where)
        except Damaged:
            continue
    return _decode(rest[-1], data, where)


def _several(origin: Any, kinds: tuple[Any, ...], data: object, where: str) -> object:  # noqa: ANN401 - tuple or frozenset
    if not isinstance(data, list):
        msg = f"{where}: {_short(data)} instead of a list"
        raise Damaged(msg)
    return origin(_decode(kinds[0], each, f"{where}[{n}]") for n, each in enumerate(data))


def _mapping(kinds: tuple[Any, ...], data: object, where: str) -> object:
    of_key, of_value = kinds
    return {
        _decode(of_key, key, where): _decode(of_value, value, f"{where}.{key}")
        for key, value in _object(data, where).items()
    }


def _fields(kind: Any, data: object, where: str) -> object:  # noqa: ANN401 - a dataclass
    given = _object(data, where)
    if (upgraded := getattr(kind, "upgraded", None)) is not None:
        try:
            given = upgraded(given)
        except (AttributeError, TypeError) as error:  # what it looked into is not what it was
            msg = f"{where}: {error}"
            raise Damaged(msg) from error
    hints = _hints(kind)
    values: dict[str, object] = {}
    for each in dataclasses.fields(kind):
        if each.name in given:
            inside = f"{where}.{each.name}"
            values[each.name] = _decode(hints[each.name], given[each.name], inside)
        elif each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            msg = f"{where}: without {each.name}"
            raise Damaged(msg)
    return kind(**values)


def _named(kind: Any, data: object, where: str) -> object:  # noqa: ANN401 - a NamedTuple
    hints = _hints(kind)
    if not isinstance(data, list) or len(data) != len(hints):
        msg = f"{where}: {_short(data)} instead of {len(hints)} values"
        raise Damaged(msg)
    pairs = zip(hints.items(), data, strict=True)
    return kind(*(_decode(hint, each, f"{where}.{name}") for (name, hint), each in pairs))


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a class
    return typing.get_type_hints(kind)


def _object(data: object, where: str) -> dict[str, object]:
    if not isinstance(data, dict):
        msg = f"{where}: {_short(data)} instead of an object"
        raise Damaged(msg)
    return data


def _short(data: object) -> str:
    text = repr(data)
    return text if len(text) <= 40 else text[:37] + "..."  # noqa: PLR2004 - fits in a line
