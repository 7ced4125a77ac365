"""A root with apps on the local disk, and runs in them: what the tests of running share."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar, Unpack

from appagent.core.state import Node
from appagent.host import boot, clock
from appagent.model.applied import Identity, Later, Run
from appagent.model.events import Ended, StepFound
from appagent.model.settings import RootSettings, Settings
from appagent.model.words import Layout, Target, Version
from appagent.run.launch import Paths, spec_for
from appagent.run.spawn import Spawner

if TYPE_CHECKING:
    from appagent.shim.spec import Spec

T = TypeVar("T")

ROOT = os.geteuid() == 0
ME = pwd.getpwuid(os.geteuid()).pw_name
WITHIN = 60.0  # only ends a test that has failed
SECRET = b"s" * 32


@dataclass(frozen=True)
class Given:
    """What the configuration and the share give for a run."""

    run_as: str = ME
    trusted_owners: tuple[str, ...] = ()
    release_dirs: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    seen: bool = True
    fstype: str = ""
    limits: dict[str, str] = field(default_factory=dict)
    patience: dict[str, float] = field(default_factory=lambda: {"names": 10.0, "share": 30.0})

    def spec(self, run: Run, paths: Paths) -> Spec:
        """The message for the shim."""
        root = RootSettings(
            path=run.root,
            run_as=self.run_as,
            trusted_owners=self.trusted_owners,
            release_dirs=self.release_dirs,
            env_files=self.env_files,
        )
        node = Node(Settings(environment="test", node="app1", roots=(root,)), boot.boot())
        spec = spec_for(run, node, paths, SECRET)
        return {**spec, "seen": self.seen, "fstype": self.fstype, "patience": self.patience}


class RunFields(TypedDict, total=False):
    id: str
    app: str
    version: Version
    previous: str
    layout: Layout
    release_dir: str
    reason: str
    timeout: float
    grace: float
    identity: Identity | None
    cancelled: str
    then: tuple[Later, ...]


def later(*targets: str, timeout: float = WITHIN) -> tuple[Later, ...]:
    """The steps that a run goes on with."""
    return tuple(Later(Target(target), timeout) for target in targets)


class World:
    """One root, one state directory, and as many apps as a test likes."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "root"
        self.state = base / "state"
        self.runtime = base / "run"
        self.root.mkdir()
        self.state.mkdir()
        self.count = 0
        self.sessions: list[int] = []
        self.scopes = False
        self.journal = False
        self.overdue = 60.0
        self.given = Given()

    def app(self, makefile: str, name: str = "web") -> Path:
        """Make an app that is a tree. Its commands may begin at the left, as a shell's."""
        path = self.root / name
        path.mkdir(exist_ok=True)
        (path / "Makefile").write_text(makefile)
        return path

    def release(self, name: str, makefile: str, app: str = "web") -> Path:
        """Make a release in the symlink layout and put `current` on it."""
        path = self.root / app / "releases" / name
        path.mkdir(parents=True)
        (path / "Makefile").write_text(makefile)
        fresh = self.root / app / "current.new"
        fresh.symlink_to(f"releases/{name}")
        fresh.rename(self.root / app / "current")
        return path

    def plan(self, target: str, **fields: Unpack[RunFields]) -> Run:
        """A run as the core would decide it."""
        self.count += 1
        app = fields.get("app", "web")
        return Run(
            id=fields.get("id", f"run-{self.count}"),
            app=app,
            root=str(self.root),
            target=Target(target),
            version=fields.get("version", Version("tree.1:aa:0123456789abcdef", "")),
            previous=fields.get("previous", ""),
            layout=fields.get("layout", Layout.TREE),
            release_dir=fields.get("release_dir", str(self.root / app)),
            reason=fields.get("reason", "new release"),
            deploy="",
            timeout=fields.get("timeout", WITHIN),
            grace=fields.get("grace", 5.0),
            began=clock.now(),
            identity=fields.get("identity"),
            cancelled=fields.get("cancelled", ""),
            then=fields.get("then", ()),
        )

    def run(self, target: str, given: Given | None = None, **fields: Unpack[RunFields]) -> Ended:
        """Run one target from begin to end."""
        run = self.plan(target, **fields)

        async def play() -> Ended:
            async with self.agent() as agent:
                return await agent.whole(run, given or self.given)

        return asyncio.run(play())

    def play(self, scene: Callable[[Runs], Awaitable[T]]) -> T:
        """Run a scene with one agent."""

        async def play() -> T:
            async with self.agent() as agent:
                return await scene(agent)

        return asyncio.run(play())

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[Runs]:
        agent = Runs(self)
        try:
            yield agent
        finally:
            agent.spawner.release()

    def log(self, app: str = "web") -> str:
        """All that the runs of an app have printed."""
        path = self.state / "log" / f"{app}.log"
        return path.read_text() if path.exists() else ""

    def ran(self) -> bool:
        """Whether a target has left the file `done` in any app."""
        return any(self.root.rglob("done"))

    def results(self) -> list[str]:
        """Ids of the runs that have left a result."""
        return sorted(path.stem for path in (self.state / "runs").glob("*.json"))


class Runs:
    """One agent's spawner, and the ends that it has reported."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ends: asyncio.Queue[Ended] = asyncio.Queue()
        self.found: list[StepFound] = []
        self.paths = Paths(str(world.state), str(world.runtime))
        self.spawner = Spawner(
            self.paths,
            self.ends.put_nowait,
            on_step=self.found.append,
            boot=boot.boot(),
            journal=world.journal,
            scopes=world.scopes,
            overdue=world.overdue,
        )

    async def begin(self, run: Run, given: Given | None = None) -> Identity:
        given = given or self.world.given
        identity = await self.spawner.begin(run, given.spec(run, self.paths), given.limits)
        self.world.sessions.append(identity.pid)
        return Identity(identity.pid, identity.started, identity.unit, boot.boot())

    async def ended(self) -> Ended:
        return await asyncio.wait_for(self.ends.get(), WITHIN)

    async def whole(self, run: Run, given: Given | None = None) -> Ended:
        await self.begin(run, given)
        self.spawner.proceed(run.id)
        return await self.ended()


async def becomes(condition: Callable[[], object]) -> None:
    """Wait for a condition while the loop turns."""
    async with asyncio.timeout(WITHIN):
        while not condition():  # noqa: ASYNC110 - what is waited for is outside of the loop
            await asyncio.sleep(0.01)


@contextmanager
def world() -> Iterator[World]:
    """A world that every user can reach (a test's tmp_path is its owner's alone)."""
    base = Path(tempfile.mkdtemp(prefix="appagent-"))
    base.chmod(0o755)
    umask = os.umask(0o022)
    made = World(base)
    try:
        yield made
    finally:
        os.umask(umask)
        for pid in [pid for session in made.sessions for pid in members(session)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(base, ignore_errors=True)


def alive(pid: int) -> bool:
    """Whether a process is there and not only waits to be noticed."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


def members(session: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(int(path.parent.name))
    return found
