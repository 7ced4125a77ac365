"""What a shim finds changed since it was looked at."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appagent.core import envfile, ids
from appagent.model.events import Ended
from appagent.model.words import Layout, Outcome, Version
from appagent.run import launch
from tests import running
from tests.running import ME, SECRET, Runs, World, becomes


@pytest.fixture
def world() -> Iterator[World]:
    with running.world() as made:
        yield made


# --- the release ---------------------------------------------------------------------------------


def test_a_release_that_is_gone_has_moved(world: World) -> None:
    world.app("install:\n\ttouch done\n")
    ended = world.run("install", release_dir=f"{world.root}/web/releases/7")
    assert ended.outcome is Outcome.MOVED
    assert "no longer exists" in ended.line


def test_a_release_without_a_makefile_has_moved(world: World) -> None:
    app = world.app("")
    (app / "Makefile").unlink()
    ended = world.run("install")
    assert ended.outcome is Outcome.MOVED
    assert "no Makefile" in ended.line


def test_a_release_that_is_not_the_current_one_any_more_has_moved(world: World) -> None:
    old = world.release("1", "install:\n\ttouch done\n")
    new = world.release("2", "install:\n\ttouch done\n")
    moved = world.run("install", layout=Layout.SYMLINK, release_dir=str(old))
    assert moved.outcome is Outcome.MOVED
    assert moved.line == f"web is at {new} now, not at {old}"
    assert not world.ran()
    assert world.run("install", layout=Layout.SYMLINK, release_dir=str(new)).outcome is Outcome.OK


def test_going_back_to_an_earlier_release_does_not_ask_where_current_leads(world: World) -> None:
    old = world.release("1", "restart:\n\ttouch done\n")
    world.release("2", "restart:\n\tfalse\n")
    given = replace(world.given, seen=False)
    ended = world.run("restart", given, layout=Layout.SYMLINK, release_dir=str(old))
    assert ended.outcome is Outcome.OK
    assert (old / "done").exists()


def test_an_app_that_is_itself_a_link_is_followed_by_hand(world: World) -> None:
    release = world.root / ".releases" / "5"
    release.mkdir(parents=True)
    (release / "Makefile").write_text("install:\n\ttouch done\n")
    (world.root / "web").symlink_to(".releases/5")
    ended = world.run("install", layout=Layout.SYMLINK, release_dir=str(release))
    assert ended.outcome is Outcome.OK
    (world.root / "web").unlink()
    (world.root / "web").symlink_to(".releases/6")
    ended = world.run("install", layout=Layout.SYMLINK, release_dir=str(release))
    assert ended.outcome is Outcome.MOVED


@pytest.mark.parametrize(
    "text",
    [
        "{root}/web/releases/1",
        "./releases//1/",
        "../web/releases/1",
        "../../root/web/releases/1",
        "../../root/./web/current2",
    ],
)
def test_links_of_any_kind_inside_the_root_are_followed(world: World, text: str) -> None:
    release = world.release("1", "install:\n\ttouch done\n")
    (world.root / "web" / "current2").symlink_to("releases/1")
    (world.root / "web" / "current").unlink()
    (world.root / "web" / "current").symlink_to(text.format(root=world.root))
    ended = world.run("install", layout=Layout.SYMLINK, release_dir=str(release))
    assert (ended.outcome, ended.line) == (Outcome.OK, "")


def test_a_root_that_is_reached_over_a_link_is_the_administrators_affair(world: World) -> None:
    release = world.release("1", "install:\n\ttouch done\n")
    (world.base / "files").symlink_to("root")
    (world.root / "web" / "current").unlink()
    (world.root / "web" / "current").symlink_to(release)  # as the real path has it
    run = world.plan("install", layout=Layout.SYMLINK)
    run = replace(run, root=f"{world.base}/files", release_dir=f"{world.base}/files/web/releases/1")
    assert world.play(lambda agent: agent.whole(run)).outcome is Outcome.OK
    run = replace(run, id="2", release_dir=str(release))
    assert world.play(lambda agent: agent.whole(run)).outcome is Outcome.OK


def test_releases_may_lie_in_release_dirs(world: World) -> None:
    release = world.base / "releases" / "web" / "1"
    release.mkdir(parents=True)
    (release / "Makefile").write_text("install:\n\ttouch done\n")
    (world.root / "web").mkdir()
    (world.root / "web" / "current").symlink_to(release)
    ended = world.run("install", layout=Layout.SYMLINK, release_dir=str(release))
    assert ended.outcome is Outcome.REFUSED
    assert "release_dirs" in ended.line
    given = replace(world.given, release_dirs=(f"{world.base}/releases",))
    ended = world.run("install", given, layout=Layout.SYMLINK, release_dir=str(release))
    assert ended.outcome is Outcome.OK


def test_a_root_that_is_away_has_moved_and_nothing_runs(world: World) -> None:
    world.app("install stop:\n\ttouch done\n")
    world.run("install")
    world.root.rename(world.base / "elsewhere")
    for target in ("install", "stop"):
        ended = world.run(target)
        assert ended.outcome is Outcome.MOVED, ended
        assert str(world.root) in ended.line


def test_a_root_on_another_filesystem_has_moved(world: World) -> None:
    world.app("install stop:\n\ttouch done\n")
    given = replace(world.given, fstype="fuse.glusterfs")
    for target in ("install", "stop"):
        ended = world.run(target, given)
        assert ended.outcome is Outcome.MOVED
        assert "is the share mounted?" in ended.line
    assert not world.ran()


def test_the_filesystem_that_is_expected_is_recognised(world: World) -> None:
    kind = ""
    deepest = -1
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point, tail = line.split()[4], line.split(" - ")[1]
        inside = str(world.root).startswith(point.rstrip("/") + "/")
        if inside and len(point) >= deepest:
            deepest, kind = len(point), tail.split()[0]
    world.app("install:\n\ttouch done\n")
    assert world.run("install", replace(world.given, fstype=kind)).outcome is Outcome.OK


def test_a_swap_between_look_and_use_does_not_matter(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = world.app("install:\n\ttouch done\n")
    evil = world.base / "evil"
    evil.mkdir()
    (evil / "Makefile").write_text("install:\n\ttouch evil\n")
    monkeypatch.setenv(launch.FAILPOINTS, f"child.read=pause:{world.base}")

    async def scene(agent: Runs) -> Ended:
        run = world.plan("install")
        await agent.begin(run)
        agent.spawner.proceed(run.id)
        await becomes((world.base / "child.read.here").exists)
        app.rename(world.base / "moved-away")
        app.symlink_to(evil)
        (world.base / "child.read.go").touch()
        return await agent.ended()

    assert world.play(scene).outcome is Outcome.OK
    assert (world.base / "moved-away" / "done").exists()
    assert not (evil / "evil").exists()


# --- a name service or a share that hangs ---------------------------------------------------------


@pytest.mark.parametrize(("place", "what"), [("names", "the name service"), ("share", "the share")])
def test_what_does_not_answer_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch, place: str, what: str
) -> None:
    world.app("install:\n\ttouch done\n")
    monkeypatch.setenv(launch.FAILPOINTS, f"child.{place}=hang")
    ended = world.run("install", replace(world.given, patience={"names": 0.3, "share": 0.3}))
    assert ended.outcome is Outcome.MOVED
    assert ended.line == f"nothing ran: {what} did not answer for 300ms"
    assert not world.ran()


def test_a_run_that_hangs_on_the_share_can_be_cancelled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.app("install:\n\ttouch done\n")
    monkeypatch.setenv(launch.FAILPOINTS, "child.share=hang")

    async def scene(agent: Runs) -> Ended:
        run = world.plan("install")
        await agent.begin(run)
        agent.spawner.proceed(run.id)
        await asyncio.sleep(0)
        agent.spawner.end(run.id, "asked")
        return await agent.ended()

    assert world.play(scene).outcome is Outcome.CANCELLED
    assert not world.ran()


# --- env files -----------------------------------------------------------------------------------

SHOW = "install stop:\n\t@echo [$$A] [$$B] [$$PATH]\n"


def env(world: World, name: str, text: str) -> str:
    path = world.base / name
    path.write_text(text)
    path.chmod(0o644)
    return str(path)


def conf(*texts: str | None) -> str:
    digests = [
        ids.NO_FILE if text is None else envfile.digest(SECRET, envfile.parse(text, "f"))
        for text in texts
    ]
    return ids.conf_id(ME, digests)


def test_env_files_are_read_in_order_and_the_later_one_wins(world: World) -> None:
    world.app(SHOW)
    first, second = "A=1\nB='x y'\n", "A=2\n# c\n"
    given = replace(
        world.given, env_files=(env(world, "one", first), "-" + env(world, "two", second))
    )
    version = Version("tree.1:a:b", conf(first, second))
    ended = world.run("install", given, version=version)
    assert (ended.outcome, ended.line) == (Outcome.OK, "")
    assert world.log().startswith("[2] [x y] [")


def test_env_files_that_have_changed_since_the_look_are_looked_at_anew(world: World) -> None:
    world.app(SHOW)
    given = replace(world.given, env_files=(env(world, "one", "A=2\n"),))
    ended = world.run("install", given, version=Version("tree.1:a:b", conf("A=1\n")))
    assert ended.outcome is Outcome.MOVED
    assert "changed since" in ended.line


def test_a_changed_comment_is_no_change(world: World) -> None:
    world.app(SHOW)
    given = replace(world.given, env_files=(env(world, "one", "# new\nA='1'\n"),))
    ended = world.run("install", given, version=Version("tree.1:a:b", conf("A=1\n")))
    assert ended.outcome is Outcome.OK


def test_a_missing_env_file_blocks_unless_it_may_be_missing(world: World) -> None:
    world.app(SHOW)
    missing = f"{world.base}/nowhere/app.env"
    given = replace(world.given, env_files=(missing,))
    ended = world.run("install", given)
    assert (ended.outcome, ended.line) == (Outcome.MOVED, f"env file {missing} does not exist")
    given = replace(world.given, env_files=(f"-{missing}",))
    version = Version("tree.1:a:b", conf(None))
    assert world.run("install", given, version=version).outcome is Outcome.OK


def test_a_broken_env_file_is_refused_with_its_line_and_never_its_value(world: World) -> None:
    world.app(SHOW)
    path = env(world, "one", "A=1\nhunter2 is secret\n")
    ended = world.run("install", replace(world.given, env_files=(path,)))
    assert ended.outcome is Outcome.REFUSED
    assert ended.line.startswith(f"{path}:2: ")
    assert "hunter2" not in str(ended)
    assert not world.ran()


def test_a_stop_goes_on_without_its_env_files(world: World) -> None:
    world.app(SHOW)
    path = env(world, "one", "A=1\nbroken\n")
    given = replace(world.given, env_files=(path, f"{world.base}/missing"))
    ended = world.run("stop", given, version=Version("tree.1:a:b", "env.1:0000000000000000"))
    assert ended.outcome is Outcome.OK
    assert len(ended.warnings) == 2
    assert world.log().startswith("[] [] [")


def test_what_an_env_file_must_not_set_is_left_out_with_a_warning(world: World) -> None:
    app = world.app("install:\n\t@env >seen\n")
    names = ("APP_NAME", "MAKEFLAGS", "NOTIFY_SOCKET", "LISTEN_FDS", "APP_KEY", "HOME", "APP_NAME")
    path = env(world, "one", "".join(f"{name}=n\n" for name in names))
    ended = world.run("install", replace(world.given, env_files=(path,)))
    assert ended.outcome is Outcome.OK
    assert ended.warnings == (f"{path}: ignored {', '.join(names[:4])} (reserved names)",)
    seen = (app / "seen").read_text().splitlines()
    assert {"APP_NAME=web", "APP_KEY=n", "HOME=n"} <= set(seen)


def test_the_warnings_of_a_run_are_few_whatever_its_env_files_hold(world: World) -> None:
    world.app("install:\n\ttrue\n")
    many = "".join(f"LISTEN_{number}=\n" for number in range(50_000))
    files = [env(world, str(number), f"APP_NODE=n\n{many}") for number in range(2)]
    few = [env(world, f"few-{number}", "LISTEN_FDS=1\n") for number in range(30)]
    ended = world.run("install", replace(world.given, env_files=(*files, *few)))
    assert ended.outcome is Outcome.OK
    assert len(ended.warnings) == 20
    names = "APP_NODE, LISTEN_0, LISTEN_1, LISTEN_2, LISTEN_3"
    assert ended.warnings[0] == f"{files[0]}: ignored {names} and 49996 more (reserved names)"
    assert ended.warnings[2] == f"{few[0]}: ignored LISTEN_FDS (reserved names)"


def of_process(pid: int, what: str) -> bytes:
    """What /proc says of a process; nothing of one that is over."""
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_values_never_appear_in_arguments_or_results(world: World) -> None:
    app = world.app("install:\n\t@touch begun; until [ -e go ]; do sleep .05; done; exit 1\n")
    path = env(world, "one", "A=hunter2\n")

    async def scene(agent: Runs) -> None:
        run = world.plan("install")
        identity = await agent.begin(run, replace(world.given, env_files=(path,)))
        agent.spawner.proceed(run.id)
        await becomes((app / "begun").exists)
        for pid in running.members(identity.pid):
            assert b"hunter2" not in of_process(pid, "cmdline")
        shim = of_process(identity.pid, "environ")
        assert b"PATH=" in shim
        assert b"hunter2" not in shim
        (app / "go").touch()
        ended = await agent.ended()
        assert "hunter2" not in str(ended)

    world.play(scene)
    kept = [path for path in world.state.rglob("*") if path.is_file()]
    assert kept
    assert all(b"hunter2" not in path.read_bytes() for path in kept)


def test_env_files_may_be_readable_by_root_alone(world: World) -> None:
    if not running.ROOT:
        pytest.skip("needs root")
    world.app(SHOW)
    path = env(world, "one", "A=1\n")
    os.chmod(path, 0o600)  # noqa: PTH101
    given = replace(world.given, run_as="daemon", env_files=(path,))
    assert world.run("install", given).outcome is Outcome.OK
    assert world.log().startswith("[1]")
