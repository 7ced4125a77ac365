"""The lines between the daemon and a watcher: one JSON object with one key, which names its type.

The values are dataclasses, written and read by the codec of the state files: strict about types,
while a field that one side lacks takes its default, so a watcher of another release is understood.
A message is named by its class: to rename one is to change the protocol.
File names that are not UTF-8 pass as lone surrogates, escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from appagent.model import codec
from appagent.model.seen import AppSeen, Beat, EnvSeen, RootSeen
from appagent.share.requests import Answer, Request
from appagent.share.watchlist import Watchlist

MOST = 32 * 1024 * 1024  # bytes of a line; a longer one means that the other side is broken


@dataclass(frozen=True, slots=True)
class LogLine:
    """Something for the daemon's log."""

    level: str
    text: str


@dataclass(frozen=True, slots=True)
class PollNow:
    """Poll one app, or (without a name) a root and everything in it."""

    root: str
    app: str = ""


@dataclass(frozen=True, slots=True)
class Recheck:
    """Poll just these and report what is seen in any case. Answered once the poller has it."""

    id: int
    roots: tuple[str, ...] = ()
    apps: tuple[tuple[str, ...], ...] = ()  # root and name
    envs: tuple[str, ...] = ()


WatcherCommand = Watchlist | PollNow | Recheck | Request  # from the daemon
Message = AppSeen | RootSeen | EnvSeen | Beat | LogLine | Answer  # from the watcher

_TYPES: Mapping[str, type[WatcherCommand | Message]] = {
    kind.__name__: kind for kind in (*get_args(WatcherCommand), *get_args(Message))
}


def line(message: WatcherCommand | Message) -> bytes:
    """Write one line."""
    return codec.to_json({type(message).__name__: message})


def read(data: bytes) -> WatcherCommand | Message:
    """Read one line. Raises ValueError for anything that is not a message."""
    whole = codec.from_json(data)
    if len(whole) != 1:
        raise ValueError("expected an object with one key")
    ((name, body),) = whole.items()
    kind = _TYPES.get(name)
    if kind is None:
        raise ValueError(f"unknown message {name[:40]!r}")
    return codec.decode(kind, body, name)
