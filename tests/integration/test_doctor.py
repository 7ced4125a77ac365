"""`appagent doctor` on real directories: what it finds in them, and that it leaves them alone.

Most of it is called in this process, which is three times as quick; its checks are processes of
their own either way.
"""

import contextlib
import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from appagent.doctor import examine
from tests.integration.examined import AS_ROOT, MAKEFILE, NOBODY, Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def tree(base: Path) -> Mapping[str, tuple[int, int]]:
    """Everything below a directory, to see that it was left alone."""
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_mode) for path in base.rglob("*")}


# --- what is right -------------------------------------------------------------------------------


def test_a_sound_node_has_no_problem_and_nothing_is_touched(home: Home) -> None:
    home.app("web")
    link = home.root / "api"
    release = link / "releases" / "1"
    release.mkdir(parents=True)
    (release / "Makefile").write_text(MAKEFILE)
    (link / "current").symlink_to("releases/1")
    (home.root / "docs").mkdir()
    home.write()
    before = tree(home.base)
    report = home.report()
    assert report.code == 0, report.text
    assert not [one for one in report.findings if one["level"] == "problem"]
    texts = [one["text"] for one in report.of(f"root {home.root}", "ok")]
    assert any(text.startswith("2 apps: api, web") and "docs" in text for text in texts)
    assert tree(home.base) == before


def test_a_person_gets_what_is_not_ok_and_a_summary(home: Home) -> None:
    home.app()
    report = home.run()
    assert report.code == 0
    *lines, last = report.text.splitlines()
    assert all(line[:9].strip() in ("warning", "note", "") for line in lines)
    assert last.endswith(" ok (doctor -v lists them)")
    assert "ok       configuration: " in home.run("-v").text


def test_every_problem_and_warning_says_what_to_do(home: Home) -> None:
    web = home.app()
    (web / "Makefile").chmod(0o666)
    (web / "start").mkdir()
    for one in home.report().findings:
        assert one["text"]
        assert one["do"] or one["level"] in ("note", "ok")


# --- configuration -------------------------------------------------------------------------------


def test_a_wrong_configuration_is_78_with_every_line(home: Home) -> None:
    home.config.write_text("roots:\n  - path: relative\n    watsh: auto\nnode: a b\n")
    report = home.report()
    assert report.code == 78
    lines = {one["text"].split(": ")[0] for one in report.of("configuration", "problem")}
    assert {f"{home.config}:{line}" for line in (2, 3, 4)} <= lines
    assert report.of("software", "ok")  # what needs no configuration is checked all the same
    text = home.report(json_wanted=False)
    assert text.code == 78
    assert f"{home.config}:3:" in text.text


def test_no_configuration_is_78(home: Home) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as report:
        assert examine(str(home.base / "none.yaml"), json_wanted=False) == 78
    assert "no such file" in report.getvalue()


# --- apps ----------------------------------------------------------------------------------------


def test_what_everybody_may_write_is_refused_as_the_shim_would(home: Home) -> None:
    (home.app() / "Makefile").chmod(0o666)
    home.refuses("app web", str(home.root / "web/Makefile"), "everyone", "chmod o-w")


def test_an_app_s_directory_that_everybody_may_write_is_refused(home: Home) -> None:
    home.app().chmod(0o777)
    home.refuses("app web", str(home.root / "web"), "everyone")


@pytest.mark.skipif(not AS_ROOT, reason="only root can give a file away")
def test_a_foreign_owner_is_refused_until_he_is_trusted(home: Home) -> None:
    os.chown(home.app() / "Makefile", NOBODY, -1)
    home.refuses("app web", "Makefile", "nobody", "trusted_owners")
    home.settings["trusted_owners"] = ["nobody"]
    home.write()
    assert home.report().code == 0


@pytest.mark.skipif(not AS_ROOT, reason="only root can give a file away")
def test_run_as_owner_is_judged_by_the_owner(home: Home) -> None:
    home.settings["run_as"] = "owner"
    home.app()
    home.refuses("app web", "belongs to root")
    for path in (home.root / "web", home.root / "web/Makefile"):
        os.chown(path, NOBODY, -1)
    assert home.report().code == 0


def test_a_release_outside_is_refused(home: Home) -> None:
    outside = home.base / "elsewhere"
    outside.mkdir()
    (outside / "Makefile").write_text(MAKEFILE)
    (home.root / "web").mkdir()
    (home.root / "web/current").symlink_to(outside)
    home.refuses("app web", str(outside), "release_dirs")
    home.settings["release_dirs"] = [str(outside)]
    home.write()
    assert home.report().code == 0


def test_the_app_s_own_settings_are_checked(home: Home) -> None:
    (home.app() / "appagent.yaml").write_text("settle: 1s\nrun_as: root\n")
    home.refuses("app web", "web/appagent.yaml:2:", "run_as")


def test_nothing_of_an_app_is_run(home: Home) -> None:
    ran = home.base / "ran"
    home.app(makefile=f"X := $(shell touch {ran})\ninstall:\n\t@touch {ran}\n")
    assert home.report().code == 0
    assert not ran.exists()


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda web: os.mkfifo(web / "Makefile"), "FIFO"),
        (lambda web: os.mkfifo(web / "appagent.yaml"), "appagent.yaml"),
        (lambda web: (web / "current").symlink_to("nowhere"), "nowhere"),
        (lambda web: (web / "current").symlink_to("current"), "current"),
        (lambda web: (web / "appagent.yaml").write_bytes(b"\xff\xfe"), "UTF-8"),
        (lambda web: os.truncate(web / "appagent.yaml", 1 << 30), "larger"),
    ],
)
def test_strange_files_in_an_app_are_reported_and_nothing_hangs(
    home: Home, make: Callable[[Path], object], word: str
) -> None:
    web = home.app()
    if word == "larger":
        (web / "appagent.yaml").touch()
    if word == "FIFO":
        (web / "Makefile").unlink()
    make(web)
    home.refuses("app web", word)


def test_names_that_cannot_be_an_app_are_reported(home: Home) -> None:
    home.app()
    (home.root / "a b").mkdir()
    os.mkdir(os.fsencode(home.root) + b"/bad\xff\x1b[2J")  # noqa: PTH102 - pathlib takes no bytes
    report = home.report()
    assert report.code == 0
    texts = [one["text"] for one in report.of(f"root {home.root}", "note")]
    assert len([text for text in texts if "cannot be an app" in text]) == 2
    assert home.report(json_wanted=False).code == 0


def test_one_name_in_two_roots_is_a_problem(home: Home) -> None:
    home.app()
    other = home.base / "other"
    (other / "web").mkdir(parents=True)
    (other / "web/Makefile").write_text(MAKEFILE)
    home.more_roots = [{**home.settings, "path": str(other)}]
    home.refuses("app web", str(home.root), str(other))


# --- roots and env files -------------------------------------------------------------------------


def test_a_root_that_is_not_there_is_a_problem(home: Home) -> None:
    home.root.rmdir()
    about = f"root {home.root}"
    home.refuses(about, "No such file")
    report = home.report()
    assert report.of(about, "ok") == []
    assert str(home.root) not in report.of(about, "problem")[0]["text"]


def test_a_root_that_must_be_mounted_and_is_not_is_a_problem(home: Home) -> None:
    home.app()
    home.settings["mount"] = "required"
    home.refuses(f"root {home.root}", "no share is mounted there")


def test_an_empty_root_is_a_warning(home: Home) -> None:
    report = home.report()
    assert report.code == 0
    assert "is empty" in report.of(f"root {home.root}", "warning")[0]["text"]


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (None, 0, ("does not exist",)),
        ("A=1\nnot an assignment\n", 0o600, (".env:2:",)),
        ("A=hush\n", 0o606, ("everyone", "chmod o-w")),
    ],
)
def test_env_files_are_judged_and_their_values_never_shown(
    home: Home, text: str | None, mode: int, words: tuple[str, ...]
) -> None:
    home.app()
    file = home.base / "web.env"
    home.settings["env_files"] = [str(home.base / "{app}.env"), f"-{home.base}/missing.env"]
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    home.refuses(f"env file {file}", *words)
    assert "hush" not in home.report(json_wanted=False).text


def test_an_env_file_that_sets_what_is_the_agent_s_is_a_warning(home: Home) -> None:
    home.app()
    file = home.base / "common.env"
    file.write_text("APP_NAME=x\nA=hush\n")
    home.settings["env_files"] = [str(file)]
    report = home.report()
    assert report.code == 0
    assert "APP_NAME" in report.of(f"env file {file}", "warning")[0]["text"]
    assert "hush" not in report.text
