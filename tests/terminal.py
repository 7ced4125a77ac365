"""A terminal for the tests: what a command shows on it, by the emulator `pyte`."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyte

Command = subprocess.Popen[bytes]
ROWS = 200  # more than any screen has: nothing scrolls away


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands on a terminal in the end."""

    code: int
    raw: bytes
    lines: tuple[str, ...]
    colours: Mapping[str, str]  # word → its colour, for words that are not of the usual one
    title: str

    @property
    def text(self) -> str:
        """The lines, as a person sees them."""
        return "\n".join(self.lines)


@dataclass(slots=True)
class Terminal:
    """A terminal of a size, with or without colour."""

    columns: int
    colour: bool = True
    rows: int = ROWS

    def environment(self) -> dict[str, str]:
        """What a command on this terminal gets."""
        sizes = ("COLUMNS", "LINES")
        kept = {name: value for name, value in os.environ.items() if name not in sizes}
        return {
            **kept, "TERM": "xterm-256color", "NO_COLOR": "" if self.colour else "1",
            "PYTHONUTF8": "1",
        }  # fmt: skip

    def run(self, *argv: str, then: Callable[[bytes, Command], bool] | None = None) -> Shown:
        """Run a command of appagent; `then` is asked after each output, until it has acted."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", self.rows, self.columns, 0, 0))
        # What is started in the background of a script ignores ^C; a person's command does not.
        line = ["env", "--default-signal=INT", sys.executable, "-m", "appagent", *argv]
        raw = b""
        try:
            with subprocess.Popen(
                line, stdin=theirs, stdout=theirs, stderr=theirs, env=self.environment()
            ) as process:
                os.close(theirs)
                theirs = -1
                try:
                    while more := _read(ours):
                        raw += more
                        if then is not None and then(raw, process):
                            then = None
                    return self.shown(raw, process.wait(60))
                finally:
                    process.kill()
        finally:
            os.close(ours)
            if theirs >= 0:
                os.close(theirs)

    def shown(self, raw: bytes, code: int = 0) -> Shown:
        """Show this on the terminal."""
        screen = pyte.Screen(self.columns, self.rows)
        pyte.ByteStream(screen).feed(raw)
        lines = [line.rstrip() for line in screen.display]
        while lines and not lines[-1]:
            lines.pop()
        colours: dict[str, str] = {}
        for row in range(len(lines)):
            cells = screen.buffer[row]
            word, colour = "", ""
            for column in range(self.columns + 1):
                cell = cells[column] if column < self.columns else screen.default_char
                if cell.data.strip() and (not word or cell.fg == colour):
                    word, colour = word + cell.data, cell.fg
                    continue
                if word and colour != "default":
                    colours[word] = colour
                word, colour = cell.data.strip(), cell.fg
        return Shown(code, raw, tuple(lines), colours, screen.title)


def _read(ours: int) -> bytes:
    try:
        return os.read(ours, 65536)
    except OSError:  # EIO: the last one has closed it
        return b""


def wraps(raw: bytes, columns: int) -> list[str]:
    """The lines that a terminal of so many columns would break by itself."""
    wide, narrow = Terminal(1000).shown(raw), Terminal(columns).shown(raw)
    return [line for line in wide.lines if line not in narrow.lines]


def goldens(path: Path) -> dict[str, str]:
    """Read screens from a file: after each line `$ command` what it shows."""
    found: dict[str, str] = {}
    name = ""
    for line in path.read_text().splitlines():
        if line.startswith("$ "):
            name = line
            found[name] = ""
        elif name:
            found[name] += line + "\n"
    return {name: text.rstrip("\n") for name, text in found.items()}
