"""Which filesystem a path lies on, and which watcher looks at it."""

from __future__ import annotations

import pytest

from appagent.host.mounts import Mounts, real
from appagent.share.watchlist import group
from tests.share_disk import LOCAL_ROOT, mounted


def no_link(_path: str) -> str | None:
    return None


def test_the_longest_mount_point_holds_a_path() -> None:
    mounts = Mounts(mounted("files", "files/inner"))
    assert mounts.holding("/files/production").point == "/files"
    assert mounts.holding("/files/inner").point == "/files/inner"
    assert mounts.holding("/filesystem").point == "/"
    assert mounts.holding("/").fstype == "ext4"


def test_a_later_mount_covers_an_earlier_one() -> None:
    table = mounted("files") + "99 40 0:9 / /files rw - ext4 /dev/vdb rw\n"
    assert not Mounts(table).holding("/files/a").is_share


@pytest.mark.parametrize(
    "fstype", ["fuse.glusterfs", "nfs", "nfs4", "ceph", "fuse.sshfs", "9p", "cifs", "virtiofs"]
)
def test_what_others_write_too_is_a_share(fstype: str) -> None:
    table = LOCAL_ROOT + f"40 27 0:40 / /files rw shared:1 master:2 - {fstype} x rw\n"
    assert Mounts(table).holding("/files").is_share


@pytest.mark.parametrize("fstype", ["ext4", "xfs", "btrfs", "overlay", "tmpfs", "fuseblk", "zfs"])
def test_a_local_disk_is_none(fstype: str) -> None:
    table = LOCAL_ROOT + f"40 27 0:40 / /files rw - {fstype} x rw\n"
    assert not Mounts(table).holding("/files").is_share


def test_odd_letters_in_a_mount_point_are_understood() -> None:
    table = LOCAL_ROOT + r"40 27 0:40 / /a\040b\134c rw - nfs4 srv:/x\040y rw" + "\n"
    mount = Mounts(table).holding("/a b\\c/d")
    assert (mount.point, mount.source) == ("/a b\\c", "srv:/x y")


def test_lines_that_nobody_understands_are_left_out() -> None:
    mounts = Mounts("\n1 2\nx y z / /files rw - nfs a b\n" + LOCAL_ROOT)
    assert mounts.holding("/files").point == "/"
    assert Mounts("").holding("/files").fstype == ""


def test_mount_points_inside_a_directory_are_known() -> None:
    mounts = Mounts(mounted("files", "files/a/b", "filesystem"))
    assert mounts.below("/files") == {"/files/a/b"}
    assert "/files" in mounts.below("/")


def test_links_are_followed_as_far_as_they_are_local() -> None:
    links = {"/srv/www": "../files/www", "/files/www": "/nowhere", "/loop": "/loop"}
    requested: list[str] = []

    def link(path: str) -> str | None:
        requested.append(path)
        return links.get(path)

    assert real("/srv/www/app", Mounts(mounted("files")), link) == "/files/www/app"
    assert not [path for path in requested if path.startswith("/files")]
    assert real("/srv/./www", Mounts(LOCAL_ROOT), link) == "/nowhere"
    assert real("/loop/x", Mounts(LOCAL_ROOT), link) == "/loop/x"


def test_each_share_has_a_watcher_and_all_local_paths_have_one() -> None:
    table = mounted("files", "other")
    paths = ["/files/production", "/srv/apps", "/other/x", "/files/config/common.env", "/etc/env"]
    assert group(table, paths, no_link) == {
        "/files": ("/files/production", "/files/config/common.env"),
        "": ("/srv/apps", "/etc/env"),
        "/other": ("/other/x",),
    }


def test_a_local_link_to_a_share_belongs_to_the_share() -> None:
    links = {"/srv/www": "/files/www"}
    assert group(mounted("files"), ["/srv/www"], links.get) == {"/files": ("/srv/www",)}


def test_a_share_that_is_not_mounted_is_local() -> None:
    assert group(LOCAL_ROOT, ["/files/production"], no_link) == {"": ("/files/production",)}
