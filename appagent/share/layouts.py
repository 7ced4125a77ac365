"""How an app's files lie, and what its release is: one look at one app, whole or not at all.

`look` answers with a `Found`, or it raises: `NotDeployable` for what is no release (no Makefile, a
link to nothing), OSError for trouble with the share. For a tree the release itself is missing in
the answer: that takes a scan of everything (scan.py).

An app without a Makefile is unclear, not gone. A checkout that is half done, an upload, a release
that somebody forgot to finish all look so, and none may stop an app; gone it is once its directory
has left the root's listing.
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
from appagent.share.markers import Mark, NotDeployable
from appagent.share.resolve import Place, Way, parent

CURRENT = "current"
DEPLOYING = ".deploying"
SETTINGS = "appagent.yaml"

# Names that say of what kind an app is, and in which state.
TELLING = frozenset((CURRENT, DEPLOYING, SETTINGS, ".git", *MAKEFILES))

_MOST_SETTINGS = 64 * 1024
_LONGEST_TEXT = 200  # of a link, inside a release id
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+@:~,=")


class NoApp(NotDeployable):
    """A directory like any other, without a Makefile: no app, or not yet, or not at the moment."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at an app found."""

    layout: Layout
    base: str  # the app's directory, resolved
    release: str  # "" for a tree
    release_dir: str
    owner: int
    incomplete: str = ""
    settings: str | None = None
    marks: tuple[Mark, ...] = ()
    dirs: tuple[str, ...] = ()  # in which a change of all this would happen


def look(  # noqa: PLR0913 - what, where, and two rules for how far
    disk: Disk,
    root: str,
    name: str,
    wanted: Layout | None,
    allowed: Callable[[str], str] = lambda _: "",
    *,
    others: Iterable[str] = (),
) -> Found:
    """Look at the app `name` in `root`.

    `allowed` says why a path must not be touched; `others` are the directories beside the root that
    releases may lie in, and further names of all of them.
    """
    way = Way(disk, root, others, allowed)
    app, status = _resolve(way, f"{root.rstrip('/')}/{name}")
    names = way.names(app.path)
    layout = wanted or _auto(names, bool(app.links))
    incomplete = DEPLOYING if DEPLOYING in names else ""
    owner = status.st_uid
    if layout is Layout.SYMLINK:
        return _symlink(way, app, status, names)
    _need_makefile(app.path, names, NoApp if layout is Layout.TREE else NotDeployable)
    settings = _settings(way, app.path, names)
    marks = tuple(way.marks(app))
    dirs = _dirs(app)
    if layout is Layout.TREE:
        return Found(layout, app.path, "", app.path, owner, incomplete, settings, marks, dirs)
    found = git.head(way, app.path, names)
    if found.locked and not incomplete:
        incomplete = ".git/index.lock"
    return Found(
        layout=layout,
        base=app.path,
        release=f"git.1:{found.commit}",
        release_dir=app.path,
        owner=owner,
        incomplete=incomplete,
        settings=settings,
        marks=(*marks, *found.marks),
        dirs=(*dirs, *found.dirs),
    )


def _auto(names: dict[str, str], linked: bool) -> Layout:  # noqa: FBT001 - a fact, no switch
    """Tell the layout by what is there."""
    if linked or names.get(CURRENT) == LINK:
        return Layout.SYMLINK
    return Layout.GIT if names.get(".git") in (DIR, FILE) else Layout.TREE


def _symlink(way: Way, app: Place, status: os.stat_result, names: Mapping[str, str]) -> Found:
    owner = status.st_uid
    inside = names
    if names.get(CURRENT) == LINK:
        link = f"{app.path}/{CURRENT}"
        release, status = _resolve(way, link)
        inside = way.names(release.path)
        text = dict(release.links).get(link)
        if text is None:
            raise NotDeployable(f"{link} is not a symlink any more")
    elif app.links:
        release, text = app, app.links[0][1]
    else:
        what = "is not a symlink" if CURRENT in names else "is not there"
        raise NotDeployable(f"{app.path}/{CURRENT} {what}")
    # Only what has a `current` is meant to be an app: a link may lead to anything.
    _need_makefile(release.path, inside, NotDeployable if CURRENT in names else NoApp)
    return Found(
        layout=Layout.SYMLINK,
        base=app.path,
        release=f"symlink.1:{_id_text(text)}:{status.st_ino}",
        release_dir=release.path,
        owner=owner,
        incomplete=DEPLOYING if DEPLOYING in names else "",
        settings=_settings(way, release.path, inside),
        marks=tuple(dict.fromkeys((*way.marks(app), *way.marks(release)))),
        dirs=tuple(dict.fromkeys((*_dirs(app), *_dirs(release)[:-1], parent(release.path)))),
    )


def _dirs(place: Place) -> tuple[str, ...]:
    """The directories of the links that led to a place, and the place itself."""
    return tuple(dict.fromkeys((*(parent(path) for path, _ in place.links), place.path)))


def _need_makefile(path: str, names: Mapping[str, str], wrong: type[NotDeployable]) -> None:
    if not any(names.get(makefile, DIR) != DIR for makefile in MAKEFILES):
        raise wrong(f"there is no Makefile in {path}")


def _settings(way: Way, path: str, names: Mapping[str, str]) -> str | None:
    """Read the app's own appagent.yaml.

    One that cannot be read makes the look unclear rather than being left out: the app would be
    deployed with settings that nobody meant.
    """
    if SETTINGS not in names:
        return None
    if names[SETTINGS] != FILE:
        raise NotDeployable(f"{path}/{SETTINGS} is not a regular file")
    try:
        return way.read(f"{path}/{SETTINGS}", _MOST_SETTINGS).decode("utf-8")
    except UnicodeDecodeError:
        raise NotDeployable(f"{path}/{SETTINGS} is not UTF-8") from None


def _id_text(text: str) -> str:
    """Write a link's text so that it may stand in an id, a log line and an environment value."""
    safe = "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in os.fsencode(text))
    return safe if len(safe) <= _LONGEST_TEXT else safe[: _LONGEST_TEXT - 1] + "~"


def _resolve(way: Way, path: str) -> tuple[Place, os.stat_result]:
    """Find the directory that a path leads to, which is one that a release may lie in.

    The result can be walked again without following any link, which is what the shim does before
    it runs something there.
    """
    place, status = way.follow(path)
    if not stat.S_ISDIR(status.st_mode):
        raise NoApp(f"{place.path} is not a directory")
    if not place.path.isprintable():
        raise NotDeployable(
            f"{place.path!a} has letters in it that the path of a release must not have"
        )
    return place, status
