"""Runs of real Makefiles: how they end, what they see, and what they leave."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appagent.model.words import Outcome, Version
from appagent.shim import output
from tests import running
from tests.running import Runs, World, alive, becomes, members
from tests.waiting import until


@pytest.fixture
def world() -> Iterator[World]:
    with running.world() as made:
        yield made


def pid_in(path: Path) -> int:
    """The pid that a recipe has written, once it is there."""
    until(lambda: path.exists() and path.read_text().strip().isdigit())
    return int(path.read_text())


# --- how a run ends ------------------------------------------------------------------------------


def test_a_target_that_succeeds_is_ok(world: World) -> None:
    app = world.app("install:\n\ttouch done\n")
    ended = world.run("install")
    assert (ended.outcome, ended.exit_code, ended.line) == (Outcome.OK, 0, "")
    assert not ended.warnings
    assert (app / "done").exists()
    assert ended.seconds > 0
    assert not ended.adopted


def test_a_target_that_fails_tells_its_exit_code_and_its_last_words(world: World) -> None:
    world.app("install:\n\t@echo fine; echo '\033[31mno such gem\033[0m' >&2; exit 3\n")
    ended = world.run("install")
    assert (ended.outcome, ended.exit_code) == (Outcome.FAILED, 2)
    assert ended.line == "exit 2: no such gem"
    assert ended.tail.startswith("fine\nno such gem\n")


def test_only_the_last_4_kb_of_a_failed_run_are_told(world: World) -> None:
    world.app("install:\n\t@seq 1 10000; exit 1\n")
    ended = world.run("install")
    assert "\n10000\n" in ended.tail
    assert len(ended.tail) <= 4096
    assert world.log().startswith("1\n2\n3\n")


def test_the_tail_is_of_this_run_alone(world: World) -> None:
    world.app("install:\n\t@echo first\nstart:\n\t@echo second; exit 1\n")
    world.run("install")
    assert "first" not in world.run("start").tail


def test_a_make_that_is_killed_names_the_signal(world: World) -> None:
    world.app("install:\n\t@kill -KILL $$PPID; sleep 60\n")
    ended = world.run("install")
    assert (ended.outcome, ended.exit_code) == (Outcome.FAILED, 137)
    assert "signal 9 (KILL)" in ended.line


def test_a_target_that_is_not_there_is_missing(world: World) -> None:
    world.app("restart:\n\ttouch done\n")
    for target in ("build", "install", "stop", "check"):
        ended = world.run(target)
        assert ended.outcome is Outcome.MISSING, target
        assert target in ended.line
    assert world.run("restart").outcome is Outcome.OK


def test_an_empty_makefile_has_no_targets(world: World) -> None:
    world.app("")
    for target in ("build", "install", "start", "restart", "stop", "check"):
        assert world.run(target).outcome is Outcome.MISSING


def test_a_makefile_that_make_cannot_read_fails_with_makes_own_words(world: World) -> None:
    world.app("install:\n\techo ok\nthis is no makefile\n")
    ended = world.run("install")
    assert (ended.outcome, ended.exit_code) == (Outcome.FAILED, 2)
    assert ended.line == "Makefile:3: *** missing separator.  Stop."
    assert "missing separator" in world.log()


def test_a_run_whose_time_is_over_is_ended(world: World) -> None:
    world.app("install:\n\t@echo begun; sleep 600\n")
    ended = world.run("install", timeout=0.5)
    assert ended.outcome is Outcome.TIMEOUT
    assert ended.line.startswith("install did not finish within 500ms")
    assert ended.tail == "begun\n" or "begun" in ended.tail


def test_the_deadline_holds_while_make_reads_the_makefile(world: World) -> None:
    world.app("X := $(shell sleep 600)\ninstall:\n\ttouch done\n")
    ended = world.run("install", timeout=0.5)
    assert ended.outcome is Outcome.TIMEOUT
    assert "reading the Makefile" in ended.line
    assert not (world.root / "web" / "done").exists()


def test_what_ignores_term_is_killed_after_the_grace(world: World) -> None:
    app = world.app(
        "install:\n\t@trap '' TERM; "
        "sh -c 'trap \"\" TERM; echo $$$$ >pid; while :; do sleep 1; done'\n"
    )
    ended = world.run("install", timeout=0.5, grace=0.2)
    assert ended.outcome is Outcome.TIMEOUT
    assert "was killed" in ended.line
    assert not alive(pid_in(app / "pid"))


def test_what_heeds_term_has_its_grace(world: World) -> None:
    app = world.app("install:\n\t@trap 'echo bye >bye; exit 1' TERM; sleep 600 & wait\n")
    ended = world.run("install", timeout=0.5, grace=30)
    assert ended.outcome is Outcome.TIMEOUT
    assert "killed" not in ended.line
    assert (app / "bye").exists()


@pytest.mark.parametrize(
    "escape",
    [
        "setsid sleep 600 & echo $$! >pid",
        "setsid sh -c 'sleep 600 & echo $$! >pid' &",
        "(setsid sh -c '(trap \"\" TERM; sleep 600 & echo $$! >pid; wait) &' &)",
        "sh -c 'nohup sleep 600 >/dev/null 2>&1 & echo $$! >pid'",
    ],
)
def test_a_forced_end_leaves_nothing_however_it_was_started(world: World, escape: str) -> None:
    app = world.app(f"install:\n\t@{escape}\n\t@until [ -s pid ]; do sleep .1; done; sleep 600\n")

    async def scene(agent: Runs) -> None:
        run = world.plan("install", grace=0.2)
        await agent.begin(run)
        agent.spawner.proceed(run.id)
        await becomes(lambda: (app / "pid").exists() and (app / "pid").read_text().strip())
        assert alive(pid_in(app / "pid"))
        agent.spawner.end(run.id, "a newer release")
        ended = await agent.ended()
        assert (ended.outcome, ended.line) == (Outcome.CANCELLED, "a newer release")
        assert not alive(pid_in(app / "pid"))

    world.play(scene)


def test_one_that_forks_without_end_is_ended_all_the_same(world: World) -> None:
    app = world.app(
        "install:\n\t@trap '' TERM; i=0; while [ $$i -lt 300 ]; do i=$$((i+1)); "
        "(trap '' TERM; echo x >>pids; sleep 600) & done; "
        "(trap '' TERM; while :; do sleep 0.01 & done) & wait\n"
    )

    async def scene(agent: Runs) -> None:
        run = world.plan("install", grace=0.1)
        identity = await agent.begin(run)
        agent.spawner.proceed(run.id)
        await becomes(
            lambda: (app / "pids").exists() and len((app / "pids").read_text().split()) >= 300
        )
        agent.spawner.end(run.id, "asked")
        assert (await agent.ended()).outcome is Outcome.CANCELLED
        assert not members(identity.pid)

    world.play(scene)


def test_a_daemon_that_holds_the_output_does_not_hold_the_run(world: World) -> None:
    app = world.app(
        "start:\n\t@sh -c 'echo $$$$ >pid; echo up; while [ ! -e more ]; do sleep .05; done; "
        "echo later; touch said; sleep 600' &\n"
    )
    ended = world.run("start")
    pid = pid_in(app / "pid")
    try:
        assert (ended.outcome, ended.line) == (Outcome.OK, "")
        assert alive(pid)
        (app / "more").touch()  # the agent that started it is gone by now
        until((app / "said").exists)
        assert "up\nlater\n" in world.log()
        assert alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_what_prints_without_end_does_not_fill_the_disk(world: World) -> None:
    # What is printed in the instant of a cut may be lost: the end waits until the last one is over.
    size = f"$$(cat {world.state}/log/*.log | wc -c)"
    cut = f"until [ {size} -le {output.LIMIT} ]; do sleep 0.1; done"
    flood = "yes 0123456789abcdef | head -c ${BYTES}"
    app = world.app(f"install:\n\t@echo begin; {flood}; {cut}; echo; echo end; exit 1\n")
    (app.parent / "env").write_text(f"BYTES={int(os.environ.get('TEST_PRINTS', '200000000'))}\n")
    (app.parent / "env").chmod(0o644)
    given = replace(world.given, env_files=(str(world.root / "env"),))
    ended = world.run("install", given)
    assert (ended.outcome, ended.exit_code) == (Outcome.FAILED, 2)
    assert "\nend\n" in ended.tail
    kept = sum(path.stat().st_size for path in (world.state / "log").iterdir())
    assert kept < 40_000_000


@pytest.mark.skipif(Path(output.JOURNAL).exists(), reason="needs a machine without a journal")
def test_where_the_journal_takes_no_output_a_file_does(world: World) -> None:
    world.app("install:\n\t@echo hello; exit 1\n")
    world.journal = True
    ended = world.run("install")
    assert (ended.outcome, ended.tail.splitlines()[0]) == (Outcome.FAILED, "hello")
    assert "cannot write to the journal" in ended.warnings[0]
    assert world.log().startswith("hello\n")


def test_a_run_is_cancelled_before_its_go_without_running(world: World) -> None:
    app = world.app("install:\n\ttouch done\n")

    async def scene(agent: Runs) -> None:
        run = world.plan("install")
        await agent.begin(run)
        agent.spawner.end(run.id, "not any more")
        ended = await agent.ended()
        assert (ended.outcome, ended.line) == (Outcome.CANCELLED, "not any more")

    world.play(scene)
    assert not (app / "done").exists()


def test_a_run_is_cancelled_at_once_after_its_go(world: World) -> None:
    world.app("install:\n\tsleep 600\n")

    async def scene(agent: Runs) -> None:
        run = world.plan("install")
        await agent.begin(run)
        agent.spawner.proceed(run.id)
        agent.spawner.end(run.id, "not any more")  # its handler is not there yet
        assert (await agent.ended()).outcome is Outcome.CANCELLED

    world.play(scene)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGPIPE])
def test_the_shim_does_not_care_for_other_signals(world: World, number: int) -> None:
    app = world.app("install:\n\t@touch begun; until [ -e go ]; do sleep .05; done\n")

    async def scene(agent: Runs) -> None:
        run = world.plan("install")
        identity = await agent.begin(run)
        agent.spawner.proceed(run.id)
        await becomes((app / "begun").exists)
        os.kill(identity.pid, number)
        (app / "go").touch()
        assert (await agent.ended()).outcome is Outcome.OK

    world.play(scene)


# --- targets -------------------------------------------------------------------------------------


def test_a_target_called_like_a_directory_warns_what_to_write(world: World) -> None:
    app = world.app("install:\n\ttouch done\n")
    (app / "install").mkdir()
    ended = world.run("install")
    assert ended.outcome is Outcome.OK
    assert len(ended.warnings) == 1
    assert ".PHONY: install" in ended.warnings[0]
    (app / "Makefile").write_text(".PHONY: install\ninstall:\n\ttouch done\n")
    assert not world.run("install").warnings
    assert (app / "done").exists()


def test_a_script_beside_the_makefile_is_no_target(world: World) -> None:
    app = world.app("start:\n\ttrue\n")
    (app / "install.sh").write_text("exit 1\n")
    assert world.run("install").outcome is Outcome.MISSING
    assert not (app / "install").exists()


def test_a_rule_for_anything_makes_every_target(world: World) -> None:
    world.app("%:\n\techo $@ >>done\n")
    assert world.run("install").outcome is Outcome.OK
    assert (world.root / "web" / "done").read_text() == "install\n"


def test_asking_for_targets_runs_none(world: World) -> None:
    app = world.app("install:\n\t+touch a\n\t$(MAKE) in\nin:\n\t+touch b\nstop:\n\t+touch c\n")
    assert world.run("start").outcome is Outcome.MISSING
    assert sorted(path.name for path in app.iterdir()) == ["Makefile"]


def test_make_is_asked_once_for_a_release(world: World) -> None:
    app = world.app("X := $(shell echo x >>read)\ninstall start:\n\ttrue\n")

    async def scene(agent: Runs) -> list[int]:
        counts = []
        for target, release in [("install", "1"), ("start", "1"), ("stop", "1"), ("install", "2")]:
            (app / "read").unlink(missing_ok=True)
            version = Version(f"tree.1:a:{release}", "")
            await agent.whole(world.plan(target, version=version))
            counts.append(len((app / "read").read_text().split()) if (app / "read").exists() else 0)
        return counts

    assert world.play(scene) == [2, 1, 0, 2]


def test_nothing_of_the_question_reaches_the_run(world: World) -> None:
    world.app(
        "install:\n\t@echo [$(MAKEFLAGS)] [$(MAKECMDGOALS)]; env | grep -c appagent-asks; true\n"
    )
    assert world.run("install").outcome is Outcome.OK
    assert "[] [install]\n0\n" in world.log()


def test_make_that_is_not_there_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    if running.ROOT:
        pytest.skip("as root PATH is fixed, and make is in it")
    world.app("install:\n\ttrue\n")
    monkeypatch.setenv("PATH", str(world.base))
    ended = world.run("install")
    assert ended.outcome is Outcome.REFUSED
    assert "install GNU make" in ended.line
