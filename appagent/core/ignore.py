"""Which paths of a tree do not count: gitignore-style lines, and the ones that are built in.

As in gitignore: `#` begins a comment, `!` takes a path back in, a `/` at the beginning or in the
middle ties a pattern to the app's directory, one at the end means directories only, `**` crosses
directories, the last line that fits wins. What lies in an ignored directory is never looked at, so
it cannot be taken back in.

The built-in lines come first, so `!node_modules/` takes that one back in. They are part of the
scheme `tree.1`: whoever changes them makes a new scheme, or every tree on every node is deployed
once more.
"""

from __future__ import annotations

import re
from _blake2 import blake2b  # all of hashlib would cost a process 4 ms and 3 MB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BUILT_IN = (
    # the marker of a deploy that is under way
    "/.deploying",
    # what version control, package managers and interpreters write for themselves
    ".git",
    ".hg/",
    ".svn/",
    "node_modules/",
    "__pycache__/",
    "*.py[co]",
    ".venv/",
    ".tox/",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".sass-cache/",
    # editors, file managers and file servers
    "*~",
    ".*.sw?",
    "[#]*[#]",
    ".[#]*",
    "4913",
    ".goutputstream-*",
    ".~lock.*",
    ".nfs[0-9a-f]*",
    ".fuse_hidden*",
    ".DS_Store",
    "Thumbs.db",
    "desktop.ini",
    # what a running app leaves beside its files
    "*.pid",
    "*.sock",
    "*.log",
)

_CACHED = 8192  # names whose verdict is kept: the same few thousand come back in every scan


class _Rule:
    """One line, understood."""

    __slots__ = ("by_name", "dirs_only", "negated", "regex")

    def __init__(self, line: str) -> None:
        self.negated = line.startswith("!")
        glob = line[1:] if self.negated else line
        self.dirs_only = glob.endswith("/")
        glob = glob.removesuffix("/")  # one alone: "a//" fits nothing, as git has it
        self.by_name = "/" not in glob
        self.regex = _segment(glob) if self.by_name else _path(glob.removeprefix("/"))


def effective(lines: Iterable[str]) -> list[str]:
    """Leave out comments, empty lines, and blanks at the end that are not escaped."""
    kept = []
    for line in lines:
        text = line.rstrip("\r\n")
        while text.endswith((" ", "\t")) and not text.endswith(("\\ ", "\\\t")):
            text = text[:-1]
        if text and not text.startswith("#") and text not in ("!", "/", "!/"):
            kept.append(text)
    return kept


def ignore_id(lines: Iterable[str]) -> str:
    """Give a short id for the lines that stand beside the built-in ones."""
    text = "\n".join(effective(lines)).encode("utf-8", "surrogateescape")
    return blake2b(text, digest_size=4, person=b"appagent.ignore").hexdigest()


def made_under(release: str, lines: Iterable[str]) -> bool:
    """Whether the id of a release was made with these lines; most kinds of ids know of none."""
    scheme, _, rest = release.partition(":")
    said, found, _ = rest.partition(":")
    return not scheme.startswith("tree.") or not found or said == ignore_id(lines)


def matcher(
    lines: Iterable[str], built_in: Iterable[str] = BUILT_IN
) -> Callable[[str, bool], bool]:
    """Make the function that says whether (path within the app, is a directory) is ignored."""
    rules = [_Rule(line) for line in effective([*built_in, *lines])]
    # Nearly no path fits any rule, so one look at all of them together comes first.
    by_name = _any(rule.regex for rule in rules if rule.by_name)
    by_path = _any(rule.regex for rule in rules if not rule.by_name)
    each = [(re.compile(rule.regex, re.DOTALL).fullmatch, rule) for rule in reversed(rules)]
    cache: dict[str, bool] = {}

    def ignored(path: str, is_dir: bool) -> bool:  # noqa: FBT001 - one of two facts about a path
        name = path.rpartition("/")[2]
        fits = cache.get(name)
        if fits is None:
            fits = by_name is not None and by_name(name) is not None
            if len(cache) >= _CACHED:
                cache.clear()
            cache[name] = fits
        if not fits and (by_path is None or by_path(path) is None):
            return False
        for match, rule in each:
            if (is_dir or not rule.dirs_only) and match(name if rule.by_name else path):
                return not rule.negated
        return False

    return ignored


def _any(regexes: Iterable[str]) -> Callable[[str], object] | None:
    """One test for a fit of any of them."""
    joined = "|".join(f"(?:{regex})" for regex in regexes)
    return re.compile(joined, re.DOTALL).fullmatch if joined else None


def _path(glob: str) -> str:
    """A regular expression for a pattern that is tied to the app's directory."""
    parts = glob.split("/")
    made = ""
    for at, part in enumerate(parts):
        last = at == len(parts) - 1
        if part == "**":
            made += ".+" if last else "(?:.+/)?"
        else:
            made += _segment(part) + ("" if last else "/")
    return made


def _segment(glob: str) -> str:
    """A regular expression for a pattern without a `/`."""
    made, at = "", 0
    while at < len(glob):
        letter = glob[at]
        at += 1
        if letter == "*":
            made += "[^/]*"
            at += len(glob[at:]) - len(glob[at:].lstrip("*"))
        elif letter == "?":
            made += "[^/]"
        elif letter == "[":
            inside, behind = _class(glob, at)
            made += inside
            at = behind
        elif letter == "\\" and at < len(glob):
            made += re.escape(glob[at])
            at += 1
        else:
            made += re.escape(letter)
    return made


def _class(glob: str, begin: int) -> tuple[str, int]:
    """A class of letters that begins behind its `[`; one that is never closed fits nothing."""
    at = begin + 1 if glob[begin : begin + 1] in ("!", "^") else begin
    end = glob.find("]", at + 1)
    if end < 0:
        return "(?!)", len(glob)
    inside = glob[at:end].replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
    inside = inside.replace("&&", "&\\&").replace("||", "|\\|").replace("~~", "~\\~")
    made = f"[{'^/' if at > begin else ''}{inside}]"
    try:
        re.compile(made)
    except re.error:  # a range that runs backwards: it fits nothing
        return "(?!)", end + 1
    return f"(?!/){made}", end + 1
