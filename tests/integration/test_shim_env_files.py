"""Env files: read in the shim, as they were decided on, and never shown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appagent.core import envfile, ids
from appagent.model.words import Outcome, Version
from tests import running
from tests.running import ME, SECRET, Runs, World, becomes

SHOW = "install stop:\n\t@echo [$$A] [$$B] [$$PATH]\n"


@pytest.fixture
def world() -> Iterator[World]:
    with running.world() as made:
        yield made


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
