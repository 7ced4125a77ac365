"""Who a run is: the user that `run_as` names, wholly and for good, with what its env files say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appagent.model.words import Outcome
from tests import running
from tests.running import ME, Given, World

HERE = Path(__file__).resolve().parents[2]

needs_root = pytest.mark.skipif(not running.ROOT, reason="needs root to give files away")


@pytest.fixture
def world() -> Iterator[World]:
    with running.world() as made:
        yield made


WHO = "install:\n\t@id -u; id -g; id -G; umask; echo $$HOME $$USER $$LOGNAME $$SHELL $$PATH\n"


@needs_root
@pytest.mark.parametrize("name", ["www-data", "daemon", "root"])
def test_a_run_has_the_user_its_groups_and_its_home(world: World, name: str) -> None:
    world.app(WHO)
    ended = world.run("install", replace(world.given, run_as=name))
    assert ended.outcome is Outcome.OK
    uid, gid, groups, umask, rest = world.log().splitlines()

    def ask(*which: str) -> str:
        return subprocess.check_output(["id", *which, name], text=True).strip()

    assert (uid, gid) == (ask("-u"), ask("-g"))
    assert sorted(groups.split()) == sorted(ask("-G").split())
    assert umask == "0022"
    home, user, logname, shell, path = rest.split()
    assert home == os.path.expanduser(f"~{name}")  # noqa: PTH111 - the user's, as the shell says it
    assert (user, logname) == (name, name)
    assert shell in {"/bin/sh", "/bin/bash"}
    assert path == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@needs_root
def test_rights_are_dropped_for_good(world: World) -> None:
    world.app("install:\n\t@grep -E '^(Uid|Gid|Groups|CapEff|CapPrm):' /proc/self/status\n")
    ended = world.run("install", replace(world.given, run_as="daemon"))
    assert ended.outcome is Outcome.OK
    status = dict(line.split(":", 1) for line in world.log().splitlines())
    assert status["Uid"].split() == status["Gid"].split() == ["1"] * 4
    assert status["Groups"].split() == ["1"]
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0


KEYRING = """
import ctypes, sys
libc = ctypes.CDLL(None)
if libc.syscall(250, 1, 0) < 0 or libc.syscall(248, b"user", b"of-root", b"secret", 6, -3) < 0:
    sys.exit("no keys")
from dataclasses import replace
from tests import running
with running.world() as world:
    world.app("install:\\n\\t@echo keys:; cat /proc/keys\\n")
    print(world.run("install", replace(world.given, run_as="daemon")).outcome, world.log())
"""


@needs_root
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="calls by number, in the test too")
def test_a_run_has_nothing_of_the_keys_of_who_started_the_agent() -> None:
    done = subprocess.run(
        [sys.executable, "-c", KEYRING], cwd=HERE, capture_output=True, text=True, check=False
    )
    if "no keys" in done.stderr:
        pytest.skip("this kernel has no keys")
    assert done.stdout.startswith("ok keys:\n"), done.stderr
    assert "of-root" not in done.stdout


def owned(world: World, uid: int, mode: int = 0o755) -> Given:
    app = world.app(WHO)
    app.chmod(mode)
    os.chown(app, uid, 0)
    return replace(world.given, run_as="owner")


@needs_root
def test_run_as_owner_is_the_owner_of_the_apps_directory(world: World) -> None:
    ended = world.run("install", owned(world, 33))
    assert ended.outcome is Outcome.OK
    assert world.log().startswith("33\n33\n")


@needs_root
@pytest.mark.parametrize(
    ("uid", "mode", "says"),
    [
        (0, 0o755, "belongs to root"),
        (33, 0o777, "others than www-data may write"),
        (33, 0o775, "others than www-data may write"),
        (54321, 0o755, "uid 54321, is not known"),
    ],
)
def test_run_as_owner_is_refused_where_others_could_choose_the_user(
    world: World, uid: int, mode: int, says: str
) -> None:
    ended = world.run("install", owned(world, uid, mode))
    assert ended.outcome is Outcome.REFUSED
    assert says in ended.line


@needs_root
def test_the_stop_of_what_is_gone_runs_as_the_owner_that_it_had(world: World) -> None:
    given = owned(world, 33)
    app = world.app(WHO + "stop:\n\t@id -u\n")
    assert world.run("install", given).outcome is Outcome.OK
    app.rename(world.base / "away")
    assert world.run("stop", given).outcome is Outcome.OK
    assert world.log().endswith("\n33\n")
    (world.state / "apps" / "web" / "Makefile.kept").unlink()
    assert "its owner is not known" in world.run("stop", given).line


@needs_root
def test_a_user_needs_no_way_into_the_agents_state(world: World) -> None:
    world.state.chmod(0o700)
    world.runtime.mkdir(0o700)
    given = replace(world.given, run_as="daemon")
    app = world.app("install:\n\t@id -u >/dev/stdout\nstop:\n\t@pwd; cat Makefile | head -1\n")
    assert world.run("install", given).outcome is Outcome.OK
    app.rename(world.base / "away")
    ended = world.run("stop", given, id="last")
    assert (ended.outcome, ended.line) == (Outcome.OK, "")
    assert world.log() == f"1\n{world.runtime}/stops/last\ninstall:\n"


@needs_root
def test_a_root_agent_runs_nothing_as_root_unasked(world: World) -> None:
    world.app(WHO)
    ended = world.run("install", replace(world.given, run_as="self"))
    assert ended.outcome is Outcome.REFUSED
    assert "run_as must name a user" in ended.line


@needs_root
def test_a_user_that_is_not_known_is_refused(world: World) -> None:
    world.app(WHO)
    ended = world.run("install", replace(world.given, run_as="no-such-user"))
    assert ended.outcome is Outcome.REFUSED
    assert "no-such-user" in ended.line


@pytest.mark.skipif(running.ROOT, reason="needs an ordinary user")
@pytest.mark.parametrize("run_as", ["self", "owner", "root", "no-such-user"])
def test_an_agent_that_is_not_root_runs_everything_as_itself(world: World, run_as: str) -> None:
    world.app("install:\n\t@id -un\n")
    assert world.run("install", replace(world.given, run_as=run_as)).outcome is Outcome.OK
    assert world.log() == f"{ME}\n"


@needs_root
def test_what_an_env_file_sets_takes_effect_only_behind_the_change_of_user(world: World) -> None:
    """A library and a `make` of the env file's own both note who loads or runs them."""
    marks = world.base / "marks"
    marks.mkdir()
    marks.chmod(0o777)
    source = world.base / "spy.c"
    source.write_text(
        "#include <stdio.h>\n#include <unistd.h>\n"
        "__attribute__((constructor)) static void note(void) {\n"
        f'  char path[200]; snprintf(path, 200, "{marks}/lib-%d-%d", getuid(), geteuid());\n'
        '  FILE *f = fopen(path, "w"); if (f) fclose(f); }\n'
    )
    library = world.base / "spy.so"
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    except FileNotFoundError:
        pytest.skip("needs a C compiler")
    tools = world.base / "tools"
    tools.mkdir()
    (tools / "make").write_text(f"#!/bin/sh\ntouch {marks}/make-$(id -u)\n")
    (tools / "make").chmod(0o755)
    env = world.base / "web.env"
    env.write_text(f"LD_PRELOAD={library}\nPATH={tools}:/usr/bin:/bin\n")
    world.app("install:\n\t@id -u\n")
    given = replace(world.given, run_as="daemon", env_files=(str(env),))
    assert world.run("install", given).outcome is Outcome.OK
    assert world.log() == "1\n"
    assert {path.name for path in marks.iterdir()} == {"lib-1-1"}
