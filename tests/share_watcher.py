"""What tests of the watcher share: apps on a disk, a watcher in this thread or in a process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from appagent.model.events import WatcherBack, WatcherStuck
from appagent.model.seen import AppSeen, EnvSeen, RootSeen
from appagent.share.poller import Poller
from appagent.share.process import COMMAND, Report, Timing, Watcher
from appagent.share.protocol import LogLine, Message
from appagent.share.scanner import Scanner
from appagent.share.state import Limits, Work
from appagent.share.watches import Watches
from appagent.share.watchlist import AppSpec, RootSpec, Watchlist
from tests.share_disk import Faults, FaultyDisk

PATIENCE = 30.0
# Doubt for a moment only.
HASTY = Limits(confirm=0.2, whole=0.3, reread_share=0.01, reread_local=0.01)
GIT = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def put(path: Path, text: str = "") -> Path:
    """Write a file, and the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def git(at: Path, *arguments: str) -> str:
    """Run git in a work tree."""
    done = subprocess.run(
        ["git", *arguments], cwd=at, env=GIT, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(at: Path, text: str) -> str:
    """Commit something; the id of it."""
    put(at / "content", text)
    git(at, "add", ".")
    git(at, "commit", "-q", "-m", "x")
    return git(at, "rev-parse", "HEAD")


def swap(link: Path, to: str) -> None:
    """Make a symlink lead elsewhere, at once."""
    new = link.with_name(f"{link.name}.new")
    new.symlink_to(to)
    new.replace(link)


def move(this: Path, to: Path) -> None:
    """Rename something."""
    this.rename(to)


def exists(pid: int | None) -> bool:
    """Whether a process, or what is left of it, is there."""
    return Path(f"/proc/{pid}").exists()


def opened(pid: int | None) -> list[str]:
    """What a process has open."""
    return [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()]


class SymlinkApp:
    """An app whose releases lie side by side."""

    def __init__(self, at: Path) -> None:
        self.at = at

    def deploy(self, text: str) -> None:
        put(self.at / "releases" / text / "Makefile")
        swap(self.at / "current", f"releases/{text}")


class GitApp:
    """An app that is a work tree."""

    def __init__(self, at: Path) -> None:
        self.at = at

    def deploy(self, text: str) -> None:
        if not (self.at / ".git").exists():
            put(self.at / "Makefile")
            git(self.at, "init", "-q", "-b", "main")
        tag = f"v-{text}"
        if tag in git(self.at, "tag").split():
            git(self.at, "reset", "-q", "--hard", tag)
        else:
            commit(self.at, text)
            git(self.at, "tag", tag)


class TreeApp:
    """An app that is just files; a revert brings the old ones back with their old times."""

    def __init__(self, at: Path) -> None:
        self.at = at
        self.kept = at.parent.parent / f"kept-{at.name}"

    def deploy(self, text: str) -> None:
        put(self.at / "Makefile")
        put(self.at / "lib" / "other", "stays")
        kept = self.kept / text
        if not kept.exists():
            put(kept, text)
            # A time of its own, older than now, as rsync -t and tar bring it along.
            then = 1_600_000_000 + sum(text.encode())
            os.utime(kept, (then, then))
        subprocess.run(["cp", "-p", kept, self.at / "lib" / "code.new"], check=True)
        (self.at / "lib" / "code.new").replace(self.at / "lib" / "code")


LAYOUTS: dict[str, type[SymlinkApp | GitApp | TreeApp]] = {
    "symlink": SymlinkApp,
    "git": GitApp,
    "tree": TreeApp,
}
EVERY = sorted(LAYOUTS)


class Driven:
    """The two workers of a watcher, without threads: `until` turns them until something is so."""

    def __init__(
        self, root: Path, share: float = 10.0, limits: Limits = HASTY, **fields: object
    ) -> None:
        """`share` of the time goes into scanning: as often as asked, if it is not said."""
        self.faults = Faults()
        self.root = str(root)
        poller: dict[str, Any] = {"watch": "poll", "interval": 0.01, "scan_interval": 0.02}
        self.spec = RootSpec(str(root), **{**poller, **fields})
        self.apps: dict[str, AppSeen] = {}
        self.roots: dict[str, RootSeen] = {}
        self.envs: dict[str, EnvSeen] = {}
        self.logs: list[str] = []
        self.messages: list[Message] = []
        self.work = Work(limits=limits)
        watches = Watches(self.work)
        self.scanner = Scanner(self._disk(), self.work, watches, share)
        self.poller = Poller(self._disk(), self.work, watches)

    def _disk(self) -> FaultyDisk:
        return FaultyDisk(lambda: self.faults)

    def watch(self, *env: str, manifests: str = "", share: str | None = None) -> None:
        watchlist = Watchlist((self.spec,), env, b"secret", manifests, share)
        self.poller.post(lambda: self.poller.set_watchlist(watchlist))

    def poll_now(self, app: str = "") -> None:
        self.poller.post(lambda: self.poller.poll_now(self.root, app))

    def emit(self, message: Message) -> None:
        self.messages.append(message)
        match message:
            case AppSeen():
                self.apps[message.app] = message
            case RootSeen():
                self.roots[message.root] = message
            case EnvSeen():
                self.envs[message.path] = message
            case LogLine():
                self.logs.append(message.text)

    def turn(self) -> None:
        self.poller.turn(0.002, self.emit)
        self.scanner.turn(0.002, self.emit)

    def until(self, so: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not so():
            assert time.monotonic() < end, (self.apps, self.roots, self.logs)
            self.turn()

    def until_looked_again(self, times: int = 30) -> None:
        """Take some turns, a moment apart, for tests that nothing more is reported."""
        for _ in range(times):
            self.turn()
            time.sleep(0.002)  # what is due again after 10 or 20 ms has its turn among these

    def release(self, app: str) -> str:
        look = self.apps.get(app)
        return look.release if look is not None and look.known else ""

    def settled(self, app: str) -> bool:
        look = self.apps.get(app)
        return (
            look is not None
            and look.known
            and not look.incomplete
            and (look.layout == "symlink" or look.at - look.since >= self.spec.defaults.settle)
        )


class Watching:
    """A real watcher in a process of its own, and what it reports."""

    def __init__(
        self,
        faults_in: Path | None = None,
        command: Sequence[str] = COMMAND,
        timing: Timing | None = None,
    ) -> None:
        self.reports: list[Report] = []
        self.looks: list[AppSeen] = []
        self.apps: dict[str, AppSeen] = {}
        self.roots: dict[str, RootSeen] = {}
        self.envs: dict[str, EnvSeen] = {}
        self.logs: list[str] = []
        self.faults_in = faults_in
        if faults_in is not None:
            script = Path(__file__).with_name("share_disk.py")
            command = (sys.executable, "-P", str(script), str(faults_in / "faults.json"))
        self.watcher = Watcher("the test", self.on_report, command, timing)

    def on_report(self, report: Report) -> None:
        self.reports.append(report)
        match report:
            case AppSeen():
                self.looks.append(report)
                self.apps[report.app] = report
            case RootSeen():
                self.roots[report.root] = report
            case EnvSeen():
                self.envs[report.path] = report
            case LogLine(level, text):
                self.logs.append(f"{level}: {text}")

    def faults(self, faults: Faults) -> None:
        assert self.faults_in is not None
        faults.save(self.faults_in / "faults.json")

    async def until(self, so: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not so():
            assert time.monotonic() < end, (self.apps, self.roots, self.logs, self.reports[-5:])
            await asyncio.sleep(0.02)

    def release(self, app: str) -> str:
        look = self.apps.get(app)
        return look.release if look is not None and look.known else ""

    async def until_release(self, app: str, part: str) -> None:
        await self.until(lambda: part in self.release(app))

    def settled(self, app: str, settle: float = 0.5) -> str:
        """The release, once it stood."""
        look = self.apps.get(app)
        if look is None or not look.known or look.incomplete:
            return ""
        stood = look.layout == "symlink" or look.at - look.since >= settle
        return look.release if stood else ""

    def names(self, root: Path) -> tuple[str, ...]:
        look = self.roots.get(str(root))
        return look.names if look is not None and look.known else ()

    def reported(self, kind: type[WatcherStuck | WatcherBack]) -> list[Report]:
        return [report for report in self.reports if isinstance(report, kind)]


def root_of(at: Path, watch: str, **fields: object) -> RootSpec:
    """A root that is looked at often, for quick tests."""
    values: dict[str, Any] = {
        "watch": watch,
        "interval": 0.05,
        "scan_interval": 0.2,
        "defaults": AppSpec(settle=0.5),
        **fields,
    }
    return RootSpec(str(at), **values)


@asynccontextmanager
async def watcher_on(
    *roots: RootSpec,
    env: tuple[str, ...] = (),
    faults_in: Path | None = None,
    timing: Timing | None = None,
) -> AsyncIterator[Watching]:
    seen = Watching(faults_in, timing=timing)
    seen.watcher.watch(Watchlist(roots, env, b"secret"))
    try:
        yield seen
    finally:
        pid = seen.watcher.pid
        await seen.watcher.close()
        if pid is not None:
            await seen.until(lambda: not exists(pid) or seen.watcher.ended)


def driven(
    root: Path,
    settle: float = 0.1,
    share: float = 10.0,
    limits: Limits = HASTY,
    **fields: object,
) -> Driven:
    seen = Driven(root, share, limits, **{"defaults": AppSpec(settle=settle), **fields})
    seen.watch()
    return seen


def world(root: Path) -> Driven:
    """An app of each layout, seen and settled."""
    for name, kind in LAYOUTS.items():
        kind(root / name).deploy("one")
    put(root / "symlink" / "releases" / "one" / "appagent.yaml", "settle: 1s\n")
    (root / "tree" / "link").symlink_to("lib")
    seen = driven(root)
    seen.until(lambda: all(seen.settled(name) for name in EVERY))
    return seen


def releases(seen: Driven) -> dict[str, str]:
    return {name: seen.release(name) for name in EVERY}


def names(seen: Driven) -> tuple[str, ...]:
    look = seen.roots.get(seen.root)
    return look.names if look else ()


def known(seen: Driven) -> bool:
    look = seen.roots.get(seen.root)
    return look is not None and look.known
