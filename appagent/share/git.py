"""The commit of a git work tree, read from its files: nothing of git's is run on a share.

git replaces HEAD and refs by renaming a lock file over them, after the work tree is written and
while index.lock is there, so a HEAD that stands without an index.lock is a checkout that is done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from appagent.share.disk import DIR, FILE, Disk, NotPlain
from appagent.share.marks import ABSENT, CONTENT, STATUS, Mark, Unclear, is_listed, status_text

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF = re.compile(r"refs/[^\0-\x20\x7f~^:?*\[\\]+")
_MOST = 4096  # bytes of a HEAD, a ref, a .git file
_MOST_PACKED = 16 * 1024 * 1024
_MOST_HOPS = 5  # a ref may name another one; git's own bound


class Head(NamedTuple):
    """What HEAD stands for, and what has to stay alike for that to stay so."""

    commit: str
    locked: bool  # .git/index.lock is there
    marks: tuple[Mark, ...]
    dirs: tuple[str, ...]  # in which it would change


def head(disk: Disk, base: str, names: Mapping[str, str]) -> Head:
    """Read HEAD of the work tree `base`, whose entries are `names`."""
    marks: list[Mark] = []
    kind = names.get(".git")
    if kind == DIR:
        git_dir = f"{base}/.git"
    elif kind == FILE:
        git_dir = _pointed(disk, base, f"{base}/.git", "gitdir: ", marks)
    else:
        raise Unclear(f"{base} has no .git that is a directory or a file")
    inside = disk.names(git_dir)
    common = git_dir
    if "commondir" in inside:  # a linked work tree: its refs are the main one's
        common = _pointed(disk, git_dir, f"{git_dir}/commondir", "", marks)
    name, own = "HEAD", git_dir
    for _ in range(_MOST_HOPS):
        text = _ref(disk, own, name, common, marks)
        if _COMMIT.fullmatch(text):
            parents = [mark.path.rpartition("/")[0] for mark in marks]
            dirs = tuple(dict.fromkeys([git_dir, common, *parents]))
            return Head(text, "index.lock" in inside, tuple(marks), dirs)
        target = text.removeprefix("ref: ").strip()
        if not text.startswith("ref: ") or not _REF.fullmatch(target) or ".." in target:
            raise Unclear(f"{own}/{name} is no commit and names no ref")
        name, own = target, common
    raise Unclear(f"{git_dir}/HEAD leads from ref to ref")


def _pointed(disk: Disk, base: str, path: str, prefix: str, marks: list[Mark]) -> str:
    """Read a file that holds the path of a directory."""
    data = _read(disk, path)
    marks.append(Mark(CONTENT, path, data))
    text = data.decode("utf-8", "surrogateescape").rstrip("\n")
    if not text.startswith(prefix) or not text[len(prefix) :] or "\0" in text:
        raise Unclear(f"{path} does not hold {prefix or 'a path'}")
    where = text[len(prefix) :]
    return _normal(where if where.startswith("/") else f"{base}/{where}")


def _ref(disk: Disk, own: str, name: str, common: str, marks: list[Mark]) -> str:
    """Give the text of HEAD or of a ref: loose, else packed."""
    path = f"{own}/{name}"
    try:
        data = _read(disk, path)
    except (FileNotFoundError, NotADirectoryError):
        if is_listed(disk, path):
            raise
        marks.append(Mark(ABSENT, path))
        return _packed(disk, common, name, marks)
    marks.append(Mark(CONTENT, path, data))
    return data.decode("utf-8", "replace").strip()


def _packed(disk: Disk, common: str, name: str, marks: list[Mark]) -> str:
    """Find a ref in packed-refs."""
    path = f"{common}/packed-refs"
    try:  # it may be large, so its status is its mark and not its content
        data = disk.read(path, _MOST_PACKED)
    except FileNotFoundError:
        if is_listed(disk, path):
            raise
        data = b""
    except NotPlain as error:
        raise Unclear(f"{path} {error}") from None
    wanted = b" " + name.encode("utf-8", "surrogateescape")
    for line in data.splitlines():
        if line.endswith(wanted) and not line.startswith((b"#", b"^")):
            marks.append(Mark(STATUS, path, status_text(disk.status(path))))
            return line[: -len(wanted)].decode("ascii", "replace").strip()
    raise Unclear(f"{common} has no ref {name}: is anything committed there?")


def _read(disk: Disk, path: str) -> bytes:
    try:
        return disk.read(path, _MOST)
    except NotPlain as error:
        raise Unclear(f"{path} {error}") from None


def _normal(path: str) -> str:
    """Take `.` and `..` out of a path by its text."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)
