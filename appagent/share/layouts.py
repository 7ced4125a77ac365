"""How an app's files lie, and what its release is: one inspection, whole or not at all.

`inspect` returns an `Inspection`, or raises: `NotDeployable` for what is not a release (no
Makefile, a dangling link), OSError for trouble with the share. The release id of a tree is missing
in it: that takes a scan of everything (signature.py).

An app without a Makefile is unknown, not removed. A checkout that is half done, an upload or an
unfinished release has none either, and none of these may stop an app; it is removed once its
directory has left the root's listing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from appagent.core.names import MAKEFILES
from appagent.model.words import Layout
from appagent.share import git
from appagent.share.disk import DIR, FILE, LINK, Disk
from appagent.share.markers import Marker, NotDeployable
from appagent.share.resolve import PathResolver, ResolvedPath, parent

CURRENT = "current"
DEPLOYING = ".deploying"
SETTINGS = "appagent.yaml"

# Names that decide of what layout an app is, and in which state.
KEY_NAMES = frozenset((CURRENT, DEPLOYING, SETTINGS, ".git", *MAKEFILES))

_MOST_SETTINGS = 64 * 1024
_LONGEST_TEXT = 200  # of a link, inside a release id
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+@:~,=")


class NoApp(NotDeployable):
    """A directory without a Makefile: not an app, or not yet, or not at the moment."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an inspection of an app found."""

    layout: Layout
    base: str  # the app's directory, resolved
    release: str  # "" for a tree
    release_dir: str
    owner: int
    incomplete: str = ""
    settings: str | None = None
    markers: tuple[Marker, ...] = ()
    dirs: tuple[str, ...] = ()  # in which a change of all this would happen


def inspect(  # noqa: PLR0913 - what, where, and two rules for how far
    disk: Disk,
    root: str,
    name: str,
    wanted: Layout | None,
    allowed: Callable[[str], str] = lambda _: "",
    *,
    others: Iterable[str] = (),
) -> Inspection:
    """Inspect the app `name` in `root`.

    `allowed` returns why a path must not be touched; `others` are the directories besides the root
    that releases may lie in, and further names of all of them.
    """
    resolver = PathResolver(disk, root, others, allowed)
    app, status = _resolve(resolver, f"{root.rstrip('/')}/{name}")
    names = resolver.names(app.path)
    layout = wanted or _auto(names, bool(app.links))
    incomplete = DEPLOYING if DEPLOYING in names else ""
    if layout is Layout.SYMLINK:
        return _symlink(resolver, app, status, names)
    _need_makefile(app.path, names, NoApp if layout is Layout.TREE else NotDeployable)
    settings = _settings(resolver, app.path, names)
    release, markers, dirs = "", tuple(resolver.markers(app)), _dirs(app)
    if layout is Layout.GIT:
        head = git.head(resolver, app.path, names)
        release = f"git.1:{head.commit}"
        incomplete = incomplete or (".git/index.lock" if head.locked else "")
        markers, dirs = (*markers, *head.markers), (*dirs, *head.dirs)
    return Inspection(
        layout, app.path, release, app.path, status.st_uid, incomplete, settings, markers, dirs
    )


def _auto(names: dict[str, str], linked: bool) -> Layout:  # noqa: FBT001 - a property, not a switch
    """Detect the layout by what is there."""
    if linked or names.get(CURRENT) == LINK:
        return Layout.SYMLINK
    return Layout.GIT if names.get(".git") in (DIR, FILE) else Layout.TREE


def _symlink(
    resolver: PathResolver, app: ResolvedPath, status: os.stat_result, names: Mapping[str, str]
) -> Inspection:
    owner = status.st_uid
    inside = names
    if names.get(CURRENT) == LINK:
        link = f"{app.path}/{CURRENT}"
        release, status = _resolve(resolver, link)
        inside = resolver.names(release.path)
        text = dict(release.links).get(link)
        if text is None:
            raise NotDeployable(f"{link} is not a symlink any more")
    elif app.links:
        release, text = app, app.links[0][1]
    else:
        what = "is not a symlink" if CURRENT in names else "does not exist"
        raise NotDeployable(f"{app.path}/{CURRENT} {what}")
    # Only what has a `current` is meant to be an app: a link may lead to anything.
    _need_makefile(release.path, inside, NotDeployable if CURRENT in names else NoApp)
    return Inspection(
        layout=Layout.SYMLINK,
        base=app.path,
        release=f"symlink.1:{_id_text(text)}:{status.st_ino}",
        release_dir=release.path,
        owner=owner,
        incomplete=DEPLOYING if DEPLOYING in names else "",
        settings=_settings(resolver, release.path, inside),
        markers=tuple(dict.fromkeys((*resolver.markers(app), *resolver.markers(release)))),
        dirs=tuple(dict.fromkeys((*_dirs(app), *_dirs(release)[:-1], parent(release.path)))),
    )


def _dirs(resolved: ResolvedPath) -> tuple[str, ...]:
    """The directories of the links that led to a path, and the path that they lead to."""
    return tuple(dict.fromkeys((*(parent(path) for path, _ in resolved.links), resolved.path)))


def _need_makefile(path: str, names: Mapping[str, str], wrong: type[NotDeployable]) -> None:
    if not any(names.get(makefile, DIR) != DIR for makefile in MAKEFILES):
        raise wrong(f"there is no Makefile in {path}")


def _settings(resolver: PathResolver, path: str, names: Mapping[str, str]) -> str | None:
    """Read the app's own appagent.yaml.

    One that cannot be read makes the app unknown rather than being left out: the app would be
    deployed with settings that nobody meant.
    """
    if SETTINGS not in names:
        return None
    if names[SETTINGS] != FILE:
        raise NotDeployable(f"{path}/{SETTINGS} is not a regular file")
    try:
        return resolver.read(f"{path}/{SETTINGS}", _MOST_SETTINGS).decode("utf-8")
    except UnicodeDecodeError:
        raise NotDeployable(f"{path}/{SETTINGS} is not UTF-8") from None


def _id_text(text: str) -> str:
    """Write a link's text so that it may stand in an id, a log line and an environment value."""
    safe = "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in os.fsencode(text))
    return safe if len(safe) <= _LONGEST_TEXT else safe[: _LONGEST_TEXT - 1] + "~"


def _resolve(resolver: PathResolver, path: str) -> tuple[ResolvedPath, os.stat_result]:
    """Find the directory that a path leads to, which is one that a release may lie in.

    The result can be walked again without following any link, which is what the shim does before
    it runs something there.
    """
    resolved, status = resolver.follow(path)
    if not stat.S_ISDIR(status.st_mode):
        raise NoApp(f"{resolved.path} is not a directory")
    if not resolved.path.isprintable():
        raise NotDeployable(
            f"{resolved.path!a} has letters in it that the path of a release must not have"
        )
    return resolved, status
