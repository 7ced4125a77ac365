"""Where runs live: in scopes (with real cgroups and a stand-in for systemd-run), or in sessions."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appagent.host import boot, units
from appagent.model.words import Outcome
from appagent.run import processes, scope
from appagent.run.launch import Paths
from appagent.shim import cgroup, kill
from tests import running
from tests.running import Runs, World, alive, becomes
from tests.waiting import until

PREFIX = f"appagenttest{os.getpid()}"  # other tests, and an agent of this machine, have theirs
# What systemd-run does, as far as it matters here: a cgroup of the given name, and exec.
SYSTEMD_RUN = """#!/bin/sh
for each; do
    case $each in
        --slice=*) slice=${each#*=} ;;
        --unit=*) unit=${each#*=} ;;
        --) break ;;
    esac
done
while [ "$1" != -- ]; do shift; done
shift
[ ! -e "%(base)s/refuse" ] || { echo "Failed to start transient scope unit: no" >&2; exit 1; }
mkdir -p "%(mount)s/%(prefix)s.slice/$slice/$unit"
echo $$ >"%(mount)s/%(prefix)s.slice/$slice/$unit/cgroup.procs"
exec "$@"
"""
SYSTEMCTL = '#!/bin/sh\necho "$*" >>"%(base)s/systemctl"\n[ ! -e "%(base)s/refuse" ]\n'

DAEMON = """start:
\t@setsid sh -c 'echo $$$$ >pid; sleep 600 & setsid sleep 600 & wait' &
\t@until [ -s pid ]; do sleep .05; done
stop:
\t@true
"""


def can_make_cgroups() -> bool:
    path = f"{cgroup.mount()}/appagent-test-{os.getpid()}"
    if not (running.ROOT and cgroup.mount()) or not cgroup.make(path):
        return False
    Path(path).rmdir()
    return True


needs_cgroups = pytest.mark.skipif(not can_make_cgroups(), reason="needs root and cgroups v2")


@pytest.fixture
def world() -> Iterator[World]:
    with running.world() as made:
        yield made


@pytest.fixture
def scoped(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose runs have scopes."""
    tools = world.base / "tools"
    tools.mkdir()
    values = {"base": world.base, "mount": cgroup.mount(), "prefix": PREFIX}
    for name, text in (("systemd-run", SYSTEMD_RUN), ("systemctl", SYSTEMCTL)):
        (tools / name).write_text(text % values)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(units, "PREFIX", PREFIX)
    world.scopes = True
    try:
        yield world
    finally:
        clear(Path(scope.slice_path("web")).parent)


def clear(path: Path) -> None:
    """Kill and remove a cgroup and all below it."""
    if not path.is_dir():
        return
    cgroup.kill(str(path))
    until(lambda: not cgroup.processes(str(path)))
    for below in sorted(path.rglob("*/"), reverse=True):
        if below.is_dir():
            below.rmdir()
    path.rmdir()


def slice_of(app: str = "web") -> set[int]:
    return cgroup.processes(scope.slice_path(app))


# --- scopes --------------------------------------------------------------------------------------


@needs_cgroups
def test_a_run_is_in_a_scope_of_its_own_in_its_apps_slice(scoped: World) -> None:
    scoped.app("install:\n\t@cat /proc/self/cgroup | grep ^0::\n")
    for number in (1, 2):
        scoped.run("install", id=f"a-{number}")
    top = f"0::/{PREFIX}.slice/{PREFIX}-web.slice/{PREFIX}-web-a\\x2d"
    assert scoped.log() == f"{top}1.scope/run\n{top}2.scope/run\n"
    assert not slice_of()


@needs_cgroups
def test_what_start_leaves_lives_on_in_the_slice_and_is_counted(scoped: World) -> None:
    app = scoped.app(DAEMON)
    scoped.app(DAEMON, "api")

    async def scene(agent: Runs) -> None:
        assert not agent.spawner.running("web")
        assert (await agent.whole(scoped.plan("start"))).outcome is Outcome.OK
        assert agent.spawner.running("web")
        assert not agent.spawner.running("api")
        assert agent.spawner.usage("web").processes == 3
        assert agent.spawner.usage("api").processes == 0

    scoped.play(scene)
    pid = int((app / "pid").read_text())
    assert alive(pid)
    assert pid in slice_of()


@needs_cgroups
def test_a_stop_ends_what_it_has_left_and_nothing_of_another_app(scoped: World) -> None:
    scoped.app(DAEMON)
    other = scoped.app(DAEMON, "api")
    assert scoped.run("start").outcome is Outcome.OK
    assert scoped.run("start", app="api").outcome is Outcome.OK
    ended = scoped.run("stop")
    assert ended.outcome is Outcome.OK
    assert "killed 3 leftover processes after stop: sh, sleep" in ended.warnings[0]
    assert not slice_of()
    assert alive(int((other / "pid").read_text()))


@needs_cgroups
def test_an_app_without_a_stop_is_ended_all_the_same(scoped: World) -> None:
    scoped.app(DAEMON.partition("stop:")[0])
    assert scoped.run("start").outcome is Outcome.OK
    assert scoped.run("stop").outcome is Outcome.MISSING
    assert not slice_of()


@needs_cgroups
def test_a_stop_while_the_machine_is_shutting_down_has_no_scope_and_ends_all_of_the_app(
    scoped: World,
) -> None:
    """Systemd starts none then: it refuses what is against the shutdown."""
    scoped.app(DAEMON)

    async def scene(agent: Runs) -> None:
        assert (await agent.whole(scoped.plan("start"))).outcome is Outcome.OK
        (scoped.base / "refuse").touch()
        agent.spawner.without_scopes()
        assert agent.spawner.running("web")
        stop = scoped.plan("stop")
        identity = await agent.begin(stop)
        assert identity.unit == ""
        agent.spawner.proceed(stop.id)
        ended = await agent.ended()
        assert ended.outcome is Outcome.OK
        assert "killed 3 leftover processes after stop: sh, sleep" in ended.warnings[0]

    scoped.play(scene)
    assert not slice_of()


@needs_cgroups
def test_what_ignores_term_is_killed_by_its_cgroup(scoped: World) -> None:
    app = scoped.app(
        "start:\n\t@trap '' TERM; setsid sh -c 'trap \"\" TERM; touch up; "
        "while :; do sleep .01 & wait; done' & until [ -e up ]; do sleep .05; done\n"
        "install:\n\t@touch up; trap '' TERM; while :; do setsid sleep 60 & sleep .01; done\n"
        "stop:\n\t@true\n"
    )
    ended = scoped.run("install", timeout=1.0, grace=0.2)
    assert (ended.outcome, "was killed" in ended.line) == (Outcome.TIMEOUT, True)
    assert not slice_of()
    (app / "up").unlink()
    assert scoped.run("start").outcome is Outcome.OK
    assert scoped.run("stop", grace=0.2).outcome is Outcome.OK
    assert not slice_of()


@needs_cgroups
def test_a_timeout_ends_this_run_and_not_what_runs_already(scoped: World) -> None:
    app = scoped.app(DAEMON + "install:\n\t@sleep 600\n")
    scoped.run("start")
    assert scoped.run("install", timeout=0.5).outcome is Outcome.TIMEOUT
    assert alive(int((app / "pid").read_text()))


@needs_cgroups
def test_what_a_killed_shim_left_is_found_by_its_scope(scoped: World) -> None:
    app = scoped.app("install:\n\t@setsid sh -c 'echo $$$$ >pid; sleep 600' & sleep 600\n")

    async def scene(agent: Runs) -> None:
        run = scoped.plan("install")
        identity = await agent.begin(run)
        assert identity.unit == units.scope_of("web", run.id)
        agent.spawner.proceed(run.id)
        await becomes(lambda: (app / "pid").exists() and (app / "pid").read_text().strip())
        os.kill(identity.pid, signal.SIGKILL)
        assert (await agent.ended()).outcome is Outcome.LOST
        assert not slice_of()

    scoped.play(scene)


@needs_cgroups
def test_a_scope_that_cannot_be_made_says_so(scoped: World) -> None:
    app = scoped.app("install:\n\ttouch done\n")
    (scoped.base / "refuse").touch()

    async def scene(agent: Runs) -> None:
        run = scoped.plan("install")
        await agent.begin(run)
        ended = await agent.ended()
        assert ended.outcome is Outcome.REFUSED
        assert "Failed to start transient scope unit" in ended.line

    scoped.play(scene)
    assert not (app / "done").exists()


@needs_cgroups
def test_limits_are_properties_of_the_slice_and_are_set_when_they_change(scoped: World) -> None:
    scoped.app("install:\n\ttrue\n")
    said = scoped.base / "systemctl"

    async def scene(agent: Runs) -> None:
        async def run(**limits: str) -> tuple[str, ...]:
            given = replace(scoped.given, limits=limits)
            return (await agent.whole(scoped.plan("install"), given)).warnings

        assert await run() == ()
        assert not said.exists()
        await run(memory="512M", cpu="150%")
        await run(memory="512M", cpu="150%")
        await run(tasks="100")
        await run()

    scoped.play(scene)
    begin = f"set-property --runtime {PREFIX}-web.slice"
    assert said.read_text().splitlines() == [
        f"{begin} MemoryMax=512M CPUQuota=150% TasksMax=infinity",
        f"{begin} MemoryMax=infinity CPUQuota= TasksMax=100",
        f"{begin} MemoryMax=infinity CPUQuota= TasksMax=infinity",
    ]


# --- sessions ------------------------------------------------------------------------------------


def family(world: World, app: str = "web") -> set[int]:
    """All processes that runs of an app have left, as the next run would find them."""
    paths = Paths(str(world.state), str(world.runtime))
    return kill.family(processes.AppProcesses(paths, boot.boot(), scopes=False).remaining(app))


def test_without_scopes_what_start_leaves_is_remembered_and_counted(world: World) -> None:
    app = world.app(DAEMON)

    async def scene(agent: Runs) -> None:
        assert not agent.spawner.running("web")
        assert (await agent.whole(world.plan("start"))).outcome is Outcome.OK
        assert agent.spawner.running("web")
        usage = agent.spawner.usage("web")
        assert usage.processes == 3
        assert usage.memory > 0

    world.play(scene)

    async def later(agent: Runs) -> None:
        assert agent.spawner.running("web")
        assert (await agent.whole(world.plan("install"))).outcome is Outcome.MISSING
        assert agent.spawner.running("web")
        ended = await agent.whole(world.plan("stop"))
        assert ended.outcome is Outcome.OK
        assert "killed 3 leftover processes after stop" in ended.warnings[0]
        assert not agent.spawner.running("web")
        assert agent.spawner.usage("web").processes == 0

    world.play(later)
    assert not alive(int((app / "pid").read_text()))
    assert not family(world)


def test_an_app_that_ends_by_itself_is_seen_to_have_ended(world: World) -> None:
    world.app(DAEMON)

    async def scene(agent: Runs) -> None:
        await agent.whole(world.plan("start"))
        assert agent.spawner.running("web")
        for pid in family(world):
            os.kill(pid, signal.SIGKILL)
        await becomes(lambda: not agent.spawner.running("web"))

    world.play(scene)


def test_what_is_remembered_of_another_boot_is_nobody(world: World) -> None:
    world.app(DAEMON)
    world.run("start")
    path = world.runtime / "runs" / "web.lock"
    pids = family(world)
    path.write_text(path.read_text().replace('"boot":"', '"boot":"x'))
    try:
        assert not world.run("stop").warnings
        assert all(alive(pid) for pid in pids)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def test_the_shim_leads_a_session_of_its_own(world: World) -> None:
    world.app("install:\n\t@cat /proc/$$$$/stat\n")

    async def scene(agent: Runs) -> None:
        run = world.plan("install")
        identity = await agent.begin(run)
        agent.spawner.proceed(run.id)
        await agent.ended()
        fields = world.log().rpartition(")")[2].split()
        assert int(fields[3]) == identity.pid
        assert int(fields[2]) != identity.pid  # and what it runs is a group of its own

    world.play(scene)
