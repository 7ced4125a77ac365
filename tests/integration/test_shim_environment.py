"""Where a run is, and what it gets: directory, environment, descriptors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appagent.model.words import Layout, Outcome, Version
from tests import running
from tests.running import ME, World


@pytest.fixture
def world() -> Iterator[World]:
    with running.world() as made:
        yield made


def test_the_environment_of_a_target_is_clean(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NOTIFY_SOCKET", "GIT_DIR", "LD_LIBRARY_PATH", "MAKEFLAGS", "SECRET"):
        monkeypatch.setenv(name, "/nowhere")
    world.app("X := $(shell env >parsing)\ninstall:\n\t@/usr/bin/env >recipe; umask >>recipe\n")
    ended = world.run(
        "install",
        version=Version("git.1:0123abcd", ""),
        previous="git.1:beef",
        reason="new release",
    )
    assert ended.outcome is Outcome.OK
    lines = (world.root / "web" / "recipe").read_text().splitlines()
    assert lines.pop() == "0022"
    seen = dict(line.split("=", 1) for line in lines)
    assert set(seen) == {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "PWD"),
        *("APP_NAME", "APP_ENV", "APP_DIR", "APP_RELEASE", "APP_PREVIOUS_RELEASE"),
        *("APP_NODE", "APP_REASON", "APP_TARGET"),
        *("MAKEFLAGS", "MAKELEVEL", "MFLAGS"),  # make's own
    } - ({"MFLAGS"} - set(seen))
    assert seen["APP_NAME"] == "web"
    assert seen["APP_ENV"] == "test"
    assert seen["APP_DIR"] == seen["PWD"] == str(world.root / "web")
    assert seen["APP_RELEASE"] == "0123abcd"
    assert seen["APP_PREVIOUS_RELEASE"] == "beef"
    assert seen["APP_NODE"] == "app1"
    assert seen["APP_REASON"] == "new release"
    assert seen["APP_TARGET"] == "install"
    assert seen["USER"] == seen["LOGNAME"] == ME
    assert seen["MAKEFLAGS"] == ""


def test_a_release_is_run_in_its_own_directory_under_its_own_name(world: World) -> None:
    release = world.release("2026-01-02", "install:\n\t@pwd; echo $$APP_RELEASE $$APP_DIR\n")
    ended = world.run(
        "install",
        layout=Layout.SYMLINK,
        release_dir=str(release),
        version=Version(f"symlink.1:releases/2026-01-02:{release.stat().st_ino}", ""),
    )
    assert ended.outcome is Outcome.OK
    assert world.log() == f"{release}\n2026-01-02 {world.root / 'web'}\n"


def test_stdin_is_empty_and_no_descriptor_of_ours_is_open(world: World) -> None:
    world.app("install:\n\t@cat; ls -l /proc/$$$$/fd >fds\n")
    assert world.run("install").outcome is Outcome.OK
    seen = (world.root / "web" / "fds").read_text().splitlines()[1:]
    links = [line.rsplit(" -> ", 1)[1] for line in seen]
    inherited = [link for link in links if not link.startswith("/proc/")]
    assert inherited[0] == "/dev/null"
    assert set(inherited[1:]) <= {str(world.state / "log" / "web.log"), str(world.root / "web/fds")}


def test_an_app_can_open_its_own_output_anew(world: World) -> None:
    world.app("install:\n\t@echo hello >/dev/stdout\n")
    assert world.run("install").outcome is Outcome.OK
    assert world.log() == "hello\n"
