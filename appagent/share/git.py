"""The commit of a git work tree, read from its files: git itself is never run on a share.

git replaces HEAD and refs by renaming a lock file over them, after the work tree is written and
while index.lock is there, so a HEAD that stands without an index.lock is a checkout that is done.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from appagent.share.disk import DIR, FILE
from appagent.share.markers import ABSENT, CONTENT, STATUS, Marker, NotDeployable, status_text
from appagent.share.resolve import PathResolver, parent

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF = re.compile(r"refs/[^\0-\x20\x7f~^:?*\[\\]+")
_LONGEST_REF = 255  # bytes
_MOST = 4096  # bytes of a HEAD, a ref, a .git file
_MOST_PACKED = 2 * 1024 * 1024  # some 30,000 refs
_MOST_HOPS = 5  # a ref may name another one; git's own bound


class Head(NamedTuple):
    """What HEAD stands for, and what has to stay alike for that to stay so."""

    commit: str
    locked: bool  # .git/index.lock is there
    markers: tuple[Marker, ...]
    dirs: tuple[str, ...]  # in which it would change


def head(resolver: PathResolver, base: str, names: Mapping[str, str]) -> Head:
    """Read HEAD of the work tree `base`, whose entries are `names`."""
    resolver.need_inside(base, base)
    markers: list[Marker] = []
    kind = names.get(".git")
    if kind == DIR:
        git_dir = f"{base}/.git"
    elif kind == FILE:
        git_dir = _pointed(resolver, base, f"{base}/.git", "gitdir: ", markers)
    else:
        raise NotDeployable(f"{base} has no .git that is a directory or a file")
    inside = resolver.names(git_dir)
    if "reftable" in inside:
        do = "in its work tree run: git refs migrate --ref-format=files"
        raise NotDeployable(f"{git_dir} keeps its refs in a reftable, which is not read here; {do}")
    common = git_dir
    if "commondir" in inside:  # a linked work tree: its refs are the main one's
        common = _pointed(resolver, git_dir, f"{git_dir}/commondir", "", markers)
    name, own = "HEAD", git_dir
    for _ in range(_MOST_HOPS):
        text = _ref(resolver, own, name, common, markers)
        if _COMMIT.fullmatch(text):
            parents = [parent(marker.path) for marker in markers]
            dirs = tuple(dict.fromkeys([git_dir, common, *parents]))
            return Head(text, "index.lock" in inside, tuple(markers), dirs)
        target = text.removeprefix("ref: ").strip()
        if not text.startswith("ref: ") or not _REF.fullmatch(target) or ".." in target:
            raise NotDeployable(f"{own}/{name} is neither a commit nor the name of a ref")
        if len(os.fsencode(target)) > _LONGEST_REF:
            raise NotDeployable(f"{own}/{name} names a ref of more than {_LONGEST_REF} bytes")
        name, own = target, common
    raise NotDeployable(f"{git_dir}/HEAD leads from ref to ref")


def _pointed(
    resolver: PathResolver, base: str, path: str, prefix: str, markers: list[Marker]
) -> str:
    """Read a file that holds the path of a directory, and find that."""
    data = resolver.read(path, _MOST)
    markers.append(resolver.marker(CONTENT, path, data))
    text = data.decode("utf-8", "surrogateescape").rstrip("\n")
    if not text.startswith(prefix) or not text[len(prefix) :] or "\0" in text:
        raise NotDeployable(f"{path} does not hold {prefix or 'a path'}")
    where = text[len(prefix) :]
    resolved, _ = resolver.follow(where if where.startswith("/") else f"{base}/{where}")
    resolver.need_inside(path, resolved.path)
    markers += resolver.markers(resolved)
    return resolved.path


def _ref(resolver: PathResolver, own: str, name: str, common: str, markers: list[Marker]) -> str:
    """Give the text of HEAD or of a ref: loose, else packed."""
    resolved, data = resolver.find(f"{own}/{name}", _MOST)
    markers += resolver.markers(resolved)
    if data is None:
        resolver.need_missing(resolved.path)
        markers.append(resolver.marker(ABSENT, resolved.path))
        return _packed(resolver, common, name, markers)
    markers.append(resolver.marker(CONTENT, resolved.path, data))
    return data.decode("utf-8", "replace").strip()


def _packed(resolver: PathResolver, common: str, name: str, markers: list[Marker]) -> str:
    """Find a ref in packed-refs."""
    resolved, data = resolver.find(f"{common}/packed-refs", _MOST_PACKED)
    if data is None:
        resolver.need_missing(resolved.path)
        data = b""
    wanted = b" %s\n" % name.encode("utf-8", "surrogateescape")
    end = data.find(wanted)
    commit = data[data.rfind(b"\n", 0, max(end, 0)) + 1 : max(end, 0)].decode("ascii", "replace")
    if not _COMMIT.fullmatch(commit):
        raise NotDeployable(f"{common} has no ref {name}: is anything committed there?")
    # It may be large, so its status is its mark and not its content.
    markers += resolver.markers(resolved)
    status = resolver.disk.status(resolved.path, base=resolver.base(resolved.path))
    markers.append(resolver.marker(STATUS, resolved.path, status_text(status)))
    return commit
