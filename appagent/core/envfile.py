"""Env files: the format of systemd's EnvironmentFile=, read strictly, and a digest of one.

Theory of operation. The reader is the same small machine that systemd has: a key up to "=", then
a value made of unquoted, 'single' and "double" quoted parts, in which nothing is ever expanded. A
backslash at the end of a line joins it to the next one; inside single quotes it means itself.
Where systemd skips what it cannot understand, this one refuses with file and line: an app that is
started without half of its settings is worse off than one that is not deployed. No message ever
holds a value.

The same text gives the same digest on every read, and another digest under another secret, so
that an id may be shown and logged while nobody can try values against it. Comments, quoting and
order are not part of it.
"""

from __future__ import annotations

# What hashlib hands out too; but importing all of hashlib would cost each run 4 ms.
from _blake2 import blake2b

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BYTES = 1024 * 1024  # of a file
MAX_NAME = 256
MAX_PAIR = 128 * 1024 - 1  # the kernel takes no longer string in an environment

_SPACE = " \t\r\n"
_ESCAPED_IN_DOUBLE = '"\\`$'
_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_OTHER = _FIRST | frozenset("0123456789")


class EnvFileError(ValueError):
    """An env file that cannot be understood: "path:line: what is wrong"."""


def decode(data: bytes, path: str) -> str:
    """Give the text of a file's bytes, or refuse it: too large, not UTF-8, NULs."""
    if len(data) > MAX_BYTES:
        raise EnvFileError(f"{path}: is larger than {MAX_BYTES // 1024} KiB")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise EnvFileError(f"{path}:{line}: is not UTF-8") from None
    nul = text.find("\0")
    if nul >= 0:
        raise EnvFileError(f"{path}:{text.count(chr(10), 0, nul) + 1}: holds a NUL")
    if text.startswith("\ufeff"):
        raise EnvFileError(f"{path}:1: begins with a byte order mark: save it as plain UTF-8")
    return text


def parse(text: str, path: str) -> list[tuple[str, str]]:
    """Read all assignments, in order; of a name that is set twice the last one counts."""
    return _Reader(text, path).read()


def digest(secret: bytes, items: Iterable[tuple[str, str]]) -> str:
    """Give an id for what the assignments mean, keyed so that it reveals nothing about them."""
    state = blake2b(key=secret[:64], digest_size=16, person=b"appagent.env")
    for pair in sorted(dict(items).items()):
        for part in pair:
            data = part.encode("utf-8", "surrogateescape")
            state.update(len(data).to_bytes(8, "big"))
            state.update(data)
    return state.hexdigest()


class _Reader:
    """One pass over one text. `at` is the next character, `line` the line it is in."""

    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        self.at = 0
        self.line = 1

    def read(self) -> list[tuple[str, str]]:
        items: list[tuple[str, str]] = []
        while (char := self._next()) is not None:
            if char in "#;":
                self._comment()
            elif char not in _SPACE:
                start = self.line
                name = self._name(char)
                value = self._value(name)
                if len(name.encode()) + 1 + len(value.encode()) > MAX_PAIR:
                    raise self._error(start, f"{name} is longer than {MAX_PAIR // 1024} KiB")
                items.append((name, value))
        return items

    def _error(self, line: int, what: str) -> EnvFileError:
        return EnvFileError(f"{self.path}:{line}: {what}")

    def _next(self) -> str | None:
        """Take the next character; None at the end."""
        if self.at >= len(self.text):
            return None
        char = self.text[self.at]
        self.at += 1
        if char == "\n":
            self.line += 1
        return char

    def _comment(self) -> None:
        """Skip to the end of the line. A backslash does not continue a comment (systemd 254)."""
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end

    def _name(self, first: str) -> str:
        """Read the rest of a name, and the "=" behind it."""
        line = self.line
        end = self.text.find("\n", self.at)
        end = len(self.text) if end < 0 else end
        equals = self.text.find("=", self.at, end)
        if first == "=":
            raise self._error(line, "a name is missing before the =")
        if equals < 0:
            raise self._error(line, "there is no = in this line")
        name = (first + self.text[self.at : equals]).rstrip(_SPACE)
        self.at = equals + 1
        if name.split(None, 1)[0] == "export" and name != "export":
            raise self._error(line, "write NAME=value without export: this is not a shell script")
        if name[0] not in _FIRST or not _OTHER.issuperset(name):
            # What stands there may be a secret that lost its quotes: it is not repeated.
            raise self._error(line, "the name before = may only have letters, digits and _")
        if len(name) > MAX_NAME:
            raise self._error(line, f"the name before = is longer than {MAX_NAME}")
        return name

    def _value(self, name: str) -> str:
        """Read a value: parts that are bare or quoted, up to the end of the line."""
        parts: list[str] = []
        bare = False  # quotes inside a bare part mean themselves, as systemd has it
        kept = 0  # up to here blanks at the end are part of the value
        while (char := self._next()) is not None and char != "\n":
            if char == "\\":
                bare = True
                following = self._next()
                if following is not None and following != "\n":
                    parts.append(following)
                kept = len(parts)
            elif bare:
                parts.append(char)
                if char not in _SPACE:
                    kept = len(parts)
            elif char in "'\"":
                parts.append(self._quoted(char, name))
                kept = len(parts)
            elif char not in _SPACE:
                bare = True
                parts.append(char)
                kept = len(parts)
        return "".join(parts[:kept])

    def _quoted(self, quote: str, name: str) -> str:
        """Read up to the closing quote, over as many lines as it takes."""
        start = self.line
        parts: list[str] = []
        while (char := self._next()) is not None:
            if char == quote:
                return "".join(parts)
            if char == "\\" and quote == '"':
                following = self._next()
                if following is None:
                    break
                if following in _ESCAPED_IN_DOUBLE:
                    parts.append(following)
                elif following != "\n":
                    parts.append(char + following)
            else:
                parts.append(char)
        raise self._error(start, f"the quote that begins in the value of {name} does not end")
