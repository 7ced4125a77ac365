"""A watcher that hangs, stops, dies or babbles; and the daemon's side of it, which never waits."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from appagent.model.events import WatcherBack, WatcherStuck
from appagent.share.process import Timing
from appagent.share.requests import Operation
from appagent.share.watchlist import Watchlist
from tests.share_disk import Faults
from tests.share_watcher import LAYOUTS, SymlinkApp, Watching, exists, put, root_of, watcher_on

POLL = "poll"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.mark.parametrize(("call", "layout"), [("names", "symlink"), ("entries", "tree")])
def test_a_call_that_never_returns_is_noticed_and_another_watcher_goes_on(
    root: Path, tmp_path: Path, call: str, layout: str
) -> None:
    timing = Timing(silent=2.0, scanning=2.0)

    async def play() -> None:
        app = LAYOUTS[layout](root / "web")
        app.deploy("one")
        local = tmp_path / "local"
        other = SymlinkApp(local / "other")
        other.deploy("one")
        share_watcher = watcher_on(root_of(root, POLL), faults_in=tmp_path, timing=timing)
        async with share_watcher as seen, watcher_on(root_of(local, POLL)) as well:
            await seen.until(lambda: seen.settled("web") and well.release("other"))
            release = seen.release("web")
            seen.faults(Faults.at((call,), str(root), hang=True))
            seen.watcher.poll_now(str(root))
            await seen.until(lambda: seen.reported(WatcherStuck))
            assert f"({call}) {root}" in seen.watcher.stuck
            assert seen.watcher.stuck_since < time.monotonic()
            other.deploy("two")
            await well.until(lambda: "two" in well.release("other"))
            assert not well.reported(WatcherStuck)

            seen.faults(Faults())
            await seen.until(lambda: not seen.watcher.stuck)
            assert seen.reported(WatcherBack)
            assert seen.release("web") == release
            app.deploy("two")
            await seen.until(lambda: seen.settled("web") not in ("", release))

    asyncio.run(play())


def test_a_watcher_that_hangs_ends_with_its_socket(root: Path, tmp_path: Path) -> None:
    async def play() -> None:
        SymlinkApp(root / "web").deploy("one")
        seen = Watching(tmp_path)
        seen.watcher.watch(Watchlist((root_of(root, POLL),), (), b"s"))
        await seen.until(lambda: seen.release("web"))
        seen.faults(Faults.at(("names",), str(root), hang=True))
        seen.watcher.poll_now(str(root))
        await seen.until(
            lambda: seen.watcher.beat is not None and "(names)" in seen.watcher.beat.busy
        )
        await seen.watcher.close()
        assert seen.watcher.ended

    asyncio.run(play())


def test_a_watcher_that_is_stopped_is_stuck_and_comes_back(root: Path) -> None:
    async def play() -> None:
        app = SymlinkApp(root / "web")
        app.deploy("one")
        async with watcher_on(root_of(root, POLL), env=("/nowhere/env",)) as seen:
            await seen.until(lambda: seen.release("web"))
            pid = seen.watcher.pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            await seen.until(lambda: seen.reported(WatcherStuck))
            stuck = seen.reported(WatcherStuck)[0]
            assert isinstance(stuck, WatcherStuck)
            assert stuck.paths == (str(root), "/nowhere/env")
            assert "does not answer" in stuck.why
            # Nothing that is asked of it now waits for it, or is lost.
            for _ in range(10_000):
                seen.watcher.poll_now(str(root))
            seen.watcher.watch(Watchlist((root_of(root, POLL, interval=0.02),), (), b"s"))
            app.deploy("two")
            backs = len(seen.reported(WatcherBack))
            os.kill(pid, signal.SIGCONT)
            await seen.until(lambda: len(seen.reported(WatcherBack)) > backs)
            await seen.until(lambda: "two" in seen.release("web"))
            assert seen.watcher.pid == pid
            app.deploy("three")
            await seen.until(lambda: "three" in seen.release("web"))

    asyncio.run(play())


def test_a_stopped_watcher_is_not_waited_for_at_the_end(root: Path) -> None:
    async def play() -> None:
        SymlinkApp(root / "web").deploy("one")
        async with watcher_on(root_of(root, POLL)) as seen:
            await seen.until(lambda: seen.release("web"))
            assert seen.watcher.pid is not None
            os.kill(seen.watcher.pid, signal.SIGSTOP)

    asyncio.run(play())


def test_a_watcher_that_is_killed_is_started_again(root: Path) -> None:
    async def play() -> None:
        app = SymlinkApp(root / "web")
        app.deploy("one")
        async with watcher_on(root_of(root, POLL)) as seen:
            await seen.until(lambda: seen.release("web"))
            pid = seen.watcher.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await seen.until(lambda: seen.reported(WatcherStuck))
            app.deploy("two")
            await seen.until(lambda: "two" in seen.release("web"))
            await seen.until(lambda: not seen.watcher.stuck)
            assert seen.watcher.pid not in (pid, None)
            assert "ended (by signal 9)" in seen.logs[0]

    asyncio.run(play())


def test_one_that_is_stuck_for_long_is_killed_and_only_then_replaced(
    root: Path, tmp_path: Path
) -> None:
    timing = Timing(silent=1.5, kill=3.0)

    async def play() -> None:
        SymlinkApp(root / "web").deploy("one")
        async with watcher_on(root_of(root, POLL), faults_in=tmp_path, timing=timing) as seen:
            await seen.until(lambda: seen.release("web"))
            first = seen.watcher.pid
            seen.faults(Faults.at(("names",), str(root), hang=True))
            seen.watcher.poll_now(str(root))
            await seen.until(lambda: seen.watcher.stuck)
            pids = set()
            while seen.watcher.pid == first:
                pids.add(seen.watcher.pid)
                await asyncio.sleep(0.05)
            assert pids == {first}
            assert not exists(first)
            seen.faults(Faults())
            await seen.until(
                lambda: seen.watcher.pid not in (None, first) and not seen.watcher.stuck
            )
            assert seen.release("web")

    asyncio.run(play())


def test_a_watcher_that_cannot_start_is_stuck_and_tried_again(root: Path, tmp_path: Path) -> None:
    async def play() -> None:
        SymlinkApp(root / "web").deploy("one")
        script = tmp_path / "watcher"
        seen = Watching(command=[str(script)])
        seen.watcher.watch(Watchlist((root_of(root, POLL),), (), b"s"))
        await seen.until(lambda: seen.reported(WatcherStuck))
        assert "cannot be started" in seen.watcher.stuck
        python = sys.executable
        put(script, f"#!/bin/sh\nexec {python} -P -m appagent.share.watcher\n")
        script.chmod(0o755)
        await seen.until(lambda: seen.release("web") and not seen.watcher.stuck)
        await seen.watcher.close()

    asyncio.run(play())


def test_what_a_watcher_should_not_say_is_said_and_no_harm(root: Path, tmp_path: Path) -> None:
    async def play() -> None:
        script = put(
            tmp_path / "watcher",
            f"#!{sys.executable}\n"
            "import os\n"
            "bad = (b'junk', b'{}', b'{\"AppSeen\": {\"bad\": 1}}', b'{\"Beat\": {}}', b'\\xff')\n"
            "for line in bad:\n"
            "    os.write(0, line + b'\\n')\n"
            'os.write(0, b\'{"LogLine": {"level": "info", "text": "done"}}\\n\')\n'
            "os.read(0, 1)\n"
            "while os.read(0, 65536): pass\n",
        )
        script.chmod(0o755)
        seen = Watching(command=[str(script)])
        seen.watcher.watch(Watchlist((root_of(root, POLL),), (), b"s"))
        await seen.until(lambda: "info: done" in seen.logs)
        assert len(seen.logs) == 6, seen.logs
        with pytest.raises(TimeoutError):
            await seen.watcher.request(Operation("read", str(root), "x"), 0.05)
        await seen.watcher.close()

    asyncio.run(play())


def test_a_share_with_errors_is_unknown_and_heals_in_the_same_process(
    root: Path, tmp_path: Path
) -> None:
    async def play() -> None:
        for name, kind in LAYOUTS.items():
            kind(root / name).deploy("one")
        async with watcher_on(root_of(root, POLL), faults_in=tmp_path) as seen:
            await seen.until(lambda: all(seen.settled(name) for name in LAYOUTS))
            before = {name: seen.release(name) for name in LAYOUTS}
            seen.faults(Faults.at((), str(root), errno.ENOTCONN))
            seen.watcher.poll_now(str(root))
            await seen.until(lambda: not seen.roots[str(root)].known)
            shutil.move(root / "tree", tmp_path / "aside")
            seen.faults(Faults.at((), str(root), errno.EIO))
            await seen.until(lambda: "Input/output" in seen.roots[str(root)].why)
            shutil.move(tmp_path / "aside", root / "tree")
            seen.faults(Faults())
            await seen.until(lambda: seen.roots[str(root)].known)
            await seen.until(lambda: {name: seen.release(name) for name in LAYOUTS} == before)
            assert {look.release for look in seen.looks if look.known} == set(before.values())
            assert not seen.reported(WatcherStuck)

    asyncio.run(play())
