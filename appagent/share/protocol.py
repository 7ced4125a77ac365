"""The lines between the daemon and a watcher: one JSON object each, with one key that names it."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from appagent.model.seen import AppSeen, Beat, EnvSeen, RootSeen, Slow
from appagent.model.words import Layout

Body = dict[str, Any]
Look = AppSeen | RootSeen | EnvSeen | Beat

MOST = 32 * 1024 * 1024  # bytes of a line; who sends more is broken

_TUPLES = ("names", "plain", "changing")


def line(kind: str, body: Body) -> bytes:
    """Write one line. Names that are no UTF-8 pass as lone surrogates, escaped."""
    return json.dumps({kind: body}, separators=(",", ":")).encode("ascii") + b"\n"


def read(data: bytes) -> tuple[str, Body]:
    """Read one line; ValueError for anything else."""
    whole = json.loads(data)
    if isinstance(whole, dict) and len(whole) == 1:
        ((kind, body),) = whole.items()
        if isinstance(body, dict):
            return kind, body
    raise ValueError("not an object with one object in it")


def seen_body(look: Look) -> Body:
    """Write a look as the fields it has."""
    return {field.name: getattr(look, field.name) for field in fields(look)}


def app_seen(body: Body) -> AppSeen:
    """Read a look at an app."""
    values = _known(AppSeen, body)
    if values.get("layout") is not None:
        values["layout"] = Layout(values["layout"])
    return AppSeen(**values)


def root_seen(body: Body) -> RootSeen:
    """Read a look at a root."""
    return RootSeen(**_known(RootSeen, body))


def env_seen(body: Body) -> EnvSeen:
    """Read a look at an env file."""
    return EnvSeen(**_known(EnvSeen, body))


def beat(body: Body) -> Beat:
    """Read a heartbeat."""
    values = _known(Beat, body)
    return Beat(**{**values, "slow": tuple(Slow(*one) for one in values.get("slow", ()))})


def _known(kind: type[Look], body: Body) -> Body:
    """The fields that we know, lists as the tuples they were."""
    names = {field.name for field in fields(kind)}
    return {
        name: tuple(value) if name in _TUPLES else value
        for name, value in body.items()
        if name in names
    }
