"""What is refused as a whole: many errors at once, several files, bombs, and what is not a file."""

from __future__ import annotations

import os
import time
import tracemalloc
from pathlib import Path

import pytest
import yaml

from appagent.config import ConfigErrors, Machine, parse_app_file, yaml_tree
from tests.config_texts import GOOD, errors_of, written

# As long as a line can be; the parser without C is slow, and is tried with less.
SIZES = {"CSafeLoader": 1_000_000, "SafeLoader": 40_000}
LOADERS = [name for name in SIZES if hasattr(yaml, name)]
MOST_SECONDS = 10.0
MOST_BYTES = 100_000_000


def test_all_errors_come_at_once_in_the_order_of_the_lines(tmp_path: Path) -> None:
    """Spelling, values, rules between keys and other files: nothing hides anything else."""
    main = written(
        tmp_path,
        "nod: app1\n"
        "roots:\n"
        "  - path: /files/production\n"
        "    intervall: 250ms\n"
        "    interval: 250\n"
        "defaults:\n"
        "  settle: 2s\n"
        "  settle: 3s\n"
        "  retry: {first: 1h}\n"
        "  rollout: {parallel: 200%}\n",
    )
    written(tmp_path, "state_dir: x\nlog: {levle: info}\n", "conf.d/10-local.yaml")
    assert [line.rsplit(": ", 1)[0].split(": ")[:2] for line in errors_of(main)] == [
        ["appagent.yaml:1", "nod"],
        ["appagent.yaml:3", "roots[/files/production].run_as"],
        ["appagent.yaml:4", "roots[0].intervall"],
        ["appagent.yaml:5", "roots[0].interval"],
        ["appagent.yaml:8", "defaults.settle"],
        ["appagent.yaml:9", "defaults.retry"],
        ["appagent.yaml:10", "defaults.rollout.parallel"],
        ["conf.d/10-local.yaml:1", "state_dir"],
        ["conf.d/10-local.yaml:2", "log.levle"],
    ]


def test_a_later_file_does_not_hide_what_is_wrong_in_an_earlier_one(tmp_path: Path) -> None:
    """A value that is overridden is still checked."""
    main = written(tmp_path, GOOD + "node: /\n")
    written(tmp_path, "node: app1\n", "conf.d/a.yaml")
    assert errors_of(main)[0].startswith("appagent.yaml:4: node: ")


def test_a_broken_file_does_not_hide_what_is_wrong_in_the_others(tmp_path: Path) -> None:
    """One file with invalid YAML, and another with a wrong value."""
    main = written(tmp_path, GOOD + "node: /\n")
    written(tmp_path, "#\nnode: [\n", "conf.d/a.yaml")
    first, second = errors_of(main)
    assert first.startswith("appagent.yaml:4: node: ")
    assert second.startswith("conf.d/a.yaml:2: invalid YAML")


def test_overlapping_roots_of_two_files_name_the_later_line(tmp_path: Path) -> None:
    """What concerns two files is reported at the line of the second."""
    main = written(tmp_path, GOOD)
    written(tmp_path, "\nroots:\n  - {path: /files, run_as: a}\n", "conf.d/a.yaml")
    (line,) = errors_of(main)
    assert line.startswith("conf.d/a.yaml:3: roots[/files].path: overlaps")


def test_a_great_many_errors_are_cut_short(tmp_path: Path) -> None:
    """A file full of nonsense does not fill the journal."""
    main = written(tmp_path, GOOD + "".join(f"x{n}: 1\n" for n in range(500)))
    lines = errors_of(main)
    assert len(lines) == 101
    assert lines[-1] == "… and 400 more"


def bomb() -> str:
    """Write ten lines that stand for a thousand million maps."""
    lines = ["apps: &a0 {x: {}}"]
    lines += [
        f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]"  # each line ten times the one before
        for n in range(1, 10)
    ]
    return "\n".join(lines)


def test_a_yaml_bomb_is_refused_by_counting(tmp_path: Path) -> None:
    """The line where it grows too large is named."""
    (line,) = errors_of(written(tmp_path, GOOD + bomb()))
    assert line.startswith("appagent.yaml:8: contains more than 20000 values")


def test_an_app_may_not_use_aliases_at_all() -> None:
    with pytest.raises(ConfigErrors) as refused:
        parse_app_file(bomb(), "web/appagent.yaml")
    (line,) = refused.value.errors
    assert line == "web/appagent.yaml:2: b1[0]: aliases (*a0) are not allowed in this file"


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    "piece",
    ["x", "[", "{a: ", "x, ", "- ", "? ", "a: ", "&a ", "*a ", "!t ", "'", "| ", "\\", "<<: "],
)
@pytest.mark.parametrize("before", ["node: ", "apps: {a: ["])
def test_a_line_of_a_megabyte_costs_little_time_and_memory(
    before: str, piece: str, loader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is made of, and with both parsers."""
    monkeypatch.setattr(yaml_tree, "LOADER", getattr(yaml, loader))
    line = before + piece * ((SIZES[loader] - len(before)) // len(piece))
    tracemalloc.start()
    began = time.process_time()
    try:
        errors = errors_of(written(tmp_path, GOOD + line))
        assert time.process_time() - began < MOST_SECONDS
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    assert sum(map(len, errors)) < 1000


def test_merge_keys_cannot_be_a_bomb(tmp_path: Path) -> None:
    """`<<` is counted like any other alias."""
    keys = ", ".join(f"k{n}: 1" for n in range(1000))
    many = ", ".join(["*a"] * 1000)
    (line,) = errors_of(written(tmp_path, GOOD + f"apps: &a {{{keys}}}\nx: {{<<: [{many}]}}\n"))
    assert "contains more than 20000 values" in line


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """Even if all of it is a comment."""
    (line,) = errors_of(written(tmp_path, GOOD + "#" * (1 << 20)))
    assert line == "appagent.yaml: is too large: more than 1048576 bytes"


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    """The path, and how to name another one."""
    (line,) = errors_of(tmp_path / "appagent.yaml")
    assert line.startswith("appagent.yaml: no such file; create it, or name another")


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    """A directory, a pipe, a loop of links and a device in the file's place."""
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    assert "got a directory" in errors_of(tmp_path / "directory")[0]
    assert "got a special file" in errors_of(tmp_path / "pipe")[0]
    assert "cannot be read" in errors_of(tmp_path / "loop")[0]
    assert "got a special file" in errors_of("/dev/zero")[0]
    assert "cannot be read" in errors_of(f"{tmp_path}/a\0b")[0]
    assert "no such file" in errors_of(f"{tmp_path}/a\udcff\n")[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    """The reason is the system's own."""
    path = written(tmp_path, GOOD)
    path.chmod(0)
    assert errors_of(path) == ("appagent.yaml: cannot be read: Permission denied",)


def test_what_cannot_be_read_in_conf_d_are_named(tmp_path: Path) -> None:
    """A directory, and a link to nowhere, with the right ending."""
    main = written(tmp_path, GOOD)
    (tmp_path / "conf.d" / "dir.yaml").mkdir(parents=True)
    (tmp_path / "conf.d" / "nowhere.yaml").symlink_to("/nowhere/at/all")
    assert errors_of(main) == (
        "conf.d/dir.yaml: expected a YAML file, got a directory",
        "conf.d/nowhere.yaml: no such file",
    )


def test_conf_d_that_is_no_directory_is_named(tmp_path: Path) -> None:
    """It is not passed over in silence."""
    main = written(tmp_path, GOOD)
    written(tmp_path, "", "conf.d")
    assert errors_of(main) == ("conf.d: cannot be listed: Not a directory",)


def test_a_host_name_that_cannot_be_the_node_asks_for_one(tmp_path: Path) -> None:
    """The name of the node becomes the name of a file."""
    (line,) = errors_of(written(tmp_path, GOOD), Machine(host="(none)", cores=1, root=True))
    assert line.startswith("appagent.yaml:1: node: is required, as the host name cannot")


def test_a_secret_address_is_not_repeated(tmp_path: Path) -> None:
    """The address of a chat is often a secret; the journal is not the place for it."""
    text = "notify: [{url: 'hooks.example/services/T0/B0/xyzzy', on: [failed]}]"
    (line,) = errors_of(written(tmp_path, GOOD + text))
    assert "xyzzy" not in line


def test_a_main_file_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    """What is wrong in conf.d is reported along with it."""
    main = written(tmp_path, b"\xff")
    written(tmp_path, "nod: a\n", "conf.d/a.yaml")
    first, second = errors_of(main)
    assert first == "appagent.yaml:1: is not UTF-8: byte 0xff"
    assert second.startswith("conf.d/a.yaml:1: nod: unknown key")
