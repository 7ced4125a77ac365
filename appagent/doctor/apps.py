"""One app, judged as the watcher and the shim would: what it is, whose files it has, its Makefile.

Nothing of the app's is run. The walk and the trust are the shim's own code, so what is fine here is
fine there, as long as nobody changes it in between; the shim looks again at the moment of use.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from appagent import config
from appagent.core.ignore import matcher
from appagent.core.names import MAKEFILES
from appagent.core.settings import settings_for
from appagent.doctor import makefile
from appagent.doctor.finding import Doing, Finding, Known, Said, note, problem, warning
from appagent.model.settings import RootSettings, Settings
from appagent.model.words import Layout
from appagent.share import layouts
from appagent.share.debounce import in_words
from appagent.share.disk import DIR, Disk
from appagent.share.layouts import Inspection
from appagent.share.markers import NotDeployable
from appagent.share.state import MountGuard, RootState
from appagent.share.watchlist import RootSpec
from appagent.shim import users
from appagent.shim.trust import Refused
from appagent.shim.walk import Bases, Directory, Gone, Moved

APP = "app"  # what is Known: (name, root's path, layout)
WATCHES = "watches"  # how many directories of it inotify has to watch
_MOST_MAKEFILE = 1024 * 1024
_MOST_DIRS = 200_000
_NOT_ALLOWED = os.strerror(errno.EACCES)


@dataclass(slots=True)
class Judged:
    """One app on the way through the checks."""

    settings: Settings
    root: RootSettings
    name: str
    local: bool  # inotify watches it
    disk: Disk = field(default_factory=Disk)

    @property
    def about(self) -> str:
        """How it is called in a finding."""
        return f"app {self.name}"


def look(app: Judged) -> Iterator[Said]:
    """Judge one app of a root; a directory without a Makefile is none, and nothing is said."""
    path = f"{app.root.path}/{app.name}"
    yield Doing(f"looking at {path}")
    wanted = settings_for(app.settings, app.name, {}).layout
    guard = MountGuard(app.disk)
    root = RootState(RootSpec(app.root.path, release_dirs=app.root.release_dirs))
    root.real = guard.real(root.path)
    try:
        found = guard.inspect(root, app.name, wanted)
    except layouts.NoApp:
        return
    except (OSError, NotDeployable) as error:
        yield from not_seen(app.about, in_words(error), "look at it: its deploys wait for that")
        return
    yield Known(APP, (app.name, app.root.path, found.layout))
    if found.incomplete:
        text = f"{found.incomplete} is there, so it is not complete, and waits"
        yield note(app.about, text, "fine during a deploy; else take it away")
    yield from _own_settings(app, found)
    yield Doing(f"looking up the users of {path}")
    yield from _trust(app, found)
    if app.local:
        yield Doing(f"counting the directories of {path}")
        yield Known(WATCHES, _directories(app, found))


def not_seen(about: str, why: str, do: str) -> Iterator[Finding]:
    """What cannot be seen: a problem, unless it is only this person who cannot."""
    if os.geteuid() != 0 and _NOT_ALLOWED in why:
        text = f"who runs doctor cannot see it: {why}"
        yield note(about, text, "run doctor as root, or as the user that the agent runs as")
    else:
        yield problem(about, why, do)


def _own_settings(app: Judged, found: Inspection) -> Iterator[Finding]:
    if found.settings is None:
        return
    try:
        config.parse_own(found.settings, f"{found.release_dir}/{layouts.SETTINGS}")
    except config.ConfigErrors as wrong:
        for line in wrong.errors:
            yield problem(app.about, line, "put it right in the app; until then it is not deployed")


def trusting(root: RootSettings, name: str) -> Bases:
    """Who may have written what is run of this app, as the shim finds it out."""
    others = list(root.release_dirs)
    owner = None
    if root.run_as == "owner":
        unjudged = Bases(root.path, others, None)
        owner = unjudged.resolve(unjudged.root, [name])
    user = users.account(root.run_as, owner)
    return Bases(root.path, others, users.trust_of(user, list(root.trusted_owners)))


def _trust(app: Judged, found: Inspection) -> Iterator[Said]:
    """Judge the way to the release and what is used of it."""
    try:
        bases = trusting(app.root, app.name)
        yield Doing(f"walking to {found.release_dir}")
        where = bases.straight(found.release_dir)
        first = ""
        for name in (*MAKEFILES, layouts.SETTINGS):
            try:
                bases.file(where, name)
            except Gone:
                continue
            except Refused as error:
                yield refused(app.about, error)
                continue
            first = first or (name if name in MAKEFILES else "")
        if first:
            yield Doing(f"reading {where.path}/{first}")
            yield from _makefile(app, bases, where, first)
    except Refused as error:
        yield refused(app.about, error)
    except Moved as moved:
        yield from not_seen(app.about, str(moved), "run doctor again")


def refused(about: str, error: Refused) -> Finding:
    """The shim's line: mostly what is wrong, a colon, what to do."""
    line = str(error)
    text, colon, do = line.rpartition(": ")
    if not colon or " " not in text:  # "path:line: what", "path: what"
        return problem(about, line, "put it right; until then no target of it runs")
    return problem(about, text, do)


def _makefile(app: Judged, bases: Bases, where: Directory, name: str) -> Iterator[Finding]:
    data = bases.read(where, name, _MOST_MAKEFILE)
    path = f"{where.path}/{name}"
    if len(data) > _MOST_MAKEFILE:
        text = f"{path} is larger than {_MOST_MAKEFILE // 1024} KiB, so no copy of it is kept"
        yield warning(app.about, text, "split it: a stop after the app's removal needs the copy")
        return
    text = data.decode("utf-8", "replace")
    with os.scandir(where.fd) as entries:
        names = [entry.name for entry in entries]
    caught, sure = makefile.trapped(text, names)
    if caught:
        targets = " ".join(caught)
        what = f"{path}: a file or directory called {', '.join(caught)} lies beside it"
        do = f"write .PHONY: {targets} into the Makefile"
        if sure:
            yield problem(app.about, f"{what}, so make does nothing and says that all is well", do)
        else:
            yield warning(app.about, f"{what}, so make may do nothing", do)
    if makefile.without_targets(text):
        what = f"{path} has none of the targets that are called (install, start, restart, stop …)"
        yield warning(app.about, what, "write them; what is missing is skipped")


def _directories(app: Judged, found: Inspection) -> int:
    """How many directories inotify watches for it."""
    if found.layout is not Layout.TREE:
        return len(found.dirs)
    ignored = matcher(settings_for(app.settings, app.name, {}).ignore)
    number, todo = len(found.dirs), [""]
    while todo and number < _MOST_DIRS:
        inside = todo.pop()
        try:
            entries = app.disk.names(f"{found.base}/{inside}")
        except OSError:
            continue
        for name, kind in entries.items():
            path = f"{inside}/{name}" if inside else name
            if kind == DIR and not ignored(path, True):  # noqa: FBT003 - its signature
                number += 1
                todo.append(path)
    return number
