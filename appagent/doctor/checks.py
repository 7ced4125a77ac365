"""Which checks there are, in which order, and what they need of one another.

First the configuration is read, and systemd asked about the service. Then everything that they name
is checked, all at the same time; at last the env files of the apps that were found.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from appagent import config
from appagent.config.files import main_file
from appagent.doctor import agent, apps, machine, roots, shares, state_dirs, unit, users
from appagent.doctor.finding import Finding, Item, Level, Step, ok, problem, warning
from appagent.doctor.machine import CLOCK, JOURNAL, MACHINE, SERVICE, SOFTWARE
from appagent.doctor.mount_options import Entry, covering, fstab
from appagent.doctor.programs import NO_ANSWER, ask
from appagent.doctor.runner import Check, of, run
from appagent.host import proc
from appagent.host.mounts import Mounts
from appagent.model import codec
from appagent.model.settings import RootSettings
from appagent.share.disk import Disk
from appagent.share.mount_guard import MountGuard
from appagent.state.store import NodeState

CONFIGURATION = "configuration"
_FIRST, _SECOND, _LAST = 6.0, 16.0, 19.0  # s after the start: the latest end of each part
_REMOUNT = "check that its servers answer; umount -l and mount it again if its client has died"


class Prepared(NamedTuple):
    """The configuration, and where its roots lie."""

    loaded: config.Loaded
    root_mounts: tuple[roots.RootMount, ...]


class Service(NamedTuple):
    """The unit of the agent: `systemctl show` and `systemctl cat`."""

    show: Mapping[str, str]
    cat: str


def run_checks(path: str | None) -> list[Finding]:
    """Check everything, within _LAST seconds whatever hangs."""
    start = time.monotonic()
    mounts = Mounts(proc.mountinfo())
    try:
        entries = fstab(Path("/etc/fstab").read_text("utf-8", "surrogateescape"))
    except OSError:
        entries = []
    prepare = partial(_prepare, path, mounts, entries)
    do = "keep the configuration on the local disk"
    first = run(
        [
            Check(CONFIGURATION, prepare, silence=3.0, on_hang=Level.PROBLEM, do=do),
            Check(SERVICE, _service, silence=5.0, do="systemctl status appagent"),
        ],
        _FIRST,
    )
    findings = of(Finding, first)
    prepared = of(Prepared, first)
    service = next(iter(of(Service, first)), Service({}, ""))
    if service.show:
        where = [root_mount.real for one in prepared for root_mount in one.root_mounts]
        findings += unit.judge(service.cat, service.show, where)
    own = (sys.prefix, str(Path(__file__).parent))
    checks = [
        Check(SOFTWARE, machine.software),
        Check(MACHINE, partial(machine.groups, mounts, systemd=machine.is_systemd())),
        Check(MACHINE, partial(machine.installation, mounts, own)),
        Check(CLOCK, machine.clock),
        Check(agent.AGENT, partial(agent.check, path, service.show)),
    ]
    for one in prepared:
        checks += _of_configuration(one, mounts, entries)
    second = run(checks, start + _SECOND - time.monotonic())
    found = of(apps.App, second)
    findings += [*of(Finding, second), *ambiguous(found)]
    for one in prepared:
        env_files = _of_env_files(one.loaded.settings.roots, found)
        findings += of(Finding, run(env_files, start + _LAST - time.monotonic()))
    return findings


def _prepare(
    path: str | None, mounts: Mounts, entries: Sequence[Entry]
) -> Iterator[Item | Prepared]:
    """Read the configuration, and find where its roots lie without touching them."""
    name = main_file(path)
    yield Step(f"reading {name}")
    guard = MountGuard(Disk())
    mount = mounts.holding(guard.real(str(Path(name).absolute())))
    if mount.is_share:
        text = f"{name} is on a share ({mount.fstype}): the agent cannot start while that hangs"
        yield warning(CONFIGURATION, text, "keep it on the local disk")
    try:
        loaded = config.load(path)
    except config.ConfigErrors as wrong:
        for line in wrong.errors:
            yield problem(CONFIGURATION, line, "fix it; appagent check-config lists all errors")
        return
    for line in loaded.warnings:
        yield warning(CONFIGURATION, line, "appagent check-config")
    yield ok(CONFIGURATION, ", ".join(loaded.files))
    mounted = _mounted_before(loaded.settings.state_dir, mounts)
    root_mounts = []
    for root in loaded.settings.roots:
        real = guard.real(root.path)
        mount, entry = mounts.holding(real), covering(entries, real)
        root_mounts.append(roots.RootMount(root, real, mount, root.path in mounted, entry))
    yield Prepared(loaded, tuple(root_mounts))


def _mounted_before(state_dir: str, mounts: Mounts) -> frozenset[str]:
    """The roots that this node remembers as mounted; none where that is not readable."""
    if mounts.holding(state_dir).is_share:
        return frozenset()
    try:
        content = Path(state_dir, "node.json").read_bytes()
        return codec.parse("node", NodeState, content).mounted
    except (OSError, codec.Damaged, codec.Newer):
        return frozenset()


def _service() -> Iterator[Item | Service]:
    """The service manager, and the unit of the agent."""
    if not machine.is_systemd():
        yield from machine.without_systemd()
        return
    yield Step("asking systemctl for its version")
    yield from machine.judge_systemd(ask("systemctl", "--version", deadline=2.0).stdout)
    yield Step("asking systemctl about appagent.service")
    wanted = f"--property={','.join(unit.SHOWN)}"
    show = ask("systemctl", "show", "appagent.service", wanted, deadline=2.0)
    cat = ask("systemctl", "cat", "--no-pager", "appagent.service", deadline=2.0)
    if show.returncode or cat.returncode == NO_ANSWER:  # cat also fails for a unit that is missing
        why = (show.stderr if show.returncode else cat.stderr).strip()
        text = f"systemctl does not answer about appagent.service: {why}"
        yield warning(SERVICE, text, "systemctl status appagent")
    else:
        yield Service(unit.properties(show.stdout), cat.stdout)


def _of_configuration(
    prepared: Prepared, mounts: Mounts, entries: Sequence[Entry]
) -> Iterator[Check]:
    """What the configuration names."""
    loaded, root_mounts = prepared
    settings, systemd = loaded.settings, machine.is_systemd()
    yield Check(users.USERS, partial(users.check, settings, loaded.positions), 6.0)
    yield Check(JOURNAL, partial(machine.journal, settings.log_format))
    for key, path in (("state_dir", settings.state_dir), ("runtime_dir", settings.runtime_dir)):
        function = partial(state_dirs.check, key, path, mounts)
        yield Check(key, function, on_hang=Level.PROBLEM, do=f"set {key} to another disk")
    for root_mount in root_mounts:
        check_root = partial(roots.check, settings, root_mount)
        yield Check(root_mount.about, check_root, on_hang=Level.PROBLEM, do=_REMOUNT)
    for mount in {root_mount.mount.point: root_mount.mount for root_mount in root_mounts}.values():
        if mount.is_share:
            check_share = partial(shares.check, mount, mounts.text, entries, systemd=systemd)
            yield Check(shares.about(mount), check_share, 6.0, on_hang=Level.PROBLEM, do=_REMOUNT)


def _of_env_files(roots: Iterable[RootSettings], found: Sequence[apps.App]) -> Iterator[Check]:
    """The env files of the apps that were found."""
    for root in roots:
        names = [app.name for app in found if app.root == root.path]
        if root.env_files and names:
            about, do = f"env files of {root.path}", "check that the disk they lie on answers"
            function = partial(apps.check_env_files, root, names)
            yield Check(about, function, 3.0, 8.0, on_hang=Level.PROBLEM, do=do)


def ambiguous(found: Iterable[apps.App]) -> Iterator[Finding]:
    """Names are unique over all roots of a node; only one of two apps is deployed."""
    where = defaultdict(list)
    for app in found:
        where[app.name].append(app.root)
    for name, parents in where.items():
        if len(parents) > 1:
            text = f"is in {' and in '.join(parents)}; names are unique on a node"
            do = "rename one of them, or leave it out (exclude)"
            yield problem(f"app {name}", text, do)
