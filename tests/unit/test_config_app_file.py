"""The app's own appagent.yaml: five keys, and nothing that a pusher could gain by it."""

from __future__ import annotations

import pytest

from appagent.config import ConfigErrors, parse_app_file
from appagent.model.words import Target

FILE = "/files/production/web/appagent.yaml"
NOT_ALLOWED = "cannot be set by the app; it can set settle, ignore, timeout, grace, install"


def test_the_five_keys_are_read() -> None:
    """As fields of an app's settings; only what was written is there."""
    text = """\
settle: 5s
ignore: [log/, tmp/]
timeout: {install: 2m, check: 10s}
grace: 20s
install: parallel
"""
    assert parse_app_file(text, FILE) == {
        "settle": 5.0,
        "ignore": ("log/", "tmp/"),
        "timeout": {Target.INSTALL: 120.0, Target.CHECK: 10.0},
        "grace": 20.0,
        "install": "parallel",
    }


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["*a" * 8 + "*b"],
            "1: ignore[0]: '*a*a*a*a*a*a*a*a*b' has 9 stars; in an app's own file at most 8",
        ),
        (
            ["a/", "b" * 201],
            "1: ignore[1]: has 201 characters; in an app's own file at most 200",
        ),
        (
            [f"a{number}" for number in range(101)],
            "1: ignore: contains 101 values; at most 100 are",
        ),
    ],
)
def test_its_patterns_are_bounded(lines: list[str], message: str) -> None:
    """Every path of a scan is held against each of them."""
    with pytest.raises(ConfigErrors) as wrong:
        parse_app_file(f"ignore: {lines}\n", FILE)
    assert message in str(wrong.value)


def test_patterns_within_the_bounds_are_taken() -> None:
    """Also one with `**`, which counts as one star."""
    lines = ["**/a/**/*.min.*", "b" * 200, *(f"a{number}" for number in range(98))]
    assert parse_app_file(f"ignore: {lines}\n", FILE) == {"ignore": tuple(lines)}


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "{}", "timeout:\n"])
def test_an_app_may_set_nothing(text: str) -> None:
    """An empty file is as good as none."""
    assert dict(parse_app_file(text, FILE)) in ({}, {"timeout": {}})


@pytest.mark.parametrize(
    "key",
    [
        "run_as",
        "trusted_owners",
        "release_dirs",
        "env_files",
        "rollout",
        "limits",
        "layout",
        "unsettled",
        "max_wait",
        "gone_after",
        "retry",
        "on_failure",
        "on_exit",
        "on_shutdown",
        "roots",
        "defaults",
        "apps",
        "node",
        "notify",
        "state_dir",
        "fleet",
    ],
)
def test_what_an_app_cannot_set_is_refused(key: str) -> None:
    """With the line, and what it can set instead."""
    with pytest.raises(ConfigErrors) as refused:
        parse_app_file(f"settle: 2s\n{key}: root\n", FILE)
    assert refused.value.errors == (f"{FILE}:2: {key}: {NOT_ALLOWED}",)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("settel: 2s", "1: settel: unknown key; did you mean settle?"),
        ("settle: 2", "1: settle: '2' has no unit: write 2s for seconds, or ms, m, h or d"),
        ("\ntimeout: {run: 2s}", "2: timeout.run: unknown key; known here: build, install,"),
        ("timeout: {install: -1s}", "1: timeout.install: '-1s' is not a valid duration"),
        ("settle: 1s\nsettle: 2s", "2: settle: is set twice; the first time in line 1"),
        ("- settle: 2s", "1: expected a map of settings"),
        ("settle: [", "1: invalid YAML"),
        ("a: b\0", "1: a NUL byte"),
        ("settle: \ud800", "1: the character U+D800"),
        ("#" * 70_000, "1: is too large: more than 65536 characters"),
        ("[" * 60_000, "1: "),
        ("{a: " * 10_000, "1: a.a.a"),
        ("- " * 30_000, "1: "),
        ("? " * 30_000, "1: "),
        ("ignore: [" + "x, " * 20_000 + "]", "1: contains more than 2000 values"),
        ("&a [*a]", "1: [0]: aliases (*a) are not allowed in this file"),
        ("install: !!python/object/new:os.system [x]", "1: install: "),
    ],
)
def test_a_wrong_file_of_an_app_is_named(text: str, line: str) -> None:
    """Whatever lies there: a clear line, at once, and nothing else."""
    with pytest.raises(ConfigErrors) as refused:
        parse_app_file(text, FILE)
    assert refused.value.errors[0].startswith(f"{FILE}:{line}")
    assert all(len(error) < 1000 and error.isprintable() for error in refused.value.errors)


def test_a_hostile_name_of_the_directory_cannot_forge_a_line() -> None:
    """A pusher chooses the names of releases, too."""
    with pytest.raises(ConfigErrors) as refused:
        parse_app_file("x: 1", "/files/web/releases/a\nroot: all is well\udcff/appagent.yaml")
    (line,) = refused.value.errors
    assert line.isprintable()
    assert line.startswith("/files/web/releases/a\\nroot: all is well\\udcff/appagent.yaml:1: x: ")
