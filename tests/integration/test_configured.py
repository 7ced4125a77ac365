"""What the configuration, the apps' own settings and the env files make of deploys; and wrong ones.

All on one node, whose configuration is read again and again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.node import Node, SymlinkApp, TreeApp, node, wait_until, write_files
from tests.integration.shown import QUICK, Shown

NEVER = "\t@sleep 600"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A node that runs."""
    with node(tmp_path_factory.mktemp("configured"), **QUICK) as made:
        made.start()
        yield Shown(made)


@pytest.fixture(autouse=True)
def as_before(shown: Shown) -> Iterator[None]:
    """Each test leaves the configuration as it was."""
    node = shown.node
    text, root, defaults, apps = (
        node.config.read_text(),
        dict(node.root_settings),
        dict(node.defaults),
        dict(node.apps),
    )
    yield
    node.root_settings, node.defaults, node.apps = root, defaults, apps
    if node.config.read_text() != text:
        node.reload_well()


# --- which apps ----------------------------------------------------------------------------------


def test_what_the_configuration_leaves_out_is_not_stopped(shown: Shown) -> None:
    node = shown.node
    apps = {name: TreeApp(node, name) for name in ("web", "web-test", "mail")}
    node.root_settings.update(include=["web*", "zz*"], exclude=["*-test"])
    node.reload_well()
    for app in apps.values():
        app.deploy("1")
    shown.ran("web", "install start check")
    shown.nothing(*apps)

    node.root_settings["exclude"] = ["web"]  # another one now
    node.reload_well()
    shown.ran("web-test", "install start check")
    node.wait_for("web", "unmanaged")
    for app in apps.values():
        app.deploy("2")
    shown.ran("web-test", "install restart check")
    shown.nothing(*apps)

    shutil.rmtree(apps["web"].path)  # gone while it is left out: nobody's concern here
    shown.nothing(*apps)

    apps["web"].deploy("3")
    node.root_settings["exclude"] = []
    node.reload_well()
    assert shown.ran("web", "install restart check")[-1].version == "3"


def test_a_root_that_the_configuration_drops_is_left_alone(shown: Shown) -> None:
    node = shown.node
    app = TreeApp(node, "dropped")
    app.deploy("1")
    shown.ran("dropped", "install start check")
    another = node.base / "another"
    another.mkdir()
    old, node.root = node.root, another
    node.root_settings["path"] = str(another)
    node.reload_well()
    node.wait_for("dropped", "unmanaged")
    app.deploy("2")
    shown.nothing("dropped")
    shutil.rmtree(another)
    node.root = old
    node.root_settings["path"] = str(old)
    node.reload_well()
    assert shown.ran("dropped", "install restart check")[-1].version == "2"


# --- the configuration ---------------------------------------------------------------------------


def test_a_bad_configuration_is_refused_and_the_old_one_goes_on(shown: Shown) -> None:
    node = shown.node
    app = TreeApp(node, "steady")
    app.deploy("1")
    shown.ran("steady", "install start check")
    good = node.config.read_text()
    before = len(node.notices("config.refused"))
    node.config.write_text(good.replace('"settle"', '"setle"'))
    node.reload()
    wait_until(lambda: len(node.notices("config.refused")) > before, "it is refused")
    told = node.notices("config.refused")[-1]["text"]
    assert f"{node.config}:" in told
    assert "setle" in told
    assert "settle" in told.replace("setle", "")  # the nearest known name
    assert "setle" in node.status()["config"]["refused"]
    asked = node.command("status")
    assert asked.returncode == 0
    lines = asked.stdout.splitlines()
    assert any("reload failed" in line and "setle" in line for line in lines)
    assert "the configuration is wrong" in asked.stderr
    assert len(asked.stderr.splitlines()) == 1

    node.config.write_text(good.replace('"roots"', '"roots": [ # no YAML at all'))
    assert node.command("hold", "steady", "--why", "it is mended").returncode == 0
    assert node.command("resume", "steady").returncode == 0
    assert "ok       agent: the agent runs and answers" in node.command("doctor", "-v").stdout

    app.deploy("2")
    shown.ran("steady", "install restart check")
    node.config.write_text(good)
    node.reload()
    wait_until(lambda: not node.status()["config"]["refused"], "the good one is taken")
    shown.nothing("steady")


def test_a_reload_that_is_asked_for_while_the_agent_starts_is_done(tmp_path: Path) -> None:
    with node(tmp_path, **QUICK) as one:
        one.launch()
        assert one.process is not None
        maps = Path(f"/proc/{one.process.pid}/maps")
        wait_until(lambda: "/_yaml." in maps.read_text(), "it has come to its configuration")
        one.reload()
        wait_until(one.answers, "the agent answers")
        wait_until(lambda: one.notices("config.loaded"), "the configuration is taken")


def test_settings_that_make_no_deploy_apply_without_a_run(shown: Shown) -> None:
    node = shown.node
    app = SymlinkApp(node, "set")
    app.deploy("1")
    shown.ran("set", "install start check")
    node.defaults.update(settle="200ms", timeout={"restart": "40s"}, grace="2s")
    node.apps["set"] = {"timeout": {"restart": "300ms"}}
    node.reload_well()
    shown.nothing("set")
    app.deploy("2", node.makefile("\t@if [ $@ = restart ]; then sleep 600; fi"))
    failed = node.wait_for("set", "rolled-back")
    assert "restart did not finish within 300ms" in failed["why"]
    shown.ran("set", "install restart install restart check", "rolled-back")


# --- the app's own settings ----------------------------------------------------------------------


def own(node: Node, name: str, text: str) -> TreeApp:
    """An app with settings of its own."""
    app = TreeApp(node, name)
    write_files(app.path, {"appagent.yaml": text})
    app.deploy("1")
    return app


def test_an_app_may_set_a_few_things_itself(shown: Shown) -> None:
    node = shown.node
    own(node, "own", 'ignore: ["/cache/"]\ntimeout: {install: 500ms}\ngrace: 0s\nsettle: 400ms\n')
    shown.ran("own", "install start check")
    write_files(node.root / "own" / "cache", {"page": "1"})
    shown.nothing("own")
    TreeApp(node, "own").deploy("2", node.makefile("\t@if [ $@ = install ]; then sleep 600; fi"))
    wait_until(lambda: "install did not finish within 500ms" in node.app("own")["why"], "a timeout")
    TreeApp(node, "own").deploy("3")
    wait_until(lambda: node.app("own")["state"] == "ok", "a newer release heals it")
    assert shown.take("own")[-1].version == "3"


@pytest.mark.parametrize(
    ("name", "text", "line", "what"),
    [
        ("key", "settle: 1s\nrun_as: root\n", 2, "run_as"),
        ("value", "settle: soon\n", 1, "soon"),
        ("yaml", "settle: [1s\n", 1, "invalid YAML"),
    ],
)
def test_wrong_settings_of_an_app_block_it_with_their_line(
    shown: Shown, name: str, text: str, line: int, what: str
) -> None:
    node, name = shown.node, f"wrong-{name}"
    app = own(node, name, text)
    blocked = node.wait_for(name, "blocked")
    assert f"{app.path}/appagent.yaml:{line}: " in blocked["why"]
    assert what in blocked["why"]
    shown.nothing(name)
    told = node.notices("app.blocked", name)
    assert [notice["level"] for notice in told] == ["error"]
    assert node.command("wait", name, "--timeout", "10s").returncode == 1
    write_files(app.path, {"appagent.yaml": "settle: 100ms\n"})  # healed: now it deploys
    shown.ran(name, "install start check")
    assert len(node.notices("app.known", name)) == 1
    write_files(app.path, {"appagent.yaml": text})  # what runs is not disturbed by an error
    node.wait_for(name, "blocked")
    shown.nothing(name)
    write_files(app.path, {"appagent.yaml": "settle: 100ms\n"})
    shown.ran(name, "install restart check")  # the file is part of the tree, so another release


# --- env files -----------------------------------------------------------------------------------


def test_a_broken_env_file_blocks_with_its_line_until_it_is_right(shown: Shown) -> None:
    node = shown.node
    app = TreeApp(node, "env")
    node.set_env("env", "GREETING=hello\nthis is no assignment\n")
    app.deploy("1")
    blocked = node.wait_for("env", "blocked")
    assert f"{node.env}/env.env:2: " in blocked["why"]
    shown.nothing("env")
    assert "env.env:2: " in node.notices("app.blocked", "env")[-1]["text"]
    node.set_env("env", "GREETING=hello\n")
    assert shown.ran("env", "install start check")[0].greeting == "hello"
    node.set_env("env", 'GREETING="never closed\n')  # what runs goes on
    node.wait_for("env", "blocked")
    app.deploy("2")
    shown.nothing("env")
    node.set_env("env", "GREETING=hello\n")
    assert shown.ran("env", "install restart check")[-1].version == "2"


def test_a_missing_env_file_blocks_where_it_is_required(shown: Shown) -> None:
    node = shown.node
    app = SymlinkApp(node, "needy")
    app.deploy("1")
    shown.ran("needy", "install start check")
    node.root_settings["env_files"] = [f"{node.env}/common.env", f"-{node.env}/{{app}}.env"]
    node.reload_well()
    blocked = node.wait_for("needy", "blocked")
    assert blocked["why"] == f"{node.env}/common.env: the env file is missing"
    app.deploy("2")
    node.set_env("common", "GREETING=common\n")
    assert shown.ran("needy", "install restart check")[-1].greeting == "common"
    node.set_env("needy", "GREETING=own\n")
    assert shown.ran("needy", "restart check")[-1].greeting == "own"
    (node.env / "needy.env").unlink()
    assert shown.ran("needy", "restart check")[-1].greeting == "common"
    (node.env / "common.env").unlink()
    node.wait_for("needy", "blocked")
    node.set_env("common", "GREETING=common\n")
    node.wait_for("needy", "ok")
    shown.nothing("needy")
