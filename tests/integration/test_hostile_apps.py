"""Hostile apps before a real agent: each is refused with its line, none runs, and others deploy.

What a Makefile here could run by being read alone leaves a mark, with the user that it ran as. One
agent sees all of them at once; what is refused by the run itself is in test_trust.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.node import GitApp, Node, SymlinkApp, TreeApp, node, wait_until

ROOT = os.geteuid() == 0
# By being read, by remaking what it includes, and by each of its targets.
EVIL = """\
X := $(shell id -u > {marks}/$(notdir {name})-shell)
-include more.mk
more.mk: always
\t@id -u > {marks}/{name}-remade
always:
.PHONY: always build install start restart stop check
build install start restart stop check:
\t@id -u > {marks}/{name}-$@
"""
MORE = "Y := $(shell id -u > {marks}/{name}-included)\n"
BOMB = "a: &a [x, x, x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}, *{old}, *{old}]\n"
    for old, new in zip("abcdefghijklmnop", "bcdefghijklmnopq", strict=True)
)
GOOD = "ok"


@dataclass(frozen=True)
class Case:
    """A name, what is done to its directory, and what `status` must say."""

    name: str
    spoil: Callable[[Path, Node], object]
    says: str
    root: bool = False  # only root can set it up


def settings(text: str) -> Callable[[Path, Node], object]:
    """Put the app's own settings there."""
    return lambda app, _: (app / "appagent.yaml").write_text(text)


def instead(name: str, make: Callable[[Path], object]) -> Callable[[Path, Node], object]:
    """Put something else in the place of a file of the app."""

    def spoil(app: Path, _: Node) -> None:
        (app / name).unlink(missing_ok=True)
        make(app / name)

    return spoil


def env(make: Callable[[Path], object]) -> Callable[[Path, Node], object]:
    """Put something in the place of the app's env file."""
    return lambda app, made: make(made.env / f"{app.name}.env")


def head(git_dir: Path, ref: str) -> None:
    """Have HEAD name a ref."""
    (git_dir / "HEAD").write_text(f"ref: {ref}\n")


def git(make: Callable[[Path], object]) -> Callable[[Path, Node], object]:
    """Make a git directory with something odd in it."""

    def spoil(app: Path, _: Node) -> None:
        (app / ".git").mkdir()
        head(app / ".git", "refs/x")
        make(app / ".git")

    return spoil


def huge(path: Path) -> None:
    """1 GB, of which nothing is on the disk."""
    with path.open("wb") as file:
        file.truncate(1 << 30)


def device(path: Path) -> None:
    """As /dev/zero."""
    os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))


def nothing(_app: Path, _node: Node) -> None:
    """Its name is enough."""


def half_pushed(app: Path, _: Node) -> None:
    """A push that is under way, or has died."""
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "1"]):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(app), *who, *words], check=True)
    (app / ".git/index.lock").touch()


CASES = [
    # names
    Case("-f", nothing, "the name begins with '-'"),
    Case("$(id)", nothing, "the name begins with '$'"),
    Case("a$(id)", nothing, "the name has '$' in it"),
    Case("a b", nothing, "the name has ' ' in it"),
    Case("a;id", nothing, "the name has ';' in it"),
    Case("a\nb", nothing, "/a b: the name has '\\n' in it"),
    Case("a=b", nothing, "the name has '=' in it"),
    Case("a%b", nothing, "the name has '%' in it"),
    Case("x" * 255, nothing, "the name has 255 characters; allowed are 64"),
    # the app's own settings
    Case(
        "runs-as", settings("run_as: root\n"), "appagent.yaml:1: run_as: cannot be set by the app"
    ),
    Case(
        "trusts",
        settings("settle: 1s\ntrusted_owners: [x]\n"),
        "2: trusted_owners: cannot be set by",
    ),
    Case("bomb", settings(BOMB), "aliases (*a) are not allowed in this file"),
    Case("object", settings("ignore: !!python/object/new:os.system [id]\n"), "yaml:1: ignore: "),
    Case("stars", settings(f"ignore: ['{'*a' * 14}*b']\n"), "has 15 stars; in an app's own file"),
    Case("no-yaml", settings("settle: [\n"), "invalid YAML"),
    Case("huge", instead("appagent.yaml", huge), "appagent.yaml is larger than 64 KiB"),
    Case("pipe", instead("appagent.yaml", os.mkfifo), "appagent.yaml is not a regular file"),
    Case("zeros", instead("appagent.yaml", device), "yaml is not a regular file", root=True),
    Case(
        "passwd",
        instead("appagent.yaml", lambda it: it.symlink_to("/etc/passwd")),
        "/passwd/appagent.yaml is not a regular",
    ),
    # the Makefile
    Case("mk-pipe", instead("Makefile", os.mkfifo), "Makefile is a FIFO"),
    Case("mk-zeros", instead("Makefile", device), "Makefile is a device", root=True),
    Case("mk-out", instead("Makefile", lambda it: it.symlink_to("../../out")), "leads to"),
    Case("mk-all", lambda app, _: (app / "Makefile").chmod(0o666), "changed by everyone"),
    # the directory
    Case("all", lambda app, _: app.chmod(0o777), "can be changed by everyone"),
    Case("strange", lambda app, _: os.chown(app, 65534, -1), "belongs to nobody", root=True),
    # env files
    Case("env-pipe", env(os.mkfifo), "env-pipe.env is not a regular file"),
    Case("env-zeros", env(device), "env-zeros.env is not a regular file", root=True),
    Case("env-huge", env(huge), "env-huge.env is larger than"),
    Case("env-dir", env(os.mkdir), "env-dir.env is not a regular file"),
    Case(
        "env-out",
        env(lambda it: it.symlink_to("/proc/kmsg")),
        "env-out.env leads to /proc/kmsg, which is neither in",
    ),
    Case("env-words", env(lambda it: it.write_text("A=1\nb c\n")), "words.env:2: there is no ="),
    # git files
    Case("git-out", git(lambda it: (it / "refs").symlink_to("/dev")), "git/refs/x leads to /dev,"),
    Case("git-file", instead(".git", lambda it: it.write_text("gitdir: /etc\n")), "leads to /etc,"),
    Case("git-pipe", git(lambda it: os.mkfifo(it / "packed-refs")), "refs is not a regular file"),
    Case("git-deep", git(lambda it: head(it, "refs" + "/a" * 1500)), "ref of more than 255 bytes"),
    # half there
    Case("half-copied", lambda app, _: (app / ".deploying").touch(), ".deploying exists"),
    Case("half-pushed", half_pushed, ".git/index.lock exists"),
]


@pytest.fixture(scope="module")
def zoo() -> Iterator[Node]:
    """A node with all of them, and with a good one."""
    base = Path(tempfile.mkdtemp(prefix="appagent-hostile-"))
    base.chmod(0o755)
    try:
        user = {"run_as": "daemon"} if ROOT else {}
        with node(base, interval="50ms", scan_interval="200ms", **user) as made:
            made.defaults["retry"] = {"first": "600s", "max": "600s"}
            made.settings["parallel_apps"] = 8
            made.write_config()
            for directory in (made.root, made.env):
                directory.chmod(0o755)
            made.calls_file.chmod(0o666)
            (base / "marks").mkdir()
            (base / "marks").chmod(0o777)
            (base / "out").write_text(EVIL.format(marks=base / "marks", name="out"))
            for case in CASES:
                if not case.root or ROOT:
                    case.spoil(evil(made, case.name), made)
            made.start()
            yield made
            made.clean_up()
    finally:
        shutil.rmtree(base)


def evil(made: Node, name: str) -> Path:
    """Put an app on the root that would leave marks."""
    app = made.root / name
    app.mkdir()
    word = name if name.replace("-", "").isalnum() and len(name) < 64 else "odd"
    (app / "Makefile").write_text(EVIL.format(marks=made.base / "marks", name=word))
    (app / "more.mk").write_text(MORE.format(marks=made.base / "marks", name=word))
    return app


def marks(made: Node) -> list[str]:
    """What has run, and as whom."""
    return [f"{it.name}: {it.read_text().strip()}" for it in (made.base / "marks").iterdir()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name[:20])
def test_it_is_refused_with_its_line(zoo: Node, case: Case) -> None:
    """`status` says why, and nothing of it has run."""
    if case.root and not ROOT:
        pytest.skip("needs root to set it up")

    def said() -> list[str]:
        shown = zoo.command("status").stdout
        return [line for line in shown.splitlines() if case.says in line]

    wait_until(said, f"status says {case.says}")
    assert zoo.app(case.name).get("state") in {None, "blocked", "refused", "settling"}
    assert marks(zoo) == []


def test_other_apps_deploy_on(zoo: Node) -> None:
    """New, changed, and changed again, in every layout, beside all of them."""
    apps = [kind(zoo, f"{GOOD}-{kind.layout}") for kind in (SymlinkApp, GitApp, TreeApp)]
    for version in ("1", "2", "3"):
        for app in apps:
            if app.path.is_dir() and ROOT:
                app.path.chmod(0o755)
            app.deploy(version)

        def there(version: str = version) -> bool:
            ends = {(call.app, call.target, call.version) for call in zoo.calls(what="end")}
            return all((app.name, "check", version) in ends for app in apps)

        wait_until(there, f"version {version} of each is deployed")
    assert marks(zoo) == []


def test_what_is_held_is_not_even_read(zoo: Node) -> None:
    """A hostile release of an app that is held leaves no mark; without the hold it would."""
    app = TreeApp(zoo, "held")
    app.deploy("1")
    zoo.wait_for("held", "ok")
    zoo.ask("hold", app="held", why="somebody looks at it")
    app.deploy("2", EVIL.format(marks=zoo.base / "marks", name="held"))

    def seen() -> bool:
        shown = zoo.app("held")
        return bool(shown["seen"]["version"]["release"] != shown["applied"]["installed"])

    wait_until(seen, "the new release is seen")
    other = TreeApp(zoo, "beside-held")
    other.deploy("1")
    zoo.wait_for("beside-held", "ok")
    assert marks(zoo) == []
    assert zoo.app("held")["state"] == "held"
    with contextlib.suppress(FileNotFoundError):
        (app.path / "more.mk").unlink()
    zoo.ask("resume", app="held")
    user = "1" if ROOT else str(os.geteuid())
    wait_until(lambda: f"held-install: {user}" in marks(zoo), "the trap works, and not as root")
    assert {mark.rpartition(" ")[2] for mark in marks(zoo)} == {user}
