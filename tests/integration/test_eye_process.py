"""An eye that hangs, stops, dies or babbles; and the daemon's side of it, which never waits."""

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

from appagent.model import EyeBack, EyeStuck
from appagent.share.watchlist import Watchlist
from tests.share_disk import Faults
from tests.share_eye import LAYOUTS, SymlinkApp, Watching, exists, eye_on, put, root_of

POLL = "poll"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.mark.parametrize(("call", "layout"), [("names", "symlink"), ("entries", "tree")])
def test_a_call_that_never_returns_is_noticed_and_another_eye_goes_on(
    root: Path, tmp_path: Path, call: str, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appagent.share.process._SCANNING", 2.0)
    monkeypatch.setattr("appagent.share.process._SILENT", 2.0)

    async def play() -> None:
        app = LAYOUTS[layout](root / "web")
        app.deploy("one")
        local = tmp_path / "local"
        other = SymlinkApp(local / "other")
        other.deploy("one")
        share_eye = eye_on(root_of(root, POLL), faults_in=tmp_path)
        async with share_eye as seen, eye_on(root_of(local, POLL)) as well:
            await seen.until(lambda: seen.settled("web") and well.release("other"))
            release = seen.release("web")
            seen.faults(Faults((call,), str(root), hang=True))
            seen.eye.look(str(root))
            await seen.until(lambda: seen.heard(EyeStuck))
            assert f"({call}) {root}" in seen.eye.stuck
            assert seen.eye.stuck_since < time.monotonic()
            other.deploy("two")
            await well.until(lambda: "two" in well.release("other"))
            assert not well.heard(EyeStuck)

            seen.faults(Faults(errno=0))
            await seen.until(lambda: not seen.eye.stuck)
            assert seen.heard(EyeBack)
            assert seen.release("web") == release
            app.deploy("two")
            await seen.until(lambda: seen.settled("web") not in ("", release))

    asyncio.run(play())


def test_an_eye_that_hangs_ends_with_its_socket(root: Path, tmp_path: Path) -> None:
    async def play() -> None:
        SymlinkApp(root / "web").deploy("one")
        seen = Watching(tmp_path)
        seen.eye.watch(Watchlist((root_of(root, POLL),), (), b"s"))
        await seen.until(lambda: seen.release("web"))
        seen.faults(Faults(("names",), str(root), hang=True))
        seen.eye.look(str(root))
        await seen.until(lambda: seen.eye.beat is not None and "(names)" in seen.eye.beat.busy)
        await seen.eye.close()
        assert seen.eye.gone

    asyncio.run(play())


def test_an_eye_that_is_stopped_is_stuck_and_comes_back(root: Path) -> None:
    async def play() -> None:
        app = SymlinkApp(root / "web")
        app.deploy("one")
        async with eye_on(root_of(root, POLL), env=("/nowhere/env",)) as seen:
            await seen.until(lambda: seen.release("web"))
            pid = seen.eye.pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            await seen.until(lambda: seen.heard(EyeStuck))
            stuck = seen.heard(EyeStuck)[0]
            assert isinstance(stuck, EyeStuck)
            assert stuck.paths == (str(root), "/nowhere/env")
            assert "does not answer" in stuck.why
            # Nothing that is asked of it now waits for it, or is lost.
            for _ in range(10_000):
                seen.eye.look(str(root))
            seen.eye.watch(Watchlist((root_of(root, POLL, interval=0.02),), (), b"s"))
            app.deploy("two")
            backs = len(seen.heard(EyeBack))
            os.kill(pid, signal.SIGCONT)
            await seen.until(lambda: len(seen.heard(EyeBack)) > backs)
            await seen.until(lambda: "two" in seen.release("web"))
            assert seen.eye.pid == pid
            app.deploy("three")
            await seen.until(lambda: "three" in seen.release("web"))

    asyncio.run(play())


def test_a_stopped_eye_is_not_waited_for_at_the_end(root: Path) -> None:
    async def play() -> None:
        SymlinkApp(root / "web").deploy("one")
        async with eye_on(root_of(root, POLL)) as seen:
            await seen.until(lambda: seen.release("web"))
            assert seen.eye.pid is not None
            os.kill(seen.eye.pid, signal.SIGSTOP)

    asyncio.run(play())


def test_an_eye_that_is_killed_is_started_again(root: Path) -> None:
    async def play() -> None:
        app = SymlinkApp(root / "web")
        app.deploy("one")
        async with eye_on(root_of(root, POLL)) as seen:
            await seen.until(lambda: seen.release("web"))
            pid = seen.eye.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await seen.until(lambda: seen.heard(EyeStuck))
            app.deploy("two")
            await seen.until(lambda: "two" in seen.release("web"))
            await seen.until(lambda: not seen.eye.stuck)
            assert seen.eye.pid not in (pid, None)
            assert "ended (by signal 9)" in seen.logs[0]

    asyncio.run(play())


def test_one_that_is_stuck_for_long_is_killed_and_only_then_replaced(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appagent.share.process._SILENT", 1.5)
    monkeypatch.setattr("appagent.share.process._KILL", 3.0)

    async def play() -> None:
        SymlinkApp(root / "web").deploy("one")
        async with eye_on(root_of(root, POLL), faults_in=tmp_path) as seen:
            await seen.until(lambda: seen.release("web"))
            first = seen.eye.pid
            seen.faults(Faults(("names",), str(root), hang=True))
            seen.eye.look(str(root))
            await seen.until(lambda: seen.eye.stuck)
            pids = set()
            while seen.eye.pid == first:
                pids.add(seen.eye.pid)
                await asyncio.sleep(0.05)
            assert pids == {first}
            assert not exists(first)
            seen.faults(Faults(errno=0))
            await seen.until(lambda: seen.eye.pid not in (None, first) and not seen.eye.stuck)
            assert seen.release("web")

    asyncio.run(play())


def test_an_eye_that_cannot_start_is_stuck_and_tried_again(root: Path, tmp_path: Path) -> None:
    async def play() -> None:
        SymlinkApp(root / "web").deploy("one")
        script = tmp_path / "eye"
        seen = Watching(command=[str(script)])
        seen.eye.watch(Watchlist((root_of(root, POLL),), (), b"s"))
        await seen.until(lambda: seen.heard(EyeStuck))
        assert "cannot be started" in seen.eye.stuck
        python = sys.executable
        put(script, f"#!/bin/sh\nexec {python} -P -m appagent.share.watcher\n")
        script.chmod(0o755)
        await seen.until(lambda: seen.release("web") and not seen.eye.stuck)
        await seen.eye.close()

    asyncio.run(play())


def test_what_an_eye_should_not_say_is_said_and_no_harm(root: Path, tmp_path: Path) -> None:
    async def play() -> None:
        script = put(
            tmp_path / "eye",
            f"#!{sys.executable}\n"
            "import os\n"
            "bad = (b'junk', b'{}', b'{\"app\": {\"bad\": 1}}', b'{\"beat\": {}}', b'\\xff')\n"
            "for line in bad:\n"
            "    os.write(0, line + b'\\n')\n"
            'os.write(0, b\'{"log": {"level": "info", "text": "done"}}\\n\')\n'
            "os.read(0, 1)\n"
            "while os.read(0, 65536): pass\n",
        )
        script.chmod(0o755)
        seen = Watching(command=[str(script)])
        seen.eye.watch(Watchlist((root_of(root, POLL),), (), b"s"))
        await seen.until(lambda: "info: done" in seen.logs)
        assert len(seen.logs) == 6, seen.logs
        with pytest.raises(TimeoutError):
            await seen.eye.ask("lease", 0.05)
        await seen.eye.close()

    asyncio.run(play())


def test_a_verb_that_an_eye_does_not_know_is_answered_so(root: Path) -> None:
    async def play() -> None:
        async with eye_on(root_of(root, POLL)) as seen:
            await seen.until(lambda: seen.eye.beat)
            answer = await seen.eye.ask("fly", 20.0)
            assert "no verb 'fly'" in answer["error"]

    asyncio.run(play())


def test_a_share_with_errors_is_unknown_and_heals_in_the_same_process(
    root: Path, tmp_path: Path
) -> None:
    async def play() -> None:
        for name, kind in LAYOUTS.items():
            kind(root / name).deploy("one")
        async with eye_on(root_of(root, POLL), faults_in=tmp_path) as seen:
            await seen.until(lambda: all(seen.settled(name) for name in LAYOUTS))
            before = {name: seen.release(name) for name in LAYOUTS}
            seen.faults(Faults((), str(root), errno.ENOTCONN))
            seen.eye.look(str(root))
            await seen.until(lambda: not seen.roots[str(root)].known)
            shutil.move(root / "tree", tmp_path / "aside")
            seen.faults(Faults((), str(root), errno.EIO))
            await seen.until(lambda: "Input/output" in seen.roots[str(root)].why)
            shutil.move(tmp_path / "aside", root / "tree")
            seen.faults(Faults(errno=0))
            await seen.until(lambda: seen.roots[str(root)].known)
            await seen.until(lambda: {name: seen.release(name) for name in LAYOUTS} == before)
            assert {look.release for look in seen.looks if look.known} == set(before.values())
            assert not seen.heard(EyeStuck)

    asyncio.run(play())
