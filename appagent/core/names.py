"""What an app may be called, and which apps a node runs.

An app's name becomes part of a unit's name, of an environment value, of paths and of log lines, so
only what is safe in all of them is allowed.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MAKEFILES = ("GNUmakefile", "makefile", "Makefile")  # in the order in which GNU make looks
LONGEST = 64

_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_OTHER = _FIRST | frozenset(".+@:-")


def is_hidden(name: str) -> bool:
    """Whether this is never meant to be an app: dot-directories and bare repositories."""
    return name.startswith(".") or name.endswith(".git")


def why_no_app(name: str) -> str:
    """Why an app cannot have this name; "" if it can."""
    if not name:
        return "the name is empty"
    if name.endswith(".git"):
        return "a name that ends in .git is a bare repository's"
    if name[0] not in _FIRST:
        return f"the name begins with {name[0]!a}; it has to begin with a letter, digit or _"
    wrong = next((letter for letter in name if letter not in _OTHER), None)
    if wrong is not None:
        return f"the name has {wrong!a} in it; allowed are A-Z a-z 0-9 _ . + @ : -"
    if len(name) > LONGEST:
        return f"the name has {len(name)} characters; allowed are {LONGEST}"
    return ""


def managed(name: str, include: Iterable[str], exclude: Iterable[str]) -> bool:
    """Whether this node runs the app: some glob of `include` fits, and none of `exclude`."""
    if any(fnmatchcase(name, glob) for glob in exclude):
        return False
    return any(fnmatchcase(name, glob) for glob in include)
