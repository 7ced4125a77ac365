"""What goes to a shim and what comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appagent.core.state import Node
from appagent.host import units
from appagent.model.applied import Run
from appagent.model.settings import RootSettings, Settings
from appagent.model.words import Layout, Now, Target, Version
from appagent.run import scope
from appagent.run.launch import Paths, spec_for
from appagent.shim import environment, result, spec, walk
from appagent.shim.users import User

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(plain)
def test_a_result_is_json(value: object) -> None:
    assert json.loads(result.to_json(value)) == value


def test_a_result_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    assert result.write(str(path), {"outcome": "ok", "line": 'a\n"b"\\ é \ud800'}) == 0
    assert json.loads(path.read_bytes())["line"] == 'a\n"b"\\ é ?'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("outcome", result.OUTCOMES)
def test_a_result_without_a_place_is_an_exit_status(tmp_path: Path, outcome: str) -> None:
    status = result.write(str(tmp_path / "none" / "one.json"), {"outcome": outcome})
    assert result.OUTCOMES[status - result.EXIT_BASE] == outcome


def run(**fields: object) -> Run:
    base: dict[str, object] = {
        "id": "1",
        "app": "web",
        "root": "/files",
        "target": Target.INSTALL,
        "version": Version("symlink.1:releases/2:9", "env.1:00"),
        "previous": "symlink.1:releases/1:8",
        "layout": Layout.SYMLINK,
        "release_dir": "/files/web/releases/2",
        "reason": "new release",
        "deploy": "",
        "timeout": 10.0,
        "grace": 1.0,
        "began": Now(0.0, 0.0),
    }
    return Run(**{**base, **fields})  # type: ignore[arg-type]


def message(**fields: object) -> spec.Spec:
    root = RootSettings(path="/files", run_as="www-data", env_files=("/env/{app}.env", "-/x"))
    settings = Settings(environment="test", node="app1", roots=(root,))
    return spec_for(run(**fields), Node(settings, "boot-1"), Paths("/state", "/run/here"), b"s")


def test_a_message_arrives_as_it_was_sent() -> None:
    sent = message()
    listen, say = os.pipe()
    os.write(say, spec.pack(sent))
    assert spec.receive(listen) == sent
    os.close(say)
    assert spec.receive(listen) is None
    os.close(listen)
    assert sent["env_files"] == ["/env/web.env", "-/x"]
    assert sent["variables"]["APP_RELEASE"] == "2"
    assert sent["kept"] == "/state/apps/web"


def test_half_a_message_is_none() -> None:
    listen, say = os.pipe()
    os.write(say, spec.pack(message())[:-1])
    os.close(say)
    assert spec.receive(listen) is None
    os.close(listen)


def test_what_does_not_fit_into_a_pipe_is_not_sent() -> None:
    with pytest.raises(ValueError, match="larger"):
        spec.pack(message(reason="x" * 100_000))


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("symlink.1:releases/2026-01-02:77", "2026-01-02"),
        ("git.1:0123456789abcdef", "0123456789abcdef"),
        ("tree.1:aa:0123456789abcdef", "0123456789abcdef"),
        ("", ""),
    ],
)
def test_a_target_knows_a_release_by_the_name_that_people_use(release: str, name: str) -> None:
    assert message(previous=release)["variables"]["APP_PREVIOUS_RELEASE"] == name


def test_the_agents_own_variables_win_and_files_win_over_the_users() -> None:
    user = User(1, 1, "me", "/home/me", "/bin/bash")
    values = {"HOME": "/elsewhere", "APP_DEBUG": "1"}
    made = environment.build(message(), user, values, "/files/web/releases/2")
    assert made["HOME"] == "/elsewhere"
    assert made["APP_DEBUG"] == "1"
    assert made["APP_DIR"] == "/files/web"
    assert made["PWD"] == "/files/web/releases/2"  # noqa: S105 - no password
    assert set(made) >= environment.AGENTS_OWN


@pytest.mark.parametrize("shell", ["", "/usr/sbin/nologin", "/bin/false"])
def test_a_user_who_may_not_log_in_has_a_shell_for_targets(shell: str) -> None:
    assert User(1, 1, "www-data", "", shell).shell == "/bin/sh"
    assert User(1, 1, "www-data", "", shell).home == "/"


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("web", "web"),
        ("a-b", r"a\x2db"),
        ("a.b", "a.b"),
        ("a+b", r"a\x2bb"),
        ("a@b", r"a\x40b"),
        ("a:b", "a:b"),
        ("_x", "_x"),
        (".x", r"\x2ex"),
        ("é", r"\xc3\xa9"),
    ],
)
def test_names_are_escaped_as_systemd_does(name: str, escaped: str) -> None:
    assert units.escape(name) == escaped
    assert units.slice_of(name) == f"appagent-{escaped}.slice"


def test_a_scope_is_named_by_its_run() -> None:
    assert units.scope_of("a-b", "20260101-7") == r"appagent-a\x2db-20260101\x2d7.scope"
    argv = scope.in_scope("web", "x.scope", ["python", "shim.py", "web", "stop", "1"])
    assert argv[1:4] == ["--scope", "--quiet", "--collect"]
    assert "--property=Before=appagent.service" in argv  # systemd stops what is after it first
    assert argv[argv.index("--") + 1 :] == ["python", "shim.py", "web", "stop", "1"]


def test_limits_are_systemds_properties() -> None:
    assert scope.properties({"memory": "1G", "tasks": "50"}) == [
        "MemoryMax=1G",
        "CPUQuota=",
        "TasksMax=50",
    ]


def test_the_shim_imports_little() -> None:
    """Each of these would cost every run 6 to 10 ms."""
    heavy = {"re", "enum", "typing", "dataclasses", "json", "socket", "subprocess", "ctypes",
             "contextlib", "signal", "collections", "functools", "hashlib", "asyncio", "pathlib",
             "site", "appagent.model"}  # fmt: skip
    where = str(Path(walk.__file__).parents[2])
    code = (
        f"import sys; sys.path.append({where!r})\n"
        "from appagent.host import prctl\n"
        "from appagent.shim import failpoint, lock, result, spec, supervisor\n"
        "print(*sys.modules)"
    )
    said = subprocess.check_output([sys.executable, "-I", "-S", "-c", code], text=True)
    assert not heavy & set(said.split())
