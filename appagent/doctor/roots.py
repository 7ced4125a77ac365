"""One root: whether it is mounted as it should be, and each of its apps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from appagent.core.names import is_hidden, managed, why_no_app
from appagent.doctor import apps
from appagent.doctor.finding import (
    Finding,
    Item,
    Level,
    Step,
    note,
    ok,
    problem,
    unreadable,
    warning,
)
from appagent.doctor.mount_options import Entry, not_mounted
from appagent.host.mounts import Mount
from appagent.model.settings import RootSettings, Settings
from appagent.report.text import count
from appagent.share.disk import DIR, LINK, Disk

_SHOWN = 10


class RootMount(NamedTuple):
    """A root and its mount, found without touching the root."""

    root: RootSettings
    real: str  # without the symlinks of its local part
    mount: Mount
    was_mounted: bool = False  # this node remembers it as mounted
    planned: Entry | None = None  # its entry in fstab

    @property
    def about(self) -> str:
        """Its name in findings."""
        return f"root {self.root.path}"


def judge_mount(root_mount: RootMount) -> Finding:
    """Judge what the mount table has."""
    about, mount, root = root_mount.about, root_mount.mount, root_mount.root
    required = root.must_mount(ever_mounted=root_mount.was_mounted)
    if mount.fstype == "autofs":
        text = "is mounted on access only (autofs): while it is not mounted, its apps are unknown"
        return warning(about, text, "mount it permanently")
    if mount.is_share:
        if root.watch == "inotify":
            text = f"watch is inotify, which on {mount.fstype} sees only the writes of this node"
            return warning(about, text, "set watch to auto or poll")
        return ok(about, f"is on {mount.source or mount.fstype} ({mount.fstype}), at {mount.point}")
    if root_mount.planned is not None and root_mount.planned.point != mount.point:
        return not_mounted(about, root_mount.planned)
    if required and not mount.is_right_for(root_mount.real, was_share=root_mount.was_mounted):
        text = f"no share is mounted there; it is a plain directory on {mount.fstype}"
        do = "mount the share; or set mount: optional if a local disk is meant"
        return problem(about, text, do)
    return ok(about, f"is on the local disk ({mount.fstype})")


def check(settings: Settings, root_mount: RootMount) -> Iterator[Item | apps.App]:
    """Judge a root and all of its apps; every step can hang."""
    root, about = root_mount.root, root_mount.about
    mount = judge_mount(root_mount)
    if mount.level is not Level.OK:  # what is ok counts only if the root can be listed
        yield mount
    yield Step(f"listing {root.path}")
    disk = Disk()
    try:
        entries = disk.names(root.path)
    except OSError as error:
        do = f"ls {root.path}; mount the share again if it is not mounted"
        yield unreadable(about, f"cannot be listed: {error.strerror}", do)
        return
    if mount.level is Level.OK:
        yield mount
    if not entries:
        text = "is empty: nothing is deployed, and nothing that runs is stopped"
        yield warning(about, text, "check that the share is mounted and that it is the right one")
        return
    for path in root.release_dirs:
        yield Step(f"listing {path}")
        try:
            disk.names(path)
        except OSError as error:
            text = f"release_dirs: {path}: {error.strerror}"
            yield warning(about, text, "create it, or remove it from release_dirs")
    names = [
        name
        for name, kind in sorted(entries.items())
        if kind in (DIR, LINK) and not is_hidden(name) and managed(name, root.include, root.exclude)
    ]
    found: list[str] = []
    for name in names:
        wrong = why_no_app(name)
        if wrong:
            yield note(about, f"{name} cannot be an app: {wrong}", "rename it")
            continue
        for item in apps.check(settings, root, name, disk):
            if isinstance(item, apps.App):
                found.append(name)
            yield item
    if found:
        rest = [name for name in names if name not in found]
        more = f"; not apps (no Makefile): {_some(rest)}" if rest else ""
        who = "" if os.geteuid() == 0 else ", judged as for an agent of this user"
        yield ok(about, f"{count(len(found), 'app')}: {_some(found)}{more}{who}")
    else:
        text = "has no app for this node: no directory with a Makefile matches include and exclude"
        yield note(about, text, f"ls {root.path}; include: {list(root.include)}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
