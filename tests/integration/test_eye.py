"""A real eye in a process of its own, and the daemon's side of it, on real directories."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from appagent.model import EyeBack, EyeStuck
from appagent.share.client import Eye
from appagent.share.watchlist import RootSpec, Watchlist
from tests.share_disk import Faults
from tests.share_eye import LAYOUTS, SymlinkApp, TreeApp, Watching, put, root_of

Play = Callable[[], Coroutine[Any, Any, None]]
pytestmark = pytest.mark.parametrize("watch", ["poll", "inotify"])


@asynccontextmanager
async def eye_on(
    *roots: RootSpec, env: tuple[str, ...] = (), faults_in: Path | None = None
) -> AsyncIterator[Watching]:
    seen = Watching(faults_in)
    seen.eye.watch(Watchlist(roots, env, b"secret"))
    try:
        yield seen
    finally:
        pid = seen.eye.pid
        await seen.eye.close()
        if pid is not None:
            await seen.until(lambda: not Path(f"/proc/{pid}").exists() or seen.eye.gone)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_an_app_appears_changes_is_reverted_renamed_and_gone(
    root: Path, watch: str, layout: str
) -> None:
    async def play() -> None:
        other = TreeApp(root / "other")
        other.deploy("one")
        async with eye_on(root_of(root, watch)) as seen:
            await seen.until(lambda: seen.settled("other"))
            others = seen.release("other")

            app = LAYOUTS[layout](root / "web")
            app.deploy("one")
            await seen.until(lambda: seen.settled("web"))
            assert seen.names(root) == ("other", "web")
            one = seen.release("web")

            app.deploy("two")
            await seen.until(lambda: seen.settled("web") not in ("", one))
            two = seen.release("web")

            app.deploy("one")
            await seen.until(lambda: seen.settled("web") not in ("", two))
            # A link and a commit come back as what they were. The files of a tree are new ones
            # with older times: another release, and no less a change.
            assert layout == "tree" or seen.release("web") == one

            (root / "web").rename(root / "site")
            await seen.until(lambda: seen.names(root) == ("other", "site"))
            await seen.until(lambda: seen.settled("site"))

            shutil.rmtree(root / "site")
            await seen.until(lambda: seen.names(root) == ("other",))

            assert seen.release("other") == others
            looks = [look for look in seen.looks if look.app == "other"]
            assert {look.release for look in looks} == {others}
            assert all(look.known for look in looks)
            assert not seen.logs

    asyncio.run(play())


def test_a_swapped_link_is_heard_of_within_a_second(root: Path, watch: str) -> None:
    # Not a timed assertion: everything else that could bring it is minutes away.
    async def play() -> None:
        app = SymlinkApp(root / "web")
        app.deploy("one")
        spec = root_of(root, watch, scan_interval=600.0, interval=0.25)
        async with eye_on(spec) as seen:
            await seen.until(lambda: seen.release("web"))
            for text in ("two", "three", "one"):
                app.deploy(text)
                await seen.until(lambda text=text: f"releases/{text}:" in seen.release("web"))
            assert seen.apps["web"].how in (watch, "asked")

    asyncio.run(play())


def test_a_tree_that_changes_all_the_time_is_looked_at_and_settles_at_the_end(
    root: Path, watch: str
) -> None:
    async def play() -> None:
        TreeApp(root / "web").deploy("one")
        async with eye_on(root_of(root, watch)) as seen:
            await seen.until(lambda: seen.settled("web"))
            before = len(seen.looks)
            for number in range(60):
                put(root / "web" / "busy", str(number))
                await asyncio.sleep(0.05)
            looks = seen.looks[before:]
            # Seen at once and again and again (it neither waits for the end of the changes, nor
            # looks for each of them), but never as one that stood.
            assert 3 < len(looks) < 40
            assert not [look for look in looks if look.looked - look.since >= 0.5]
            assert any("busy" in look.changing for look in looks)
            await seen.until(lambda: seen.settled("web"))

    asyncio.run(play())


def test_new_directories_in_a_tree_are_watched_too(root: Path, watch: str) -> None:
    async def play() -> None:
        TreeApp(root / "web").deploy("one")
        async with eye_on(root_of(root, watch)) as seen:
            await seen.until(lambda: seen.settled("web"))
            known = {seen.release("web")}
            for path in ("a/b/c", "a/b/d/e", "a/b/d/f"):
                put(root / "web" / path)
                await seen.until(lambda: seen.settled("web") not in {"", *known})
                known.add(seen.release("web"))
            (root / "web" / "a").rename(root / "aside")
            put(root / "web" / "a" / "b" / "c")
            await seen.until(lambda: seen.settled("web") not in {"", *known})
            known.add(seen.release("web"))
            put(root / "web" / "a" / "b" / "c", "changed")
            await seen.until(lambda: seen.settled("web") not in {"", *known})

    asyncio.run(play())


def test_a_root_that_vanishes_is_unknown_and_watched_again_when_it_is_back(
    root: Path, watch: str
) -> None:
    async def play() -> None:
        app = SymlinkApp(root / "web")
        app.deploy("one")
        async with eye_on(root_of(root, watch)) as seen:
            await seen.until(lambda: seen.release("web"))
            release = seen.release("web")
            root.rename(root.parent / "aside")
            await seen.until(lambda: not seen.roots[str(root)].known)
            assert "No such file" in seen.roots[str(root)].why
            (root.parent / "aside").rename(root)
            await seen.until(lambda: seen.roots[str(root)].known)
            assert seen.release("web") == release
            app.deploy("two")
            await seen.until(lambda: "two" in seen.release("web"))

    asyncio.run(play())


def test_env_files_are_told(root: Path, watch: str, tmp_path: Path) -> None:
    async def play() -> None:
        env = put(tmp_path / "env", "A=1\n")
        missing = str(tmp_path / "missing")
        async with eye_on(root_of(root, watch), env=(str(env), missing)) as seen:
            await seen.until(lambda: len(seen.envs) == 2)
            assert seen.envs[missing].state == "missing"
            first = seen.envs[str(env)].digest
            env.write_text("# a comment\nA=1\n")
            await asyncio.sleep(0)
            env.write_text("A=2\n")
            await seen.until(lambda: seen.envs[str(env)].digest != first)

    asyncio.run(play())


# --- an eye that hangs, stops, or dies -----------------------------------------------------------


@pytest.mark.parametrize(("call", "layout"), [("names", "symlink"), ("entries", "tree")])
def test_a_call_that_never_returns_is_noticed_and_another_eye_goes_on(
    root: Path, watch: str, tmp_path: Path, call: str, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appagent.share.client._SCANNING", 2.0)
    monkeypatch.setattr("appagent.share.client._SILENT", 2.0)

    async def play() -> None:
        app = LAYOUTS[layout](root / "web")
        app.deploy("one")
        local = tmp_path / "local"
        other = SymlinkApp(local / "other")
        other.deploy("one")
        share_eye = eye_on(root_of(root, watch), faults_in=tmp_path)
        async with share_eye as seen, eye_on(root_of(local, watch)) as well:
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


def test_an_eye_that_hangs_ends_with_its_socket(root: Path, watch: str, tmp_path: Path) -> None:
    async def play() -> None:
        SymlinkApp(root / "web").deploy("one")
        seen = Watching(tmp_path)
        seen.eye.watch(Watchlist((root_of(root, watch),), (), b"s"))
        await seen.until(lambda: seen.release("web"))
        seen.faults(Faults(("names",), str(root), hang=True))
        seen.eye.look(str(root))
        await seen.until(lambda: seen.eye.beat is not None and "(names)" in seen.eye.beat.busy)
        await seen.eye.close()
        assert seen.eye.gone

    asyncio.run(play())


def test_an_eye_that_is_stopped_is_stuck_and_comes_back(root: Path, watch: str) -> None:
    async def play() -> None:
        app = SymlinkApp(root / "web")
        app.deploy("one")
        async with eye_on(root_of(root, watch), env=("/nowhere/env",)) as seen:
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
            seen.eye.watch(Watchlist((root_of(root, watch, interval=0.02),), (), b"s"))
            app.deploy("two")
            backs = len(seen.heard(EyeBack))
            os.kill(pid, signal.SIGCONT)
            await seen.until(lambda: len(seen.heard(EyeBack)) > backs)
            await seen.until(lambda: "two" in seen.release("web"))
            assert seen.eye.pid == pid
            app.deploy("three")
            await seen.until(lambda: "three" in seen.release("web"))

    asyncio.run(play())


def test_a_stopped_eye_is_not_waited_for_at_the_end(root: Path, watch: str) -> None:
    async def play() -> None:
        SymlinkApp(root / "web").deploy("one")
        async with eye_on(root_of(root, watch)) as seen:
            await seen.until(lambda: seen.release("web"))
            assert seen.eye.pid is not None
            os.kill(seen.eye.pid, signal.SIGSTOP)

    asyncio.run(play())


def test_an_eye_that_is_killed_is_started_again(root: Path, watch: str) -> None:
    async def play() -> None:
        app = SymlinkApp(root / "web")
        app.deploy("one")
        async with eye_on(root_of(root, watch)) as seen:
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
    root: Path, watch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appagent.share.client._SILENT", 1.5)
    monkeypatch.setattr("appagent.share.client._KILL", 3.0)

    async def play() -> None:
        SymlinkApp(root / "web").deploy("one")
        async with eye_on(root_of(root, watch), faults_in=tmp_path) as seen:
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
            assert not Path(f"/proc/{first}").exists()
            seen.faults(Faults(errno=0))
            await seen.until(lambda: seen.eye.pid not in (None, first) and not seen.eye.stuck)
            assert seen.release("web")

    asyncio.run(play())


def test_an_eye_that_cannot_start_is_stuck_and_tried_again(
    root: Path, watch: str, tmp_path: Path
) -> None:
    async def play() -> None:
        SymlinkApp(root / "web").deploy("one")
        script = tmp_path / "eye"
        seen = Watching()
        seen.eye = Eye("it", seen.hear, lambda level, text: seen.logs.append(text), [str(script)])
        seen.eye.watch(Watchlist((root_of(root, watch),), (), b"s"))
        await seen.until(lambda: seen.heard(EyeStuck))
        assert "cannot be started" in seen.eye.stuck
        python = sys.executable
        put(script, f"#!/bin/sh\nexec {python} -P -m appagent.share.eye\n")
        script.chmod(0o755)
        await seen.until(lambda: seen.release("web") and not seen.eye.stuck)
        await seen.eye.close()

    asyncio.run(play())


def test_what_an_eye_should_not_say_is_said_and_no_harm(
    root: Path, watch: str, tmp_path: Path
) -> None:
    async def play() -> None:
        script = put(
            tmp_path / "eye",
            f"#!{sys.executable}\n"
            "import os\n"
            "for line in (b'junk', b'{}', b'{\"app\": {\"bad\": 1}}', b'{\"beat\": {}}', b'\\xff'):\n"
            "    os.write(0, line + b'\\n')\n"
            'os.write(0, b\'{"log": {"level": "info", "text": "done"}}\\n\')\n'
            "os.read(0, 1)\n"
            "while os.read(0, 65536): pass\n",
        )
        script.chmod(0o755)
        seen = Watching()
        seen.eye = Eye("it", seen.hear, lambda level, text: seen.logs.append(text), [str(script)])
        seen.eye.watch(Watchlist((root_of(root, watch),), (), b"s"))
        await seen.until(lambda: "done" in seen.logs)
        assert len(seen.logs) == 6
        with pytest.raises(TimeoutError):
            await seen.eye.ask("lease", 0.05)
        await seen.eye.close()

    asyncio.run(play())


def test_a_verb_that_an_eye_does_not_know_is_answered_so(root: Path, watch: str) -> None:
    async def play() -> None:
        async with eye_on(root_of(root, watch)) as seen:
            await seen.until(lambda: seen.eye.beat)
            answer = await seen.eye.ask("fly", 20.0)
            assert "no verb 'fly'" in answer["error"]

    asyncio.run(play())


def test_a_share_with_errors_is_unknown_and_heals_in_the_same_process(
    root: Path, watch: str, tmp_path: Path
) -> None:
    async def play() -> None:
        for name, kind in LAYOUTS.items():
            kind(root / name).deploy("one")
        async with eye_on(root_of(root, watch), faults_in=tmp_path) as seen:
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
            assert {name: seen.release(name) for name in LAYOUTS} == before
            assert not seen.heard(EyeStuck)

    asyncio.run(play())
