"""Which files make the configuration, and their text: bounded, whatever the files turn out to be.

A configuration is on the local disk, so the daemon may read it; a pipe or a device in its place is
refused before anything is read from it.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from appagent.config.problems import ParseError, Position, Problem, printable

DEFAULT = "/etc/appagent/appagent.yaml"
VARIABLE = "APPAGENT_CONFIG"
MAX_BYTES = 1 << 20
EVERYBODY = "everybody"


class Text(NamedTuple):
    """The text of one file, and who else may write it ("": nobody)."""

    file: str
    text: str
    writers: str


def main_file(given: str | None) -> str:
    """Return the path of the first file of the configuration."""
    return given or os.environ.get(VARIABLE) or DEFAULT


def conf_d(main: str) -> tuple[list[str], list[str], list[Problem]]:
    """List conf.d beside the main file: the files to read, warnings, problems."""
    directory = Path(main).parent / "conf.d"
    try:
        names = sorted(one.name for one in directory.iterdir())
    except FileNotFoundError:
        return [], [], []
    except (OSError, ValueError) as error:
        position = Position(printable(str(directory)), 0)
        return [], [], [Problem(position, "", f"cannot be listed: {_reason(error)}")]
    visible = [name for name in names if not name.startswith(".")]
    files = [str(directory / name) for name in visible if name.endswith(".yaml")]
    warnings = [
        f"{printable(str(directory / name))}: is not read: only *.yaml files are"
        for name in visible
        if name.endswith((".yml", ".json"))
    ]
    return files, warnings, []


def content(path: str, *, main: bool = False) -> tuple[bytes, os.stat_result]:
    """Read the bytes of one file, or raise ParseError with the reason."""
    position = Position(printable(path), 0)
    try:
        # Without waiting: opening a FIFO would wait for a writer forever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a special file"
                raise ParseError(position, "", f"expected a YAML file, got {kind}")
            with os.fdopen(descriptor, "rb", closefd=False) as handle:
                data = handle.read(MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        hint = f"; create it, or name another with --config or ${VARIABLE}" if main else ""
        raise ParseError(position, "", f"no such file{hint}") from None
    except (OSError, ValueError) as error:
        raise ParseError(position, "", f"cannot be read: {_reason(error)}") from None
    if len(data) > MAX_BYTES:
        raise ParseError(position, "", f"is too large: more than {MAX_BYTES} bytes")
    return data, status


def read(path: str, *, main: bool = False) -> Text:
    """Read one file as text, or raise ParseError with the reason."""
    file = printable(path)
    data, status = content(path, main=main)
    try:
        return Text(file, data.decode("utf-8"), _writers(status))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8: byte 0x{data[error.start]:02x}"
        raise ParseError(Position(file, line), "", message) from None


def open_directories(main: str) -> list[str]:
    """List the directories in which everybody may put files of this configuration.

    In a sticky one, such as /tmp, nobody else can replace the main file; but every file in conf.d
    is read.
    """
    above = Path(main).parent
    found = []
    for directory, safe_bit in ((above, stat.S_ISVTX), (above / "conf.d", 0)):
        with suppress(OSError, ValueError):
            mode = directory.stat().st_mode
            if mode & stat.S_IWOTH and not mode & safe_bit:
                found.append(printable(str(directory)))
    return found


def _writers(status: os.stat_result) -> str:
    """Name who else may decide what root does, by writing this file."""
    if status.st_mode & stat.S_IWOTH:
        return EVERYBODY
    if status.st_mode & stat.S_IWGRP and status.st_gid != 0:
        return f"the group {status.st_gid}"
    return f"the user {status.st_uid}" if status.st_uid not in {0, os.geteuid()} else ""


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
