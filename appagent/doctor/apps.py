"""Apps, judged as the watcher and the shim would: layout, settings, trust, env files.

Nothing of the app is run. The walk and the trust are the shim's own code, so what is right here is
right there unless somebody changes it in between; the shim judges again when it uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from appagent import config
from appagent.core.names import MAKEFILES
from appagent.core.settings import settings_for
from appagent.core.want import env_paths
from appagent.doctor.finding import Finding, Item, Step, ok, problem, unreadable, warning
from appagent.model.settings import RootSettings, Settings
from appagent.share import layouts
from appagent.share.debounce import in_words
from appagent.share.disk import Disk
from appagent.share.markers import NotDeployable
from appagent.share.mount_guard import MountGuard
from appagent.share.state import RootState
from appagent.share.watchlist import RootSpec
from appagent.shim import users
from appagent.shim.environment import read_files
from appagent.shim.trust import Refused
from appagent.shim.walk import Bases, Moved, NotFound

if TYPE_CHECKING:
    from appagent.shim.spec import Spec


class App(NamedTuple):
    """An app that was found."""

    name: str
    root: str


def check(settings: Settings, root: RootSettings, name: str, disk: Disk) -> Iterator[Item | App]:
    """Judge one child of a root; a directory without a Makefile is not an app."""
    about, path = f"app {name}", f"{root.path}/{name}"
    yield Step(f"reading {path}")
    guard = MountGuard(disk)
    state = RootState(RootSpec(root.path, release_dirs=root.release_dirs))
    state.real = guard.real(root.path)
    try:
        found = guard.inspect(state, name, settings_for(settings, name, {}).layout)
    except layouts.NoApp:
        return
    except (OSError, NotDeployable) as error:
        do = "fix it; deploys of this app wait for it"
        yield unreadable(about, in_words(error), do)
        return
    yield App(name, root.path)
    if found.settings is not None:
        try:
            config.parse_app_file(found.settings, f"{found.release_dir}/{layouts.SETTINGS}")
        except config.ConfigErrors as wrong:
            for line in wrong.errors:
                yield problem(about, line, "fix it in the app; until then it is not deployed")
    yield Step(f"looking up the users of {path}")
    try:
        bases = trusting(root, name)
        yield Step(f"walking to {found.release_dir}")
        where = bases.straight(found.release_dir)
        for file in (*MAKEFILES, layouts.SETTINGS):
            try:
                bases.file(where, file)
            except NotFound:
                pass
            except Refused as error:
                yield refused(about, error)
    except Refused as error:
        yield refused(about, error)
    except Moved as moved:
        yield unreadable(about, str(moved), "run doctor again")


def trusting(root: RootSettings, name: str) -> Bases:
    """The walk to an app, with the users whose files may be run, as the shim finds them."""
    others = list(root.release_dirs)
    owner = None
    if root.run_as == "owner":
        unjudged = Bases(root.path, others, None)
        owner = unjudged.resolve(unjudged.root, [name])
    user = users.find_user(root.run_as, owner)
    return Bases(root.path, others, users.trust_of(user, list(root.trusted_owners)))


def refused(about: str, error: Refused) -> Finding:
    """The shim's message: mostly what is wrong, a colon, what to do."""
    line = str(error)
    text, colon, do = line.rpartition(": ")
    if not colon or " " not in text:  # "path:line: what", "path: what"
        return problem(about, line, "fix it; until then no target of it is run")
    return problem(about, text, do)


def check_env_files(root: RootSettings, apps: Sequence[str]) -> Iterator[Item]:
    """Judge every env file of these apps; one that they share only once. No value is ever shown."""
    done: set[str] = set()
    readable = 0
    for app in apps:
        for path, optional in env_paths(root, app):
            if path in done:
                continue
            if root.run_as != "owner":
                done.add(path)
            yield Step(f"reading {path}")
            findings = list(_judge_env_file(root, app, path, optional=optional))
            yield from findings
            readable += not findings
    if readable:
        yield ok(f"env files of {root.path}", f"{readable} read, or missing where they may")


def _judge_env_file(root: RootSettings, app: str, path: str, *, optional: bool) -> Iterator[Item]:
    about = f"env file {path}"
    # What reading env files takes of a spec; the secret only keys hashes that are dropped here.
    spec = {"target": "start", "env_files": ["-" * optional + path], "secret": bytes(32)}
    try:
        read = read_files(cast("Spec", spec), trusting(root, app))
    except Refused as error:
        yield refused(about, error)
    except Moved as moved:
        missing = str(moved).endswith(" does not exist")
        do = "create it, or put a - before it in env_files" if missing else "run doctor again"
        yield unreadable(about, str(moved), do)
    else:
        for text in read.warnings:
            yield warning(about, text, "remove it: the agent sets that, or never passes it on")
