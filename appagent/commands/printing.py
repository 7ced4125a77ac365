"""How commands write: output on stdout, messages on stderr, and both safe to be shown."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator

from appagent.host.text import plain
from appagent.model.exit_codes import LATER, Refused
from appagent.report.terminal import Screen, screen_of
from appagent.report.text import wrap

_OUR_COLOUR = re.compile("(\x1b\\[(?:0|1|2|1;31|3[236])m)")  # report.terminal's, and no other


def message(text: str) -> None:
    """Write a message for a person; on a terminal, broken between words."""
    columns = screen_of(sys.stderr).columns
    for line in f"appagent: {plain(text)}".split("\n"):
        sys.stderr.write("\n".join(wrap(line, columns, "  ", "")) + "\n")


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Raise Refused(75) for a stdout that takes nothing, such as a full disk."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Refused(LATER, f"cannot write to stdout: {error.strerror}") from None


def screen() -> Screen:
    """What stdout can show."""
    return screen_of(sys.stdout)


def safe(text: str, *, colour: bool = False) -> str:
    """Take out of a text what could move a cursor; with `colour`, our own colours stay."""
    if not colour:
        return plain(text, len(text))
    return "".join(
        part if number % 2 else plain(part, len(part))
        for number, part in enumerate(_OUR_COLOUR.split(text))
    )


def data(text: str, *, colour: bool = False) -> None:
    """Write what was asked for; `colour` where it was made for a screen that takes it."""
    text = safe(text, colour=colour)
    with writing():
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


def flush() -> None:
    """Have it written now."""
    with writing():
        sys.stdout.flush()


def as_json(value: object) -> None:
    """Write a value for a program. In ASCII: no terminal and no encoding can spoil it."""
    with writing():
        sys.stdout.write(json.dumps(value, indent=2) + "\n")
