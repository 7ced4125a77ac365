"""A real watcher in a process of its own, and the daemon's side of it, on real directories."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.share_watcher import LAYOUTS, SymlinkApp, TreeApp, move, put, root_of, watcher_on

Play = Callable[[], Coroutine[Any, Any, None]]
pytestmark = pytest.mark.parametrize("watch", ["poll", "inotify"])


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
        async with watcher_on(root_of(root, watch)) as seen:
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
        async with watcher_on(spec) as seen:
            await seen.until(lambda: seen.release("web"))
            for text in ("two", "three", "one"):
                app.deploy(text)
                await seen.until_release("web", f"releases/{text}:")
            assert seen.apps["web"].how in (watch, "requested")

    asyncio.run(play())


def test_a_tree_that_changes_all_the_time_is_looked_at_and_settles_at_the_end(
    root: Path, watch: str
) -> None:
    async def play() -> None:
        TreeApp(root / "web").deploy("one")
        async with watcher_on(root_of(root, watch)) as seen:
            await seen.until(lambda: seen.settled("web"))
            before = len(seen.looks)
            for number in range(60):
                put(root / "web" / "busy", str(number))
                await asyncio.sleep(0.05)
            looks = seen.looks[before:]
            # Seen at once and again and again (it neither waits for the end of the changes, nor
            # looks for each of them), but never as one that stood.
            assert 3 < len(looks) < 40
            assert not [look for look in looks if look.at - look.since >= 0.5]
            assert any("busy" in look.changing for look in looks)
            await seen.until(lambda: seen.settled("web"))

    asyncio.run(play())


def test_new_directories_in_a_tree_are_watched_too(root: Path, watch: str) -> None:
    async def play() -> None:
        TreeApp(root / "web").deploy("one")
        async with watcher_on(root_of(root, watch)) as seen:
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
        async with watcher_on(root_of(root, watch)) as seen:
            await seen.until(lambda: seen.release("web"))
            release = seen.release("web")
            move(root, root.parent / "aside")
            await seen.until(lambda: not seen.roots[str(root)].known)
            assert "No such file" in seen.roots[str(root)].why
            move(root.parent / "aside", root)
            await seen.until(lambda: seen.roots[str(root)].known)
            assert seen.release("web") == release
            app.deploy("two")
            await seen.until(lambda: "two" in seen.release("web"))

    asyncio.run(play())


def test_env_files_are_told(root: Path, watch: str, tmp_path: Path) -> None:
    async def play() -> None:
        env = put(tmp_path / "env", "A=1\n")
        missing = str(tmp_path / "missing")
        async with watcher_on(root_of(root, watch), env=(str(env), missing)) as seen:
            await seen.until(lambda: len(seen.envs) == 2)
            assert seen.envs[missing].state == "missing"
            first = seen.envs[str(env)].digest
            env.write_text("# a comment\nA=1\n")
            await asyncio.sleep(0)
            env.write_text("A=2\n")
            await seen.until(lambda: seen.envs[str(env)].digest != first)

    asyncio.run(play())
