"""How an app's files lie, and what its release is: one look at one app, whole or not at all.

`look` answers with a `Found`, or it raises: `Unclear` for what is no release (no Makefile, a link
to nothing), OSError for trouble with the share. For a tree the release itself is missing in the
answer: that takes a scan of everything (scan.py).

An app without a Makefile is unclear, not gone. A checkout that is half done, an upload, a release
that somebody forgot to finish all look so, and none may stop an app; gone it is once its directory
has left the root's listing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from appagent.core.names import MAKEFILES
from appagent.model import Layout
from appagent.share import git
from appagent.share.disk import DIR, FILE, LINK, Disk, NotPlain
from appagent.share.marks import LINK as LINK_MARK
from appagent.share.marks import Mark, Unclear

CURRENT = "current"
DEPLOYING = ".deploying"
SETTINGS = "appagent.yaml"

# Names that say of what kind an app is, and in which state.
TELLING = frozenset((CURRENT, DEPLOYING, SETTINGS, ".git", *MAKEFILES))

_MOST_SETTINGS = 64 * 1024
_MOST_LINKS = 40  # as the kernel has it
_LONGEST_TEXT = 200  # of a link, inside a release id
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+@:~,=")


class NoApp(Unclear):
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


class _Place(NamedTuple):
    """A directory without symlinks in its path, and the links that led there."""

    path: str
    links: tuple[tuple[str, str], ...]
    status: os.stat_result


def look(
    disk: Disk,
    root: str,
    name: str,
    wanted: Layout | None,
    allowed: Callable[[str], str] = lambda _: "",
) -> Found:
    """Look at the app `name` in `root`. `allowed` says why a path outside must not be touched."""
    app = _resolve(disk, root, f"{root.rstrip('/')}/{name}", allowed)
    names = disk.names(app.path)
    layout = wanted or _auto(names, bool(app.links))
    incomplete = DEPLOYING if DEPLOYING in names else ""
    owner = app.status.st_uid
    if layout is Layout.SYMLINK:
        return _symlink(disk, root, app, names, allowed)
    _need_makefile(app.path, names, NoApp if layout is Layout.TREE else Unclear)
    settings = _settings(disk, app.path, names)
    marks = tuple(Mark(LINK_MARK, path, os.fsencode(text)) for path, text in app.links)
    dirs = _dirs(app)
    if layout is Layout.TREE:
        return Found(layout, app.path, "", app.path, owner, incomplete, settings, marks, dirs)
    found = git.head(disk, app.path, names)
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


def _symlink(
    disk: Disk, root: str, app: _Place, names: dict[str, str], allowed: Callable[[str], str]
) -> Found:
    if names.get(CURRENT) == LINK:
        link = f"{app.path}/{CURRENT}"
        release = _resolve(disk, root, link, allowed)
        inside = disk.names(release.path)
        text = next(text for path, text in release.links if path == link)
    elif app.links:
        release, inside, text = app, names, app.links[0][1]
    else:
        what = "is not a symlink" if CURRENT in names else "is not there"
        raise Unclear(f"{app.path}/{CURRENT} {what}")
    # Only what has a `current` is meant to be an app: a link may lead to anything.
    _need_makefile(release.path, inside, Unclear if CURRENT in names else NoApp)
    links = dict((*app.links, *release.links))
    return Found(
        layout=Layout.SYMLINK,
        base=app.path,
        release=f"symlink.1:{_id_text(text)}:{release.status.st_ino}",
        release_dir=release.path,
        owner=app.status.st_uid,
        incomplete=DEPLOYING if DEPLOYING in names else "",
        settings=_settings(disk, release.path, inside),
        marks=tuple(Mark(LINK_MARK, path, os.fsencode(text)) for path, text in links.items()),
        dirs=tuple(dict.fromkeys((*_dirs(app), *_dirs(release)[:-1], _parent(release.path)))),
    )


def _dirs(place: _Place) -> tuple[str, ...]:
    """The directories of the links that led to a place, and the place itself."""
    return tuple(dict.fromkeys((*(_parent(path) for path, _ in place.links), place.path)))


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _need_makefile(path: str, names: dict[str, str], wrong: type[Unclear]) -> None:
    if not any(names.get(makefile, DIR) != DIR for makefile in MAKEFILES):
        raise wrong(f"there is no Makefile in {path}")


def _settings(disk: Disk, path: str, names: dict[str, str]) -> str | None:
    """Read the app's own appagent.yaml.

    One that cannot be read makes the look unclear rather than being left out: the app would be
    deployed with settings that nobody meant.
    """
    if SETTINGS not in names:
        return None
    if names[SETTINGS] != FILE:
        raise Unclear(f"{path}/{SETTINGS} is not a regular file")
    try:
        return disk.read(f"{path}/{SETTINGS}", _MOST_SETTINGS).decode("utf-8")
    except NotPlain as error:
        raise Unclear(f"{path}/{SETTINGS} {error}") from None
    except UnicodeDecodeError:
        raise Unclear(f"{path}/{SETTINGS} is not UTF-8") from None


def _id_text(text: str) -> str:
    """Write a link's text so that it may stand in an id, a log line and an environment value."""
    safe = "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in os.fsencode(text))
    return safe if len(safe) <= _LONGEST_TEXT else safe[: _LONGEST_TEXT - 1] + "~"


def _resolve(disk: Disk, root: str, path: str, allowed: Callable[[str], str]) -> _Place:
    """Find the directory that a path leads to, which is one that a release may lie in."""
    done, links, status = _follow(disk, root, path, allowed)
    if not stat.S_ISDIR(status.st_mode):
        raise NoApp(f"{done} is not a directory")
    if not done.isprintable():
        raise Unclear(f"{done!a} has letters in it that the path of a release must not have")
    return _Place(done, links, status)


def _follow(
    disk: Disk, root: str, path: str, allowed: Callable[[str], str]
) -> tuple[str, tuple[tuple[str, str], ...], os.stat_result]:
    """Follow every symlink of a path below the root, one by one.

    The result can be walked again without following any, which is what the shim does before it
    runs something there.
    """
    done, todo = _split(root, path)
    links: list[tuple[str, str]] = []
    status: os.stat_result | None = None
    while todo:
        part = todo.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            done, status = _parent(done), None
            continue
        step = f"{done.rstrip('/')}/{part}"
        why = allowed(step)
        if why:
            raise Unclear(f"{step} {why}")
        status = disk.status(step)
        if not stat.S_ISLNK(status.st_mode):
            done = step
            continue
        if len(links) >= _MOST_LINKS:
            raise Unclear(f"{path} leads from link to link")
        text = disk.link(step)
        links.append((step, text))
        done, rest = _split(root, text) if text.startswith("/") else (done, text.split("/"))
        todo, status = [*rest, *todo], None
    # Without a status the last part was `..`, or there was none.
    return done or "/", tuple(links), status or disk.status(done or "/")


def _split(root: str, path: str) -> tuple[str, list[str]]:
    """Where to begin with an absolute path: at the root, if it lies inside, else at the top."""
    inside = path.removeprefix(root.rstrip("/") + "/")
    return (root.rstrip("/"), inside.split("/")) if inside != path else ("/", path.split("/"))
