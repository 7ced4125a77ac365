"""Requests to a real watcher: results, errors, deadlines, and its end meanwhile."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from appagent.share.protocol import Recheck
from appagent.share.requests import MOST_CONTENT, MOST_WAITING, Operation, RequestRefused
from appagent.share.watchlist import Watchlist
from tests.share_disk import WRITES, Fault, Faults
from tests.share_watcher import SymlinkApp, Watching, root_of, watcher_on

LONG = 30.0  # s: more than any answer takes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    (path / ".appagent").mkdir(parents=True)
    return path


def played(root: Path, faults_in: Path, play: Callable[[Watching], Awaitable[None]]) -> None:
    """Let something happen to a watcher that has polled its root."""

    async def run() -> None:
        async with watcher_on(root_of(root, "poll"), faults_in=faults_in) as seen:
            await seen.until(lambda: seen.roots)
            await play(seen)

    asyncio.run(run())


def test_what_leases_and_rosters_need_is_done_on_the_share(root: Path, tmp_path: Path) -> None:
    async def play(seen: Watching) -> None:
        async def do(name: str, path: str, to: str = "", content: bytes = b"") -> bytes:
            operation = Operation(name, str(root), path, to, content)
            return (await seen.watcher.request(operation, LONG)).content

        content = bytes(range(256)) * (MOST_CONTENT // 256)
        await do("mkdir", "leases")
        await do("write", "leases/new", content=content)
        await do("sync_dir", "leases")
        await do("link", "leases/new", "leases/1")
        await do("rename", "leases/new", "leases/2")
        await do("symlink", "bell", "7\udcff")
        assert await do("read", "leases/2") == content
        assert await do("readlink", "bell") == b"7\xff"
        names = await seen.watcher.request(Operation("names", str(root), "leases"), LONG)
        assert names.names == {"1": "f", "2": "f"}
        fleet = root / ".appagent"
        assert (fleet / "leases/1").stat().st_ino == (fleet / "leases/2").stat().st_ino
        for path in ("leases/1", "leases/2", "bell"):
            await do("unlink", path)
        await do("rmdir", "leases")
        assert list(fleet.iterdir()) == []

    played(root, tmp_path, play)


def test_an_error_of_the_share_travels_with_its_errno_and_path(root: Path, tmp_path: Path) -> None:
    async def play(seen: Watching) -> None:
        with pytest.raises(FileNotFoundError) as missing:
            await seen.watcher.request(Operation("read", str(root), "none"), LONG)
        assert missing.value.filename == f"{root}/.appagent/none"
        await seen.watcher.request(Operation("mkdir", str(root), "a"), LONG)
        with pytest.raises(FileExistsError):  # so two nodes can compete for a name
            await seen.watcher.request(Operation("mkdir", str(root), "a"), LONG)
        for call in WRITES:
            seen.faults(Faults([Fault(call, f"{root}/.appagent/*", errno.ENOSPC)]))
            with pytest.raises(OSError, match="No space left") as full:
                await seen.watcher.request(Operation(call, str(root), "b", "c"), LONG)
            assert (full.value.errno, full.value.filename) == (
                errno.ENOSPC,
                f"{root}/.appagent/b",
            )

    played(root, tmp_path, play)


def test_a_request_that_hangs_stops_no_poll_and_is_not_waited_for(
    root: Path, tmp_path: Path
) -> None:
    app = SymlinkApp(root / "web")
    app.deploy("one")

    async def play(seen: Watching) -> None:
        await seen.until_release("web", "one")
        seen.faults(Faults([Fault("mkdir", hang=True)]))
        with pytest.raises(TimeoutError):
            await seen.watcher.request(Operation("mkdir", str(root), "a"), 0.2)
        late = seen.watcher.request(Operation("mkdir", str(root), "b"), 0.2)
        with pytest.raises(TimeoutError):
            await late
        app.deploy("two")
        await seen.until_release("web", "two")
        seen.faults(Faults())
        await seen.watcher.request(Operation("mkdir", str(root), "c"), LONG)
        # What had begun is done in the end; what had not, never is.
        assert {path.name for path in (root / ".appagent").iterdir()} == {"a", "c"}

    played(root, tmp_path, play)


def test_what_waits_for_a_watcher_that_is_killed_fails_and_the_next_one_serves(
    root: Path, tmp_path: Path
) -> None:
    async def play(seen: Watching) -> None:
        first = seen.watcher.pid
        assert first is not None
        seen.faults(Faults([Fault("mkdir", hang=True)]))
        waiting = [
            seen.watcher.request(Operation("mkdir", str(root), str(number)), LONG)
            for number in range(3)
        ]
        await asyncio.sleep(0.1)
        os.kill(first, signal.SIGKILL)
        for one in waiting:
            with pytest.raises(ConnectionError, match="has ended"):
                await one
        with pytest.raises(ConnectionError):
            seen.watcher.request(Operation("mkdir", str(root), "x"), LONG)
        seen.faults(Faults())
        await seen.until(lambda: seen.watcher.pid not in (None, first))
        await seen.watcher.request(Operation("mkdir", str(root), "y"), LONG)
        assert [path.name for path in (root / ".appagent").iterdir()] == ["y"]

    played(root, tmp_path, play)


@pytest.mark.parametrize(
    "operation",
    [
        Operation("fly", "ROOT", "a"),
        Operation("read", "ROOT", "../web/current"),
        Operation("rename", "ROOT", "a", "../b"),
        Operation("link", "ROOT", "a", "/etc/b"),
        Operation("unlink", "ROOT", "a//b"),
        Operation("write", "ROOT", "a\0b"),
        Operation("write", "ROOT", "a", content=b"x" * (MOST_CONTENT + 1)),
        Operation("mkdir", "/somewhere/else", "a"),
    ],
    ids=lambda operation: f"{operation.name} {operation.path[:20]} {operation.to}",
)
def test_an_operation_that_is_not_allowed_is_refused(
    root: Path, tmp_path: Path, operation: Operation
) -> None:
    async def play(seen: Watching) -> None:
        here = str(root) if operation.root == "ROOT" else operation.root
        asked = Operation(operation.name, here, operation.path, operation.to, operation.content)
        with pytest.raises(RequestRefused):
            await seen.watcher.request(asked, LONG)
        assert not seen.watcher.stuck

    played(root, tmp_path, play)


def test_nothing_is_written_where_the_share_is_not_mounted(root: Path, tmp_path: Path) -> None:
    async def play(seen: Watching) -> None:
        seen.watcher.watch(Watchlist((root_of(root, "poll", must_mount=True),), (), b"s"))
        await seen.until(lambda: not seen.roots[str(root)].known)
        with pytest.raises(ConnectionError, match="is not mounted"):
            await seen.watcher.request(Operation("mkdir", str(root), "a"), LONG)
        seen.faults(Faults(mounts=[(1, str(root), "nfs4")]))
        await seen.watcher.request(Operation("mkdir", str(root), "a"), LONG)

    played(root, tmp_path, play)


def test_a_link_of_a_pusher_leads_nowhere(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / ".appagent" / "leases").symlink_to(outside)

    async def play(seen: Watching) -> None:
        for name in ("write", "mkdir", "symlink"):
            with pytest.raises(OSError) as refused:  # noqa: PT011 - its errno is judged
                await seen.watcher.request(Operation(name, str(root), "leases/a", "x"), LONG)
            assert refused.value.errno in (errno.ELOOP, errno.ENOTDIR)
        assert list(outside.iterdir()) == []

    played(root, tmp_path, play)


def test_more_requests_than_may_wait_are_refused_at_once(root: Path, tmp_path: Path) -> None:
    async def play(seen: Watching) -> None:
        seen.faults(Faults([Fault("mkdir", hang=True)]))
        waiting = [
            seen.watcher.request(Operation("mkdir", str(root), str(number)), LONG)
            for number in range(MOST_WAITING)
        ]
        with pytest.raises(ConnectionError, match="too many"):
            seen.watcher.request(Operation("mkdir", str(root), "more"), LONG)
        seen.faults(Faults())
        await asyncio.gather(*waiting)  # each has its own answer
        assert len(list((root / ".appagent").iterdir())) == MOST_WAITING

    played(root, tmp_path, play)


def test_a_recheck_is_answered_even_while_a_request_hangs(root: Path, tmp_path: Path) -> None:
    SymlinkApp(root / "web").deploy("one")

    async def play(seen: Watching) -> None:
        await seen.until_release("web", "one")
        seen.faults(Faults([Fault("mkdir", hang=True)]))
        hanging = seen.watcher.request(Operation("mkdir", str(root), "a"), LONG)
        looked = seen.apps["web"].at
        await seen.watcher.recheck(Recheck(0, apps=((str(root), "web"),)), LONG)
        await seen.until(lambda: seen.apps["web"].at > looked)
        assert not hanging.done()
        seen.faults(Faults())
        await hanging

    played(root, tmp_path, play)
