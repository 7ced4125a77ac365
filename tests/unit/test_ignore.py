"""Ignore lines mean what they mean to git, which is asked."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from appagent.core.ignore import BUILT_IN, effective, ignore_id, matcher
from tests.share_watcher import GIT

LINES = [
    ["/build/"],
    ["*.tmp", "!keep.tmp"],
    ["docs/**/x"],
    ["a/**"],
    ["**/foo/bar"],
    ["[abc].txt", "[!a-c].md", "[^x]y"],
    ["\\#literal", "\\!also"],
    ["cache"],
    ["*"],
    ["/*", "!/lib"],
    ["a/*/c"],
    ["lib/*.py"],
    ["x?z"],
    ["trailing   ", "kept\\ "],
    ["[]a]q", "[]-a]", "[a", "[!]a]z"],
    ["a**b"],
    ["**"],
    ["/**/z"],
]
PATHS = [
    "build",
    "sub/build",
    "a.tmp",
    "keep.tmp",
    "docs/x",
    "docs/a/b/x",
    "a",
    "a/b",
    "a/b/c",
    "foo/bar",
    "q/foo/bar",
    "b.txt",
    "d.txt",
    "d.md",
    "a.md",
    "ay",
    "xy",
    "#literal",
    "!also",
    "cache",
    "x/cache",
    "lib",
    "lib/a.py",
    "lib/sub/a.py",
    "xyz",
    "x/z",
    "trailing",
    "kept ",
    "]q",
    "]",
    "[a",
    "axxb",
    "z",
    "q/z",
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ignore")
    for kind in ("files", "dirs"):
        subprocess.run(["git", "init", "-q", path / kind], check=True, env=GIT)
    return path


def by_git(repository: Path, lines: list[str], paths: list[str]) -> set[str]:
    """The paths that git ignores. One with a slash at its end is a directory."""
    files = {path for path in paths if not path.endswith("/")}
    dirs = {path.rstrip("/") for path in paths if path.endswith("/")}
    for path in dirs:
        (repository / "dirs" / path).mkdir(parents=True, exist_ok=True)
    found = ignored_in(repository / "dirs", lines, dirs)
    return ignored_in(repository / "files", lines, files) | {f"{path}/" for path in found}


def ignored_in(work_tree: Path, lines: list[str], paths: set[str]) -> set[str]:
    (work_tree / ".git" / "info" / "exclude").write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "-z", "--stdin"],
        cwd=work_tree,
        input="\0".join(paths),
        capture_output=True,
        text=True,
        check=False,
        env=GIT,
    )
    assert done.returncode in (0, 1), done.stderr
    return set(filter(None, done.stdout.split("\0")))


def by_us(lines: list[str], paths: list[str]) -> set[str]:
    """The same by our matcher, which is only asked about what lies in no ignored directory."""
    ignored = matcher(lines, built_in=())
    found = set()
    for path in paths:
        parts = path.rstrip("/").split("/")
        above = ["/".join(parts[:at]) for at in range(1, len(parts))]
        if any(ignored(one, bool(one)) for one in above) or ignored(
            path.rstrip("/"), path.endswith("/")
        ):
            found.add(path)
    return found


@pytest.mark.parametrize("lines", LINES, ids=" ".join)
def test_lines_mean_what_they_mean_to_git(repository: Path, lines: list[str]) -> None:
    paths = PATHS + [f"{path}/" for path in PATHS]
    assert by_us(lines, paths) == by_git(repository, lines, paths)


PIECES = st.sampled_from(["a", "b", "*", "?", "**", "/", "[ab]", "[!a]", "."])
LINE = st.lists(PIECES, min_size=1, max_size=5).map("".join)
PATH = st.lists(
    st.sampled_from(["a", "b", "ab", "a.b", "."]).filter(lambda part: part != "."),
    min_size=1,
    max_size=3,
).map("/".join)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(lines=["a**/b"], paths=["ab", "a/b", "a/a/b", "ab/b", "aba"])
@example(lines=["a**/**"], paths=["a", "ab", "b/a"])
@example(lines=["*", "!/a**"], paths=["a", "ab/b", "b/a"])
@example(lines=["***/b"], paths=["b", "a/b", "a/a/b"])
@given(lines=st.lists(LINE, min_size=1, max_size=3), paths=st.lists(PATH, min_size=1, max_size=6))
def test_any_lines_mean_what_they_mean_to_git(
    repository: Path, lines: list[str], paths: list[str]
) -> None:
    both = sorted({*paths, *(f"{path}/" for path in paths)})
    assert by_us(lines, both) == by_git(repository, lines, both)


@pytest.mark.parametrize(
    "path",
    [
        ".git",
        "lib/node_modules/",
        "__pycache__/",
        "a/b.pyc",
        ".deploying",
        "x~",
        ".a.swp",
        "#x#",
        ".#x",
        "app.log",
        "run/app.pid",
        "app.sock",
        ".nfs0000000001",
    ],
)
def test_what_no_release_is_made_of_is_built_in(path: str) -> None:
    assert matcher([])(path.rstrip("/"), path.endswith("/"))


@pytest.mark.parametrize(
    "path", ["Makefile", "lib/node_modules", "logs/", "a.swift", "build/", "x.login"]
)
def test_what_may_be_part_of_a_release_is_not_built_in(path: str) -> None:
    assert not matcher([])(path.rstrip("/"), path.endswith("/"))


def test_a_line_can_take_back_what_is_built_in() -> None:
    assert by_us(["node_modules/"], ["node_modules/"])
    ignored = matcher(["!node_modules/"])
    assert not ignored("node_modules", "node_modules" in BUILT_IN[3])


def test_any_bytes_are_a_line() -> None:
    for line in ("[", "[z-a]", "\\", "[[]", "[a&&b]", "(", "+", "a{2}", "\udcff*", "[!", "[]"):
        ignored = matcher([line, "x"])
        for path in ("x", "\udcff"):
            assert ignored(path, path.endswith("/")) or path != "x"


WORST = {
    "stars": ("*a" * 400 + "b", "a" * 255),
    "stars and any letters": ("*?" * 400 + "b", "a" * 255),
    "directories": ("**/a/" * 190 + "b", "a/" * 128 + "a"),
    "directories of any name": ("**/*/" * 190 + "b", "a/" * 128 + "a"),
    "both": ("**/*a*a*a*a*ab/" * 60 + "b", ("a" * 250 + "/") * 100 + "a"),
    "a row of **": ("**/" * 300 + "b", "a/" * 128 + "a"),
}


@pytest.mark.parametrize("case", WORST)
def test_no_line_takes_longer_than_it_is_long(case: str) -> None:
    line, path = WORST[case]
    # In a process of its own: what tries every way to match does not come back, nor does it let
    # anything else run.
    code = "import sys; from appagent.core.ignore import matcher; m = matcher([sys.argv[1]])\n"
    code += "print([m(sys.argv[2] + str(n), False) for n in range(20)].count(True))"
    done = subprocess.run(
        [sys.executable, "-c", code, line, path],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "0\n"


def test_the_id_is_that_of_the_lines_that_count() -> None:
    assert ignore_id([]) == ignore_id(["", "# a comment", "   "])
    assert ignore_id(["a"]) == ignore_id(["a  "])
    assert ignore_id(["a"]) != ignore_id(["b"])
    assert ignore_id(["a", "!b"]) != ignore_id(["!b", "a"])
    assert effective(["a\\ ", "#x", "!", "b\t"]) == ["a\\ ", "b"]


def test_built_in_lines_belong_to_the_scheme() -> None:
    # Whoever changes them makes a new scheme in share/scan.py; then change the number here too.
    assert ignore_id(BUILT_IN) == "b42de022"
