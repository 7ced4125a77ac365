"""One root: whether it is what it should be, and each of its apps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from appagent.core.names import is_hidden, managed, why_no_app
from appagent.doctor import apps
from appagent.doctor.finding import Doing, Finding, Known, Level, Said, note, ok, problem, warning
from appagent.doctor.mount_options import Line, not_mounted
from appagent.host.mounts import Mount
from appagent.model.settings import RootSettings, Settings
from appagent.report.text import count
from appagent.share.disk import DIR, LINK, Disk

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Place:
    """A root, and what the mount table says of it; nothing of it was touched for that."""

    root: RootSettings
    real: str  # without the symlinks of its local part
    mount: Mount
    seen_mounted: bool = False  # the node remembers it so
    planned: Line | None = None  # how fstab has it

    @property
    def about(self) -> str:
        """How it is called in a finding."""
        return f"root {self.root.path}"

    @property
    def local(self) -> bool:
        """Whether inotify watches it."""
        watch = self.root.watch
        return watch == "inotify" or (watch == "auto" and not self.mount.is_share)


def mounted(place: Place) -> Iterator[Finding]:
    """Judge what the mount table says."""
    about, mount, root = place.about, place.mount, place.root
    if mount.fstype == "autofs":
        text = "is mounted only when somebody looks (autofs): while it is not, it is unknown"
        yield warning(about, text, "mount it for good")
    elif mount.is_share:
        yield ok(about, f"is on {mount.source or mount.fstype} ({mount.fstype}), at {mount.point}")
        if root.watch == "inotify":
            text = f"watch is inotify, which on {mount.fstype} sees only what this node writes"
            yield warning(about, text, "watch: auto, or poll")
    elif place.planned is not None and place.planned.point != mount.point:
        yield not_mounted(about, place.planned)
    elif root.mount == "required" or (place.seen_mounted and root.mount != "optional"):
        text = f"no share is mounted there; it is an ordinary directory on {mount.fstype}"
        yield problem(about, text, "mount the share; or mount: optional, if a local disk is meant")
    else:
        yield ok(about, f"is on the local disk ({mount.fstype})")


def look(settings: Settings, place: Place) -> Iterator[Said]:
    """Look at a root and all of its apps; anything here can hang."""
    root, about = place.root, place.about
    judged = list(mounted(place))
    fine = [one for one in judged if one.level is Level.OK]  # if it can be listed
    yield from (one for one in judged if one not in fine)
    yield Doing(f"listing {root.path}")
    disk = Disk()
    try:
        entries = disk.names(root.path)
    except OSError as error:
        why = f"{root.path} cannot be listed: {error.strerror}"
        yield from apps.not_seen(about, why, f"ls {root.path}; mount the share again if it is gone")
        return
    yield from fine
    if not entries:
        text = "is empty: nothing is deployed, and nothing that runs is stopped for that"
        yield warning(about, text, "is the share mounted, and is it the right one?")
        return
    yield from _release_dirs(place, disk)
    names = sorted(name for name, kind in entries.items() if kind in (DIR, LINK))
    names = [name for name in names if not is_hidden(name)]
    names = [name for name in names if managed(name, root.include, root.exclude)]
    found: list[str] = []
    for name in names:
        wrong = why_no_app(name)
        if wrong:
            yield note(about, f"{name} can be no app: {wrong}", "give it another name")
            continue
        for said in apps.look(apps.Judged(settings, root, name, place.local, disk)):
            if isinstance(said, Known) and said.key == apps.APP:
                found.append(name)
            yield said
    if place.local:
        yield Known(apps.WATCHES, 1)
    yield ok(about, _summary(found, names)) if found else _no_apps(about, root)


def _release_dirs(place: Place, disk: Disk) -> Iterator[Said]:
    for path in place.root.release_dirs:
        yield Doing(f"listing {path}")
        try:
            disk.names(path)
        except OSError as error:
            text = f"release_dirs: {path}: {error.strerror}"
            yield warning(place.about, text, "make it, or leave it out")


def _summary(found: list[str], names: list[str]) -> str:
    rest = [name for name in names if name not in found]
    more = f"; not seen as apps (no Makefile?): {_some(rest)}" if rest else ""
    who = "" if os.geteuid() == 0 else ", judged as an agent of this user would"
    return f"{count(len(found), 'app')}: {_some(found)}{more}{who}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def _no_apps(about: str, root: RootSettings) -> Said:
    text = "no app of this node is in it: no directory with a Makefile that include and exclude fit"
    return note(about, text, f"ls {root.path}; include: {list(root.include)}")
