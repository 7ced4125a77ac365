"""The app that reloads nginx: its Makefile, with the reload played by a program of ours."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parents[2] / "examples" / "nginx-redirects"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "var").mkdir()
    return Path(shutil.copytree(APP, tmp_path / "app"))


def make(app: Path, target: str, reload: str = "", release: str = "1") -> int:
    var = app.parent / "var"
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFL"))}
    environment = {
        **kept,
        "VAR": str(var),
        "RELOAD": reload or f"cp {var}/redirects.map {var}/loaded",
        "APP_RELEASE": release,
    }
    return subprocess.run(["make", "-s", target], cwd=app, env=environment, check=False).returncode


def loaded(app: Path) -> str:
    return (app.parent / "var" / "loaded").read_text()


def test_a_release_is_loaded_and_says_which_it_is(app: Path) -> None:
    assert make(app, "install") == 0
    assert make(app, "start") == 0
    assert "/old-page  /new-page;" in loaded(app)
    assert '/-/release "/-/1";' in loaded(app)
    assert make(app, "install", release="2") == 0
    assert make(app, "restart", release="2") == 0
    assert '/-/release "/-/2";' in loaded(app)


@pytest.mark.parametrize(
    "line",
    [
        "/a /b",
        "/a;",
        "server { }",
        "/a /b; } include /etc/passwd;",
        "include /etc/shadow;",
        "default https://elsewhere.example.org/;",
        "hostnames /b;",
        "volatile;",
        "~^/(.*) /b;",
        "*.example.org /b;",
        "/a $arg_to;",
        "/a https://$host/;",
        "/a include;",
        "/a /b\\;",
        '"/a" /b;',
    ],
)
def test_a_table_of_more_than_paths_and_where_they_lead_fails_before_anything_is_touched(
    app: Path, line: str
) -> None:
    with (app / "redirects.map").open("a") as table:
        table.write(line + "\n")
    assert make(app, "install") != 0
    assert list((app.parent / "var").iterdir()) == []


def test_paths_may_be_written_as_they_are_asked_for(app: Path) -> None:
    table = "# comment\n\n/\u00e4/it's~(1) \t /b?c=d&e=%20#f ; \n"
    (app / "redirects.map").write_text(table.replace(" ;", ";"))
    assert make(app, "install") == 0


def test_where_the_reload_fails_the_table_of_before_stays(app: Path) -> None:
    assert make(app, "install") == 0
    assert make(app, "start") == 0
    assert make(app, "install", release="2") == 0
    assert make(app, "restart", reload="false", release="2") != 0
    assert '/-/release "/-/1";' in (app.parent / "var" / "redirects.map").read_text()


def test_a_stop_leaves_nginx_running_without_redirects(app: Path) -> None:
    assert make(app, "install") == 0
    assert make(app, "start") == 0
    assert make(app, "stop") == 0
    assert loaded(app) == ""
