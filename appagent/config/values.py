"""What a single value may be: each kind says what it wants and reads it from the written text.

A kind knows nothing of files, keys or lines. What it cannot read raises BadValueError, with a line
that says what to write instead.
"""

from __future__ import annotations

import posixpath
import re
import socket
from collections.abc import Callable
from typing import NamedTuple

from appagent.config.yaml_tree import shown

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MEGABYTES = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0 * 1024.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_COUNT = re.compile(r"0|[1-9][0-9]{0,8}")
_PERCENT = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,2})?)%")
_MEMORY = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,4})?)([KMGT])")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_STARS = re.compile(r"\*+")
_URL = re.compile(r"https?://[^\s/?#]+\S*")

_LONGEST_PATH = 4000
_LONGEST_NAME = 255
_LONGEST_LINE = 1000
_LONGEST_OWN_LINE = 200
_MOST_STARS = 8
_HIGHEST_PORT = 65535


class BadValueError(ValueError):
    """What is wrong with a value, as one line."""


class Kind(NamedTuple):
    """One kind of value: what it wants, in a few words, and how it is read."""

    wants: str
    read: Callable[[str], object]


def seconds(text: str) -> float:
    """Read a duration: `250ms`, `2s`, `10m`, `1h`, `7d`."""
    if found := _DURATION.fullmatch(text):
        unit = found[2]
        # Divided, for 250ms is to be 0.25 and not something beside it.
        return float(found[1]) / 1000 if unit == "ms" else float(found[1]) * _SECONDS[unit]
    if _NUMBER.fullmatch(text):
        what = f"{shown(text)} has no unit: write {text[:12]}s for seconds, or ms, m, h or d"
        raise BadValueError(what)
    what = f"{shown(text)} is no duration: write one number and its unit, as 250ms, 2s, 10m, 1h, 7d"
    raise BadValueError(what)


def duration(least: str, most: str) -> Kind:
    """Make the kind of durations between two bounds."""
    low, high = seconds(least), seconds(most)

    def read(text: str) -> float:
        value = seconds(text)
        if not low <= value <= high:
            what = f"{text} is out of range: {least} to {most}"
            raise BadValueError(what)
        return value

    return Kind(f"a duration, {least} to {most}", read)


def count(least: int, most: int) -> Kind:
    """Make the kind of whole numbers between two bounds."""

    def read(text: str) -> int:
        return _whole(text, least, most)

    return Kind(f"a number, {least} to {most}", read)


def _whole(text: str, least: int, most: int) -> int:
    if not _COUNT.fullmatch(text):
        what = f"{shown(text)} is no whole number: write it in plain digits, {least} to {most}"
        raise BadValueError(what)
    if not least <= int(text) <= most:
        what = f"{text} is out of range: {least} to {most}"
        raise BadValueError(what)
    return int(text)


def _percent(text: str, least: float, most: float) -> float | None:
    found = _PERCENT.fullmatch(text)
    if found is None:
        return None
    if not least <= float(found[1]) <= most:
        what = f"{text} is out of range: {least:g}% to {most:g}%"
        raise BadValueError(what)
    return float(found[1])


def choice(*words: str) -> Kind:
    """Make the kind of a few fixed words."""

    def read(text: str) -> str:
        if text not in words:
            what = f"{shown(text)} is none of {', '.join(words)}"
            raise BadValueError(what)
        return text

    return Kind(" | ".join(words), read)


def _switch(text: str) -> bool:
    """Read on or off; YAML itself takes the other words for the same."""
    if text.lower() in {"on", "yes", "true"}:
        return True
    if text.lower() in {"off", "no", "false"}:
        return False
    what = f"{shown(text)} is neither on nor off"
    raise BadValueError(what)


def _count_or_auto(text: str) -> int | None:
    return None if text == "auto" else _whole(text, 1, 1000)


def _parallel(text: str) -> int | float:
    """Read how many at once: an int is a count, a float a share of the live nodes."""
    share = _percent(text, 1, 100)
    if share is not None:
        return share / 100
    if not _COUNT.fullmatch(text):
        what = f"{shown(text)} is neither a number of nodes, as 1, nor a share of them, as 25%"
        raise BadValueError(what)
    return _whole(text, 1, 10000)


def _memory(text: str) -> str:
    if _NUMBER.fullmatch(text):
        what = f"{shown(text)} has no unit: write {text[:12]}M, or K, G or T"
        raise BadValueError(what)
    if _percent(text, 1, 100) is not None:
        return text
    found = _MEMORY.fullmatch(text)
    if found is None:
        what = f"{shown(text)} is no amount of memory: write 512M, 2G, or 50% of the machine's"
        raise BadValueError(what)
    if float(found[1]) * _MEGABYTES[found[2]] < 1:
        what = f"{text} is too little for any process: 1M at least"
        raise BadValueError(what)
    return text


def _cpu(text: str) -> str:
    if _percent(text, 1, 100000) is None:
        what = f"{shown(text)} is no share of a core: write 50% for half a core, 200% for two"
        raise BadValueError(what)
    return text


def _tasks(text: str) -> str:
    return str(_whole(text, 1, 4_000_000))


def directory(text: str) -> str:
    """Read an absolute path, and give it in its one plain form."""
    if not text.startswith("/"):
        what = f"{shown(text)} is no absolute path: it must begin with /"
        raise BadValueError(what)
    if ".." in text.split("/"):
        what = f"{shown(text)} must not hold `..`"
        raise BadValueError(what)
    too_long = max(map(len, text.split("/"))) > _LONGEST_NAME
    if too_long or len(text.encode("utf-8", "replace")) > _LONGEST_PATH:
        what = f"{shown(text)} is too long for a path"
        raise BadValueError(what)
    return posixpath.normpath("/" + text.lstrip("/"))


def _below_the_top(text: str) -> str:
    path = directory(text)
    if path == "/":
        what = "/ is the whole filesystem: name a directory in it"
        raise BadValueError(what)
    return path


def _env_file(text: str) -> str:
    optional = "-" if text.startswith("-") else ""
    name = text[len(optional) :]
    if name.endswith("/"):
        what = f"{shown(text)} is a directory: name a file"
        raise BadValueError(what)
    path = directory(name)
    rest = path.replace("{app}", "")
    if "{" in rest or "}" in rest:
        what = f"{shown(text)} holds braces: {{app}} is the only thing that is filled in"
        raise BadValueError(what)
    return optional + path


def _app_glob(text: str) -> str:
    if not text or len(text) > _LONGEST_NAME:
        what = "a glob over app names has 1 to 255 characters"
        raise BadValueError(what)
    if "/" in text:
        what = f"{shown(text)} holds a /: it is a glob over the names of apps, not over paths"
        raise BadValueError(what)
    return text


def _line(text: str) -> str:
    if not text.strip() or len(text) > _LONGEST_LINE:
        what = "a pattern has 1 to 1000 characters"
        raise BadValueError(what)
    return text


def _own_line(text: str) -> str:
    """Read a line of an app's own file."""
    if len(text) > _LONGEST_OWN_LINE:
        what = (
            f"has {len(text)} characters; a pattern of an app's own has at most {_LONGEST_OWN_LINE}"
        )
        raise BadValueError(what)
    stars = len(_STARS.findall(text))
    if stars > _MOST_STARS:
        what = (
            f"{shown(text)} has {stars} stars; a pattern of an app's own has at most {_MOST_STARS}"
        )
        raise BadValueError(what)
    return _line(text)


def _user(text: str) -> str:
    """Read a name that may be a user's or a group's here; whether it is one is looked up later."""
    if not text or len(text) > _LONGEST_NAME or text != text.strip() or text[0] == "-":
        what = f"{shown(text)} is no name of a user"
        raise BadValueError(what)
    if text.lstrip("+").isdigit() or text.lower().startswith("0x"):
        what = f"{shown(text)} is a number: write the name of the user"
        raise BadValueError(what)
    if set(text) & set(":/,"):
        what = f"{shown(text)} is no name of a user: it holds one of : / ,"
        raise BadValueError(what)
    return text


def _trusted(text: str) -> str:
    if text in {"self", "owner"}:
        what = f"{text} has a meaning for run_as only: write the name of a user or a group"
        raise BadValueError(what)
    return _user(text)


def plain_name(text: str) -> str:
    """Read a name that becomes part of a file's name and of an environment."""
    if not _PLAIN_NAME.fullmatch(text):
        what = (
            f"{shown(text)} cannot be used: 1 to 64 of A-Z a-z 0-9 _ . -,"
            " the first a letter, a digit or _"
        )
        raise BadValueError(what)
    return text


def _listen(text: str) -> str | None:
    """Read an address to listen on. Only numbers: the daemon never asks a name service."""
    if text.lower() in {"off", "no", "false"}:
        return None
    host, _, port = text.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host
    bare = host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host
    family = socket.AF_INET if bare == host else socket.AF_INET6
    try:
        socket.inet_pton(family, bare)
    except (OSError, ValueError):
        what = f"{shown(text)} is no address: write off, 127.0.0.1:9464 or [::1]:9464"
        raise BadValueError(what) from None
    if not _COUNT.fullmatch(port) or not 0 < int(port) <= _HIGHEST_PORT:
        what = f"{shown(text)} has no port from 1 to 65535 behind its last colon"
        raise BadValueError(what)
    return f"{host}:{port}"


def _url(text: str) -> str:
    # The text is not repeated: such an address is often a secret.
    if not _URL.fullmatch(text):
        what = "is no address: it must begin with https:// or http:// and a host"
        raise BadValueError(what)
    return text


SWITCH = Kind("on | off", _switch)
COUNT_OR_AUTO = Kind("auto, or a number, 1 to 1000", _count_or_auto)
PARALLEL = Kind("a number of nodes, or a share of them, 1% to 100%", _parallel)
MEMORY = Kind("512M, 2G, or a share of the machine's, as 50%", _memory)
CPU = Kind("a share of one core: 50%, 200%", _cpu)
TASKS = Kind("a number, 1 to 4000000", _tasks)
DIRECTORY = Kind("an absolute path", _below_the_top)
ENV_FILE = Kind(
    "an absolute path with {app} or without, a - before it if it may be missing", _env_file
)
APP_GLOB = Kind("a glob", _app_glob)
PATTERN = Kind("a gitignore pattern", _line)
OWN_PATTERN = Kind("a gitignore pattern", _own_line)
RUN_AS = Kind("a user | self | owner", _user)
TRUSTED = Kind("a user or a group", _trusted)
NAME = Kind("a name", plain_name)
LISTEN = Kind("off, or an address and port", _listen)
URL = Kind("an http address", _url)
