"""What a single value may be: each kind has a name for messages and parses the written text.

A kind knows nothing of files, keys or lines. What it cannot parse raises BadValueError, with one
line that says what to write instead.
"""

from __future__ import annotations

import posixpath
import re
import socket
from collections.abc import Callable
from typing import NamedTuple

from appagent.config.problems import quoted

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

_ON, _OFF = {"on", "yes", "true"}, {"off", "no", "false"}  # YAML has them all
_MAX_PATH = 4000  # bytes
_MAX_NAME = 255  # characters
_MAX_PATTERN = 1000
_MAX_APP_PATTERN = 200
_MAX_STARS = 8
_MAX_PORT = 65535


class BadValueError(ValueError):
    """What is wrong with a value, as one line."""


def _bad(text: str, why: str) -> BadValueError:
    return BadValueError(f"{quoted(text)} {why}")


class Kind(NamedTuple):
    """One kind of value: what is expected, in a few words, and its parser."""

    expected: str
    parse: Callable[[str], object]


def seconds(text: str) -> float:
    """Parse a duration: `250ms`, `2s`, `10m`, `1h`, `7d`."""
    if match := _DURATION.fullmatch(text):
        unit = match[2]
        # Divided, so that 250ms is 0.25 and not something next to it.
        return float(match[1]) / 1000 if unit == "ms" else float(match[1]) * _SECONDS[unit]
    if _NUMBER.fullmatch(text):
        raise _bad(text, f"has no unit: write {text[:12]}s for seconds, or ms, m, h or d")
    raise _bad(
        text, "is not a valid duration: write one number and its unit, as 250ms, 2s, 10m, 1h, 7d"
    )


def duration(least: str, most: str) -> Kind:
    """Build the kind of durations between two bounds."""
    low, high = seconds(least), seconds(most)

    def parse(text: str) -> float:
        if not low <= (value := seconds(text)) <= high:
            raise BadValueError(f"{text} is out of range: {least} to {most}")
        return value

    return Kind(f"a duration, {least} to {most}", parse)


def count(least: int, most: int) -> Kind:
    """Build the kind of whole numbers between two bounds."""
    return Kind(f"a number, {least} to {most}", lambda text: _integer(text, least, most))


def choice(expected: str) -> Kind:
    """Build the kind of a few fixed words: `a | b | c`."""
    words = expected.split(" | ")

    def parse(text: str) -> str:
        if text not in words:
            raise _bad(text, f"is not one of {', '.join(words)}")
        return text

    return Kind(expected, parse)


def _integer(text: str, least: int, most: int) -> int:
    if not _COUNT.fullmatch(text):
        raise _bad(text, f"is not a valid number: write it in plain digits, {least} to {most}")
    if not least <= int(text) <= most:
        raise BadValueError(f"{text} is out of range: {least} to {most}")
    return int(text)


def _percent(text: str, least: float, most: float) -> float | None:
    match = _PERCENT.fullmatch(text)
    if match is None:
        return None
    if not least <= float(match[1]) <= most:
        raise BadValueError(f"{text} is out of range: {least:g}% to {most:g}%")
    return float(match[1])


def _switch(text: str) -> bool:
    if text.lower() not in _ON | _OFF:
        raise _bad(text, "is neither on nor off")
    return text.lower() in _ON


def _count_or_auto(text: str) -> int | None:
    return None if text == "auto" else _integer(text, 1, 1000)


def _parallel(text: str) -> int | float:
    """Parse how many at once: an int is a count, a float a share of the live nodes."""
    share = _percent(text, 1, 100)
    if share is not None:
        return share / 100
    if not _COUNT.fullmatch(text):
        raise _bad(text, "is neither a number of nodes, as 1, nor a share of them, as 25%")
    return _integer(text, 1, 10000)


def _memory(text: str) -> str:
    if _NUMBER.fullmatch(text):
        raise _bad(text, f"has no unit: write {text[:12]}M, or K, G or T")
    if _percent(text, 1, 100) is not None:
        return text
    match = _MEMORY.fullmatch(text)
    if match is None:
        raise _bad(text, "is not a valid amount of memory: write 512M, 2G, or 50% of the machine's")
    if float(match[1]) * _MEGABYTES[match[2]] < 1:
        raise BadValueError(f"{text} is too little for any process: at least 1M")
    return text


def _cpu(text: str) -> str:
    if _percent(text, 1, 100000) is None:
        raise _bad(text, "is not a share of a core: write 50% for half a core, 200% for two")
    return text


def _tasks(text: str) -> str:
    return str(_integer(text, 1, 4_000_000))


def directory(text: str) -> str:
    """Parse an absolute path and normalize it."""
    if not text.startswith("/"):
        raise _bad(text, "is not an absolute path: it must begin with /")
    if ".." in text.split("/"):
        raise _bad(text, "must not contain `..`")
    long_part = max(map(len, text.split("/"))) > _MAX_NAME
    if long_part or len(text.encode("utf-8", "replace")) > _MAX_PATH:
        raise _bad(text, "is too long for a path")
    return posixpath.normpath("/" + text.lstrip("/"))


def _below_the_top(text: str) -> str:
    path = directory(text)
    if path == "/":
        raise BadValueError("/ is the whole filesystem: name a directory in it")
    return path


def _env_file(text: str) -> str:
    optional = "-" if text.startswith("-") else ""
    name = text[len(optional) :]
    if name.endswith("/"):
        raise _bad(text, "is a directory: name a file")
    path = directory(name)
    rest = path.replace("{app}", "")
    if "{" in rest or "}" in rest:
        raise _bad(text, "has braces: only {app} is replaced")
    return optional + path


def _app_glob(text: str) -> str:
    if not text or len(text) > _MAX_NAME:
        raise BadValueError(f"a glob for app names has 1 to {_MAX_NAME} characters")
    if "/" in text:
        raise _bad(text, "contains a /: it is a glob for the names of apps, not for paths")
    return text


def _pattern(text: str) -> str:
    if not text.strip() or len(text) > _MAX_PATTERN:
        raise BadValueError(f"a pattern has 1 to {_MAX_PATTERN} characters")
    return text


def _app_pattern(text: str) -> str:
    """Parse a pattern of an app's own file: every path of a scan is matched against it."""
    if len(text) > _MAX_APP_PATTERN:
        raise BadValueError(
            f"has {len(text)} characters; in an app's own file at most {_MAX_APP_PATTERN}"
        )
    stars = len(_STARS.findall(text))
    if stars > _MAX_STARS:
        raise _bad(text, f"has {stars} stars; in an app's own file at most {_MAX_STARS}")
    return _pattern(text)


def _user(text: str) -> str:
    """Parse what may be a user's or group's name; whether it exists is looked up elsewhere."""
    if not text or len(text) > _MAX_NAME or text != text.strip() or text[0] == "-":
        raise _bad(text, "is not a valid user name")
    if text.lstrip("+").isdigit() or text.lower().startswith("0x"):
        raise _bad(text, "is a number: write the name of the user")
    if set(text) & set(":/,"):
        raise _bad(text, "is not a valid user name: it contains one of : / ,")
    return text


def _trusted(text: str) -> str:
    if text in {"self", "owner"}:
        raise BadValueError(
            f"{text} has a meaning for run_as only: write the name of a user or a group"
        )
    return _user(text)


def plain_name(text: str) -> str:
    """Parse a name that becomes part of file names and environment values."""
    if not _PLAIN_NAME.fullmatch(text):
        raise _bad(
            text, "cannot be used: 1 to 64 of A-Z a-z 0-9 _ . -, the first a letter, a digit or _"
        )
    return text


def _listen(text: str) -> str | None:
    """Parse an address to listen on. Numeric only: the daemon never asks a name service."""
    if text.lower() in _OFF:
        return None
    host, _, port = text.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host
    bare = host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host
    family = socket.AF_INET if bare == host else socket.AF_INET6
    try:
        socket.inet_pton(family, bare)
    except (OSError, ValueError):
        raise _bad(
            text, "is not a valid address: write off, 127.0.0.1:9464 or [::1]:9464"
        ) from None
    if not _COUNT.fullmatch(port) or not 0 < int(port) <= _MAX_PORT:
        raise _bad(text, f"has no port from 1 to {_MAX_PORT} after its last colon")
    return f"{host}:{port}"


def _url(text: str) -> str:
    # The text is not repeated: such a URL is often a secret.
    if not _URL.fullmatch(text):
        raise BadValueError("is not a valid URL: it must begin with https:// or http:// and a host")
    return text


SWITCH = Kind("on | off", _switch)
COUNT_OR_AUTO = Kind("auto, or a number, 1 to 1000", _count_or_auto)
PARALLEL = Kind("a number of nodes, or a share of them, 1% to 100%", _parallel)
MEMORY = Kind("512M, 2G, or a share of the machine's, as 50%", _memory)
CPU = Kind("a share of one core: 50%, 200%", _cpu)
TASKS = Kind("a number, 1 to 4000000", _tasks)
DIRECTORY = Kind("an absolute path", _below_the_top)
ENV_FILE = Kind("an absolute path, may contain {app}, a leading - if it may be missing", _env_file)
APP_GLOB = Kind("a glob", _app_glob)
PATTERN = Kind("a gitignore pattern", _pattern)
APP_PATTERN = Kind("a gitignore pattern", _app_pattern)
RUN_AS = Kind("a user | self | owner", _user)
TRUSTED = Kind("a user or a group", _trusted)
NAME = Kind("a name", plain_name)
LISTEN = Kind("off, or an address and port", _listen)
URL = Kind("an http or https URL", _url)
