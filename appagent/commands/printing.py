"""How commands write: data on stdout, words on stderr, and both safe to be shown."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator

from appagent.daemon.control import LATER, Refused
from appagent.report.text import plain


def words(text: str) -> None:
    """A line for a person."""
    sys.stderr.write(f"appagent: {plain(text)}\n")


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Refused(75) for a stdout that takes nothing, such as a full disk."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Refused(LATER, f"cannot write to stdout: {error.strerror}") from None


def data(text: str) -> None:
    """What was asked for; what comes from outside in it can move no cursor."""
    text = plain(text, len(text))
    with writing():
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


def flush() -> None:
    """Have it written now."""
    with writing():
        sys.stdout.flush()


def as_json(value: object) -> None:
    """The same, for a program. In ASCII: no terminal and no encoding can spoil it."""
    with writing():
        sys.stdout.write(json.dumps(value, indent=2) + "\n")
