"""Which paths of a tree do not count: gitignore-style lines, and the ones that are built in.

As in gitignore: `#` begins a comment, `!` takes a path back in, a `/` at the beginning or in the
middle ties a pattern to the app's directory, one at the end means directories only, `**` crosses
directories, the last line that fits wins. What lies in an ignored directory is never read, so
it cannot be taken back in.

The built-in lines come first, so `!node_modules/` takes that one back in. They are part of the
scheme `tree.1`: whoever changes them makes a new scheme, or every tree on every node is deployed
once more.

Theory of operation. Whoever can push writes such lines, and a scan asks for every path, so no line
may cost more than its length times that of the path. A pattern is a row of segments, each a glob
for one name, or `**` for any number of names. A glob takes the first place that fits what is
behind a star and never goes back on it. Across segments nothing is tried and taken back either:
for each directory it is kept which segments the pattern may be at there, which follows from the
directory above. So an entry needs only the last segment.

Not pathspec: its regular expressions backtrack (1.1: a line `*a*a*a*a*a*a*a*ab` takes 45 s for one
name of 60 letters), so that one pushed line would stop all scans of a share.
"""

from __future__ import annotations

import re
from _blake2 import blake2b  # all of hashlib would cost a process 4 ms and 3 MB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    # Where each rule that is tied to a directory is there, and which of them need one name more.
    _Directory = tuple[list[int], frozenset["_Rule"]]

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

_CACHED = 8192  # names of which is kept what fits: the same few thousand come back in every scan
_ALL = ".*"
# Letters without a wildcard, then `**` up to a slash or to the end.
_LETTERS_THEN_STARS = re.compile(r"([^*?[\\]*[^/*?[\\])\*{2,}(?:/\*{2,})*(/|\Z)")
_DIRECTORIES = 1024  # of which is kept where in its segments each pattern is


class _Rule:
    """One pattern. Where it is in its segments is a set, a bit for each segment."""

    __slots__ = ("anywhere", "begin", "dirs_only", "last", "negated", "ready", "segments", "stars")

    def __init__(self, glob: str, *, negated: bool, dirs_only: bool) -> None:
        self.negated = negated
        self.dirs_only = dirs_only
        parts = _segments(glob)
        self.anywhere = parts[:-1] == ["**"]
        self.last = _regex(parts[-1])
        self.segments = [None if part == "**" else _fits(_regex(part)) for part in parts]
        self.stars = sum(1 << at for at, part in enumerate(parts) if part == "**")
        self.begin = self._over_stars(1)
        self.ready = 1 << (len(parts) - 1)  # at the last one

    def below(self, positions: int, name: str) -> int:
        """Where it is in a directory, from where it is in the one above."""
        found = positions & self.stars
        for at, fits in enumerate(self.segments):
            if fits is not None and positions >> at & 1 and fits(name):
                found |= 2 << at
        return self._over_stars(found)

    def _over_stars(self, positions: int) -> int:
        """`**` may stand for no name at all; there are never two in a row."""
        return positions | (positions & self.stars) << 1


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
    lines_id, found, _ = rest.partition(":")
    return not scheme.startswith("tree.") or not found or lines_id == ignore_id(lines)


def matcher(
    lines: Iterable[str], built_in: Iterable[str] = BUILT_IN
) -> Callable[[str, bool], bool]:
    """Make the function that decides whether (path within the app, is a directory) is ignored."""
    return _Matcher(
        [rule for line in effective([*built_in, *lines]) for rule in _rules(line)]
    ).ignored


class _Matcher:
    """All rules of an app, the last line first. Any thread may ask."""

    def __init__(self, rules: list[_Rule]) -> None:
        self._rules = rules[::-1]
        self._tied = [rule for rule in self._rules if not rule.anywhere]
        self._tests = [_fits(rule.last) for rule in self._rules]
        # Nearly no name fits any rule but one for all names, so all others are asked at once.
        self._for_all = tuple(rule for rule in self._rules if rule.last == _ALL)
        self._others = _fits("|".join(rule.last for rule in self._rules if rule.last != _ALL))
        self._names: dict[str, tuple[_Rule, ...]] = {}
        self._top = self._directory([rule.begin for rule in self._tied])
        self._directories = {"": self._top}

    def ignored(self, path: str, is_dir: bool) -> bool:  # noqa: FBT001 - one of two properties of a path
        """Whether a path within the app is ignored."""
        above, _, name = path.rpartition("/")
        fitting = self._names.get(name)
        if fitting is None:
            fitting = self._fitting(name)
        for rule in fitting:
            if (is_dir or not rule.dirs_only) and (
                rule.anywhere or rule in self._in_directory(above)[1]
            ):
                return not rule.negated
        return False

    def _fitting(self, name: str) -> tuple[_Rule, ...]:
        """The rules whose last segment fits a name."""
        found = self._for_all
        if self._others(name):
            found = tuple(
                rule for rule, fits in zip(self._rules, self._tests, strict=True) if fits(name)
            )
        if len(self._names) >= _CACHED:
            self._names.clear()
        self._names[name] = found
        return found

    def _in_directory(self, path: str) -> _Directory:
        found = self._directories.get(path)
        if found is None:
            above, names = path, list[str]()
            while (found := self._directories.get(above)) is None:
                above, _, name = above.rpartition("/")
                names.append(name)
            while names:
                name = names.pop()
                both = zip(self._tied, found[0], strict=True)
                found = self._directory([rule.below(positions, name) for rule, positions in both])
            if len(self._directories) >= _DIRECTORIES:
                self._directories = {"": self._top}
            self._directories[path] = found
        return found

    def _directory(self, positions: list[int]) -> _Directory:
        both = zip(self._tied, positions, strict=True)
        return positions, frozenset(rule for rule, at in both if at & rule.ready)


def _rules(line: str) -> list[_Rule]:
    negated = line.startswith("!")
    glob = line[1:] if negated else line
    dirs_only = glob.endswith("/")
    glob = glob.removesuffix("/")  # one alone: "a//" fits nothing, as git has it
    return [_Rule(one, negated=negated, dirs_only=dirs_only) for one in _patterns(glob)]


def _patterns(glob: str) -> tuple[str, ...]:
    """The patterns of a line: any of them may match.

    git compares the text before the first wildcard by itself, and matches what is behind it as a
    pattern of its own. So `**` crosses directories also where it follows letters: `a**/b` is `ab`
    and `a*/**/b`.
    """
    found = _LETTERS_THEN_STARS.match(glob) if "/" in glob else None
    if found is None:
        return (glob,)
    tied, rest = f"/{found[1].removeprefix('/')}", glob[found.end() :]
    return (f"{tied}{rest}", f"{tied}*/**/{rest}") if found[2] else (f"{tied}*", f"{tied}*/**")


def _segments(glob: str) -> list[str]:
    """Parse a pattern; one without a slash matches in every directory."""
    parts: list[str] = []
    for name in glob.removeprefix("/").split("/") if "/" in glob else ("**", glob):
        part = "**" if len(name) > 1 and not name.strip("*") else name  # `***` is `**`
        if part != "**" or parts[-1:] != ["**"]:
            parts.append(part)
    return [*parts, "*"] if parts[-1] == "**" else parts  # what is inside, so one name at least


def _fits(regex: str) -> Callable[[str], object]:
    """A test of a whole name."""
    return re.compile(f"(?:{regex})\\Z", re.DOTALL).match


def _regex(glob: str) -> str:
    """A regular expression for a glob over names; what fits behind a star is never taken back."""
    pieces, at = [""], 0
    while at < len(glob):
        letter = glob[at]
        at += 1
        if letter == "*":
            if pieces[-1] or len(pieces) == 1:
                pieces.append("")
        elif letter == "?":
            pieces[-1] += "."
        elif letter == "[":
            inside, at = _class(glob, at)
            pieces[-1] += inside
        else:
            if letter == "\\" and at < len(glob):
                letter = glob[at]
                at += 1
            pieces[-1] += re.escape(letter)
    if len(pieces) == 1:
        return pieces[0]
    middle = "".join(f"(?>.*?{piece})" for piece in pieces[1:-1])
    return f"{pieces[0]}{middle}.*{pieces[-1]}"


def _class(glob: str, begin: int) -> tuple[str, int]:
    """A class of letters that begins behind its `[`; one that is never closed fits nothing."""
    at = begin + 1 if glob[begin : begin + 1] in ("!", "^") else begin
    end = glob.find("]", at + 1)
    if end < 0:
        return "(?!)", len(glob)
    inside = glob[at:end].replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
    inside = inside.replace("&&", "&\\&").replace("||", "|\\|").replace("~~", "~\\~")
    made = f"[{'^' if at > begin else ''}{inside}]"
    try:
        re.compile(made)
    except re.error:  # a range that runs backwards: it fits nothing
        return "(?!)", end + 1
    return made, end + 1
