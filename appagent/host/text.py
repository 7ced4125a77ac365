"""Text from outside, made safe to show.

What an app prints, a file name, an error message: all of it may hold escapes that move a terminal's
cursor, set its title or answer for the person who reads. Everything that is shown or logged goes
through `plain` or `one_line` first.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS, SOS, PM, APC: titles, links
    r"|\x1b[ -/]*[0-~]?"  # the short ones
    r"|\x9b[0-?]*[ -/]*[@-~]?"  # CSI as one character
)

# Controls but for tab and newline, and what turns the direction of writing around.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

_SURROGATE = re.compile("[\ud800-\udfff]")


def plain(text: str, limit: int = 16_384) -> str:
    """Take escapes and controls out of a text of some lines, and bound it (its end is kept)."""
    if len(text) > limit:
        text = text[-limit:]
    text = _ESCAPE.sub("", text.replace("\r\n", "\n"))
    if "\r" in text:  # a progress bar: what stood there at the end
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    text = text.replace("\u2028", "\n").replace("\u2029", "\n")
    return _SURROGATE.sub(_escaped, _UNSAFE.sub("", text))


def one_line(text: str, limit: int = 2_000) -> str:
    """Make one line of a text, without escapes and controls, bounded (its begin is kept)."""
    line = " ".join(plain(text[: 4 * limit], 4 * limit).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def unbroken(line: str) -> str:
    """Make a line safe, and keep its spacing: no value in it begins a line of its own."""
    spaces = line.replace("\r", " ").replace("\n", " ").replace("\t", " ")
    return plain(spaces, len(spaces)).replace("\n", " ")


def tail(text: str, limit: int = 2_000) -> str:
    """Return the last whole lines of a text, within a limit."""
    text = plain(text, 4 * limit).strip("\n")
    if len(text) <= limit:
        return text
    text = text[-limit:]
    first, newline, rest = text.partition("\n")
    return rest if newline else first


def _escaped(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else "\ufffd"  # noqa: PLR2004
