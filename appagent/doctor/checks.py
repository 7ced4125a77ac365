"""Which checks there are, in which order, and what they need of one another.

First the configuration is read, in a process of its own too. Then everything that it speaks of is
looked at, all at the same time; and at last what only follows from several answers together: env
files of the apps that were found, names that are there twice, inotify watches for all of them.
"""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from appagent import config
from appagent.config.files import main_file
from appagent.doctor import (
    agent,
    apps,
    env_files,
    limits,
    machine,
    roots,
    shares,
    software,
    state_dirs,
    unit,
    users,
)
from appagent.doctor.finding import Doing, Finding, Known, Level, Said, ok, problem, warning
from appagent.doctor.mount_options import covering, fstab
from appagent.doctor.programs import ask
from appagent.doctor.runner import Check, Found, carry_out
from appagent.host.mounts import Mounts, real
from appagent.model import codec
from appagent.model.settings import RootSettings
from appagent.model.words import Layout
from appagent.state.store import NodeState

CONFIGURATION = "configuration"
MOST = 19.0  # s for everything
_FIRST, _SECOND = 4.0, 16.0  # s after the begin, when these parts are over at the latest
_REMOUNT = "see whether its servers answer; umount -l and mount it again if its client has gone"
_PREPARED, _SERVICE = "prepared", "service"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What all checks begin with."""

    loaded: config.Loaded
    mountinfo: str
    fstab: str
    places: tuple[roots.Place, ...]


def exam(path: str | None) -> list[Finding]:
    """Check everything; within MOST seconds, whatever hangs."""
    began = time.monotonic()
    mountinfo = _text("/proc/self/mountinfo")
    first = carry_out(
        [
            Check(
                CONFIGURATION,
                partial(_prepare, path, mountinfo),
                patience=3.0,
                hung=Level.PROBLEM,
                do="keep the configuration on the local disk",
            ),
            Check(unit.SERVICE, _service_pid, patience=3.0),
        ],
        _FIRST,
    )
    prepared = cast("list[Prepared]", first.of(_PREPARED))
    pid = max(cast("list[int]", first.of(_SERVICE)), default=0)
    if not prepared:
        running = Check(agent.AGENT, partial(agent.look, path, pid))
        rest = carry_out([*_of_machine(mountinfo, ()), running], began + _SECOND - time.monotonic())
        return [*first.findings, *rest.findings]
    second = carry_out(
        [
            *_of_machine(mountinfo, tuple(place.real for place in prepared[0].places)),
            *_of_configuration(prepared[0]),
            Check(agent.AGENT, partial(agent.look, path, pid)),
        ],
        began + _SECOND - time.monotonic(),
    )
    third = carry_out(_of_answers(prepared[0], second), began + MOST - time.monotonic())
    return [*first.findings, *second.findings, *third.findings]


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def _prepare(path: str | None, mountinfo: str) -> Iterator[Said]:
    """Read the configuration, and find out where its roots lie without touching any."""
    name = main_file(path)
    yield Doing(f"reading {name}")
    mounts = Mounts(mountinfo)
    mount = mounts.holding(real(str(Path(name).absolute()), mounts, _link))
    if mount.is_share:
        text = f"{name} is on a share ({mount.fstype}): an agent cannot start while that hangs"
        yield warning(CONFIGURATION, text, "keep it on the local disk")
    try:
        loaded = config.load(path)
    except config.ConfigErrors as wrong:
        for line in wrong.errors:
            yield problem(CONFIGURATION, line, "put it right; appagent check-config shows all")
        return
    for line in loaded.warnings:
        yield warning(CONFIGURATION, line)
    yield ok(CONFIGURATION, ", ".join(loaded.files))
    table = _text("/etc/fstab")
    seen = _seen_mounted(loaded.settings.state_dir, mounts)
    places = tuple(_place(root, mounts, seen, table) for root in loaded.settings.roots)
    yield Known(_PREPARED, Prepared(loaded, mountinfo, table, places))


def _place(root: RootSettings, mounts: Mounts, seen: frozenset[str], table: str) -> roots.Place:
    found = real(root.path, mounts, _link)
    planned = covering(fstab(table), found)
    return roots.Place(root, found, mounts.holding(found), root.path in seen, planned)


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)  # noqa: PTH115 - only ever called with local paths
    except OSError:
        return None


def _seen_mounted(state_dir: str, mounts: Mounts) -> frozenset[str]:
    """The roots that this node remembers as mounted; none, where that cannot be read."""
    if mounts.holding(state_dir).is_share:
        return frozenset()
    try:
        content = Path(state_dir, "node.json").read_bytes()
        return codec.parse("node", NodeState, content).mounted
    except (OSError, codec.Damaged, codec.Newer):
        return frozenset()


def _service_pid() -> Iterator[Said]:
    """The pid of the service's agent."""
    if not machine.is_systemd():
        return
    yield Doing("asking systemctl for the agent's pid")
    answer = ask(
        "systemctl", "show", "appagent.service", "--property=MainPID", "--value", patience=2.0
    )
    if answer is not None and answer.text.strip().isdigit():
        yield Known(_SERVICE, int(answer.text))


def _of_machine(mountinfo: str, real_roots: tuple[str, ...]) -> Iterable[Check]:
    """What can be checked without a configuration."""
    own = (sys.prefix, str(Path(__file__).parent))
    return (
        Check(software.SOFTWARE, software.look),
        Check(unit.SERVICE, partial(machine.service, real_roots), patience=9.0),
        Check(machine.MACHINE, partial(machine.groups, mountinfo, systemd=machine.is_systemd())),
        Check(machine.MACHINE, partial(machine.interpreter, mountinfo, own)),
        Check(limits.CLOCK, limits.clock),
    )


def _of_configuration(prepared: Prepared) -> Iterable[Check]:
    """What the configuration speaks of."""
    settings, mountinfo = prepared.loaded.settings, prepared.mountinfo
    yield Check(users.NAMES, partial(users.look, settings, prepared.loaded.places), 6.0)
    yield Check("journal", partial(machine.journal, settings.log_format))
    for key in ("state_dir", "runtime_dir"):
        path: str = getattr(settings, key)
        look = partial(state_dirs.look, key, path, mountinfo, settings.state_dir)
        yield Check(key, look, hung=Level.PROBLEM)
    for place in prepared.places:
        look = partial(roots.look, settings, place)
        yield Check(place.about, look, hung=Level.PROBLEM, do=_REMOUNT)
    mounts = {place.mount.point: place.mount for place in prepared.places if place.mount.is_share}
    for mount in mounts.values():
        look = partial(shares.look, mount, mountinfo, prepared.fstab, systemd=machine.is_systemd())
        yield Check(shares.about(mount), look, patience=6.0, hung=Level.PROBLEM, do=_REMOUNT)


def _of_answers(prepared: Prepared, found: Found) -> Iterable[Check]:
    """What follows from the answers."""
    settings = prepared.loaded.settings
    seen = cast("list[tuple[str, str, Layout]]", found.of(apps.APP))
    watches = sum(cast("list[int]", found.of(apps.WATCHES)))
    pid = max(cast("list[int]", found.of(agent.PID)), default=0)
    shares_only = not any(place.local for place in prepared.places)
    yield Check("apps", partial(twice, seen))
    yield Check(software.SOFTWARE, partial(software.git, _with_git(seen)))
    yield Check(
        limits.INOTIFY,
        partial(limits.inotify, watches, shares_only=shares_only, agent=pid),
    )
    yield Check(limits.FILES, partial(_files, pid))
    for root in settings.roots:
        names = [name for name, where, _ in seen if where == root.path]
        if root.env_files and names:
            about = f"env files of {root.path}"
            look = partial(env_files.look, root, names)
            do = "see whether what they lie on answers"
            yield Check(about, look, most=8.0, patience=3.0, hung=Level.PROBLEM, do=do)


def _files(agent: int) -> Iterator[Said]:
    names = ("LimitNOFILE", "LimitNOFILESoft")
    show = {}
    if not agent and machine.is_systemd():
        yield Doing("asking systemctl for the limits of the service")
        words = ("show", "appagent.service", f"--property=LoadState,{','.join(names)}")
        answer = ask("systemctl", *words, patience=2.0)
        show = unit.properties(answer.text) if answer is not None else {}
    bounds = [show.get(name, "") if show.get("LoadState") == "loaded" else "" for name in names]
    yield from limits.files(agent, (bounds[0], bounds[1]))


def _with_git(seen: Iterable[tuple[str, str, Layout]]) -> list[str]:
    return [name for name, _, layout in seen if layout is Layout.GIT]


def twice(seen: Iterable[tuple[str, str, Layout]]) -> Iterator[Finding]:
    """Names are unique over all roots of a node; only one of two is deployed."""
    where = defaultdict(list)
    for name, root, _ in seen:
        where[name].append(root)
    for name, places in where.items():
        if len(places) > 1:
            text = f"is in {' and in '.join(places)}; names are unique on a node"
            do = "give one of them another name, or leave it out (exclude)"
            yield problem(f"app {name}", text, do)
