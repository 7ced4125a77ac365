"""What an app has printed, from the file that holds it where there is no journal."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from appagent.commands.printing import data, flush, words
from appagent.model.exit_codes import LATER, NOT_ALLOWED, OK, Refused


def show_file(path: Path, lines: int, *, follow_it: bool) -> int:
    """The end of a file, and what comes after it; over a file that is cut or put aside."""
    try:
        # What was cut off the front is beside it, and the cut may have been a moment ago.
        before, _ = content(path.with_name(f"{path.name}.1"), 0)
        text, place = content(path, 0)
        if not before and not text:
            words("nothing was printed yet")
        show_lines((before + text).splitlines()[-lines:])
        rest = b""
        while follow_it:
            flush()
            time.sleep(0.25)
            text, place = content(path, place)
            *whole, rest = (rest + text).split(b"\n")
            show_lines(whole)
    except BrokenPipeError:
        raise  # nobody reads any more: no trouble of the file's
    except OSError as error:
        code = NOT_ALLOWED if isinstance(error, PermissionError) else LATER
        raise Refused(code, f"{path}: {error.strerror}") from None
    return OK


def show_lines(lines: Iterable[bytes]) -> None:
    """What an app has printed, made safe to be shown."""
    for line in lines:
        data(line.decode("utf-8", "replace"))


def content(path: Path, place: int) -> tuple[bytes, int]:
    """What a file holds from a place on, or from its begin if it is shorter now; and its end."""
    try:
        with path.open("rb") as file:
            file.seek(place if place <= file.seek(0, os.SEEK_END) else 0)
            return file.read(), file.tell()
    except FileNotFoundError:
        return b"", 0
