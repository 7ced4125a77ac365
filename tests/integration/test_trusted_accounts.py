"""Whose files are run, as the users, groups and ACLs of the machine have it."""

from __future__ import annotations

import errno
import os
import pwd
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appagent.model.words import Layout, Outcome
from tests import running
from tests.running import Given, World

pytestmark = pytest.mark.skipif(not running.ROOT, reason="needs root to give files away")

HERE = Path(__file__).resolve().parents[2]
WWW, GAMES, BACKUP = (pwd.getpwnam(name).pw_uid for name in ("www-data", "games", "backup"))


@pytest.fixture
def world() -> Iterator[World]:
    with running.world() as made:
        yield made


# --- links that anybody can make -----------------------------------------------------------------


def sticky(world: World) -> Given:
    """Make a root like /tmp, with an app of www-data's in it."""
    release = world.release("1", "install start stop:\n\techo $$APP_NAME >>done\n")
    for path in (world.root / "web", *(world.root / "web").rglob("*")):
        os.chown(path, WWW, WWW, follow_symlinks=False)
    (release / "done").touch()
    (release / "done").unlink()
    world.root.chmod(0o1777)
    return replace(world.given, run_as="www-data")


@pytest.mark.parametrize("seen", [True, False], ids=["what is seen", "an earlier release"])
def test_nobody_makes_an_app_of_anothers_files_with_a_link(world: World, *, seen: bool) -> None:
    given = replace(sticky(world), seen=seen)
    release = world.root / "web" / "releases" / "1"
    link = world.root / "evil"
    link.symlink_to("web/releases/1")
    os.chown(link, BACKUP, BACKUP, follow_symlinks=False)
    ended = world.run("install", given, app="evil", layout=Layout.SYMLINK, release_dir=str(release))
    assert ended.outcome is Outcome.REFUSED
    assert f"{link} belongs to backup, who is not trusted" in ended.line
    assert not world.ran()


@pytest.mark.parametrize("whose", [0, WWW], ids=["root", "the user"])
def test_a_link_of_somebody_trusted_is_followed_in_a_sticky_root(world: World, whose: int) -> None:
    given = sticky(world)
    link = world.root / "more"
    link.symlink_to("web/releases/1")
    os.chown(link, whose, whose, follow_symlinks=False)
    ended = world.run(
        "install",
        given,
        app="more",
        layout=Layout.SYMLINK,
        release_dir=str(world.root / "web" / "releases" / "1"),
    )
    assert (ended.outcome, ended.line) == (Outcome.OK, "")


def test_an_env_file_in_a_sticky_directory_is_no_strangers_link(world: World) -> None:
    world.app("install:\n\ttouch done\n")
    env = world.base / "env"
    env.mkdir()
    env.chmod(0o1777)
    (env / "good.env").write_text("A=1\n")
    (env / "web.env").symlink_to("good.env")
    given = replace(world.given, run_as="root", env_files=(f"{env}/web.env",))
    assert world.run("install", given).outcome is Outcome.OK
    (world.root / "web" / "done").unlink()
    os.chown(env / "web.env", BACKUP, BACKUP, follow_symlinks=False)
    ended = world.run("install", given)
    assert ended.outcome is Outcome.REFUSED
    assert "web.env belongs to backup" in ended.line
    assert not world.ran()


# --- groups --------------------------------------------------------------------------------------


def with_accounts(line: str, program: str, where: Path) -> str:
    """Run a program of ours where /etc/passwd has one line more."""
    passwd = where / "passwd"
    passwd.write_text(Path("/etc/passwd").read_text() + line + "\n")
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec",
         'mount --bind "$0" /etc/passwd; exec "$@"', str(passwd), sys.executable, "-c", program],
        cwd=HERE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "mount: " in done.stderr or "unshare: " in done.stderr:
        pytest.skip(f"needs a mount of its own: {done.stderr}")
    return done.stdout + done.stderr


TRUSTED = """
from appagent.shim import users
print(sorted(users.trust_of(users.find_user("www-data", None), []).gids))
"""


@pytest.mark.parametrize(
    ("line", "trusted"),
    [
        ("mate:x:4001:4001::/tmp:/bin/sh", [0, 33]),
        ("mate:x:4001:33::/tmp:/bin/sh", [0]),
        ("mate:x:4001:0::/tmp:/bin/sh", [33]),
        ("www-too:x:33:33::/tmp:/bin/sh", [0, 33]),
    ],
)
def test_a_group_is_private_when_it_is_nobody_elses_primary_group_either(
    tmp_path: Path, line: str, trusted: list[int]
) -> None:
    assert with_accounts(line, TRUSTED, tmp_path) == f"{trusted}\n"


TOOR = """
from appagent.shim import users
from appagent.shim.trust import Refused
try:
    print("runs as", users.find_user("toor", None).uid)
except Refused as words:
    print(words)
"""


def test_root_runs_by_its_own_name_only(tmp_path: Path) -> None:
    said = with_accounts("toor:x:0:0::/root:/bin/sh", TOOR, tmp_path)
    assert said.startswith("run_as is toor, which is root by another name")


# --- ACLs ----------------------------------------------------------------------------------------

USER_OBJ, USER, GROUP_OBJ, MASK, OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
NOBODY = 0xFFFFFFFF


def let_write(path: Path, uid: int) -> None:
    """Let one user more write, as `setfacl -m u:UID:rwx` does; skip where there are no ACLs."""
    entries = [(USER_OBJ, 7, NOBODY), (USER, 7, uid), (GROUP_OBJ, 5, NOBODY), (MASK, 7, NOBODY)]
    acl = b"".join(struct.pack("<HHI", *one) for one in [*entries, (OTHER, 5, NOBODY)])
    try:
        os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + acl)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        pytest.skip("this filesystem has no ACLs")


@pytest.mark.parametrize("what", ["", "/web", "/web/Makefile", "/web/appagent.yaml"])
def test_what_an_acl_lets_another_write_is_refused(world: World, what: str) -> None:
    app = world.app("install:\n\ttouch done\n")
    (app / "appagent.yaml").write_text("settle: 1s\n")
    path = Path(f"{world.root}{what}")
    let_write(path, BACKUP)
    ended = world.run("install", replace(world.given, run_as="root"))
    assert ended.outcome is Outcome.REFUSED
    assert f"{path} can be changed by those whom its ACL names" in ended.line
    assert "setfacl -b it" in ended.line
    assert not world.ran()
    os.removexattr(path, "system.posix_acl_access")
    path.chmod(0o755)
    assert world.run("install", replace(world.given, run_as="root")).outcome is Outcome.OK


def test_run_as_owner_is_refused_where_an_acl_lets_another_choose_the_user(world: World) -> None:
    app = world.app("install:\n\ttouch done\n")
    os.chown(app, GAMES, pwd.getpwnam("games").pw_gid)
    let_write(app, BACKUP)
    ended = world.run("install", replace(world.given, run_as="owner"))
    assert ended.outcome is Outcome.REFUSED
    assert "others than games may write the app's directory (those whom its ACL" in ended.line
