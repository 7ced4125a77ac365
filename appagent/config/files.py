"""Which files are the configuration, and their text: bounded, and whatever they turn out to be.

A configuration lies on the local disk, so reading it may be done in the daemon; a pipe or a device
in its place is refused before anything is read from it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from appagent.config.yaml_tree import Place, Problem, TreeError, printable

DEFAULT = "/etc/appagent/appagent.yaml"
VARIABLE = "APPAGENT_CONFIG"
MOST_BYTES = 1 << 20
EVERYBODY = "everybody"


class Text(NamedTuple):
    """What one file holds. `open_to` says who else may write it, or is empty."""

    file: str
    text: str
    open_to: str


def main_file(given: str | None) -> str:
    """Say which file the configuration begins with."""
    return given or os.environ.get(VARIABLE) or DEFAULT


def conf_d(main: str) -> tuple[list[str], list[str], list[Problem]]:
    """List conf.d beside the main file: the files to read, warnings, problems."""
    directory = Path(main).parent / "conf.d"
    try:
        names = sorted(one.name for one in directory.iterdir())
    except FileNotFoundError:
        return [], [], []
    except (OSError, ValueError) as error:
        what = f"cannot be listed: {_why(error)}"
        return [], [], [Problem(Place(printable(str(directory)), 0), "", what)]
    visible = [name for name in names if not name.startswith(".")]
    files = [str(directory / name) for name in visible if name.endswith(".yaml")]
    warnings = [
        f"{printable(str(directory / name))}: is not read; only *.yaml is"
        for name in visible
        if name.endswith((".yml", ".json"))
    ]
    return files, warnings, []


def content(path: str, *, main: bool = False) -> tuple[bytes, os.stat_result]:
    """Read the bytes of one file, or raise TreeError with the reason."""
    file = printable(path)
    try:
        # Without waiting: opening a FIFO would wait for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                what = "is a directory" if stat.S_ISDIR(about.st_mode) else "is no ordinary file"
                raise TreeError(Problem(Place(file, 0), "", f"{what}; a YAML file is wanted"))
            with os.fdopen(descriptor, "rb", closefd=False) as handle:
                data = handle.read(MOST_BYTES + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        what = "there is no such file"
        if main:
            what += f"; write it, or name another with --config or ${VARIABLE}"
        raise TreeError(Problem(Place(file, 0), "", what)) from None
    except (OSError, ValueError) as error:
        what = f"cannot be read: {_why(error)}"
        raise TreeError(Problem(Place(file, 0), "", what)) from None
    if len(data) > MOST_BYTES:
        raise TreeError(Problem(Place(file, 0), "", f"is too large: more than {MOST_BYTES} bytes"))
    return data, about


def read(path: str, *, main: bool = False) -> Text:
    """Read one file as text, or raise TreeError with the reason."""
    file = printable(path)
    data, about = content(path, main=main)
    try:
        return Text(file, data.decode("utf-8"), _open_to(about))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"is not UTF-8: byte 0x{data[error.start]:02x}"
        raise TreeError(Problem(Place(file, line), "", what)) from None


def open_directories(main: str) -> list[str]:
    """Name the directories in which everybody may put files of this configuration.

    In a sticky one, such as /tmp, nobody else can replace the main file; but conf.d is read with
    whatever lies in it.
    """
    found = []
    for directory, sticky_is_fine in (
        (Path(main).parent, True),
        (Path(main).parent / "conf.d", False),
    ):
        try:
            mode = directory.stat().st_mode
        except (OSError, ValueError):
            continue
        if mode & stat.S_IWOTH and not (sticky_is_fine and mode & stat.S_ISVTX):
            found.append(printable(str(directory)))
    return found


def _open_to(about: os.stat_result) -> str:
    """Say who else may decide what root does, by writing this file."""
    if about.st_mode & stat.S_IWOTH:
        return EVERYBODY
    if about.st_mode & stat.S_IWGRP and about.st_gid != 0:
        return f"the group {about.st_gid}"
    return f"the user {about.st_uid}" if about.st_uid not in {0, os.geteuid()} else ""


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
