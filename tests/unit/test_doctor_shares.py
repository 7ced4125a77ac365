"""How a share is mounted, and what its client reports: texts → findings."""

import pytest

from appagent.doctor import gluster, mount_options
from appagent.doctor.finding import Finding, Level

TABLE = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:50 / /files rw,relatime shared:1 - fuse.glusterfs fs1:/files rw,user_id=0,max_read=131072
31 22 0:51 / /my\\040share ro,noexec - nfs4 fs1:/x rw,hard,acregmin=3,acdirmax=60
"""
GOOD = "fs1:/files /files glusterfs defaults,_netdev,nofail,backup-volfile-servers=fs2:fs3 0 0"


def bad(findings: list[Finding]) -> list[Finding]:
    return [one for one in findings if one.level in (Level.PROBLEM, Level.WARNING)]


def judged(line: str, *, systemd: bool = True) -> list[Finding]:
    (found,) = mount_options.fstab(line)
    return list(mount_options.judge_entry("share /files", found, systemd=systemd))


# --- the mount table -----------------------------------------------------------------------------


def test_options_in_force_are_those_of_the_mount_and_of_its_filesystem() -> None:
    assert mount_options.in_force(TABLE, "/files")["user_id"] == "0"
    found = mount_options.in_force(TABLE, "/my share")
    assert "noexec" in found
    assert found["acdirmax"] == "60"
    assert mount_options.in_force(TABLE, "/other") == {}
    assert mount_options.in_force("no line of the kernel\n\n- - - - - - -\n", "/") == {}


def test_a_mount_with_the_usual_options_is_fine() -> None:
    assert list(mount_options.judge_in_force("x", mount_options.in_force(TABLE, "/files"))) == []


@pytest.mark.parametrize(
    ("option", "level"),
    [("ro", Level.WARNING), ("noexec", Level.WARNING), ("soft", Level.NOTE)]
    + [(late, Level.NOTE) for late in ("actimeo=30", "acdirmax=60", "acregmax=5")],
)
def test_options_in_force_that_hurt(option: str, level: Level) -> None:
    found = list(mount_options.judge_in_force("x", mount_options.options(f"rw,{option}")))
    assert [one.level for one in found] == [level]


# --- fstab and units -----------------------------------------------------------------------------


def test_a_good_line_is_fine() -> None:
    assert [one.level for one in judged(GOOD)] == [Level.OK]


def test_fstab_is_read_past_comments_blanks_and_escapes() -> None:
    text = f"# {GOOD}\n\nbroken line\nfs1:/x  /my\\040share/ nfs rw 0 0\n{GOOD}\n"
    assert [entry.point for entry in mount_options.fstab(text)] == ["/my share", "/files"]


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        (",backup-volfile-servers=fs2:fs3", "", "backup-volfile-servers"),
        ("nofail", "nofail,noauto", "noauto"),
        ("nofail", "nofail,attribute-timeout=60", "attribute-timeout"),
        ("nofail", "nofail,entry-timeout=600", "entry-timeout"),
        ("nofail", "nofail,negative-timeout=5", "negative-timeout"),
        ("nofail", "nofail,direct-io-mode=enable", "direct-io-mode"),
        ("nofail", "nofail,fopen-keep-cache", "fopen-keep-cache"),
        ("nofail", "nofail,kernel-writeback-cache=yes", "kernel-writeback-cache"),
        ("nofail", "nofail,auto-invalidation=no", "auto-invalidation"),
        ("nofail", "nofail,use-readdirp=no", "use-readdirp"),
        ("nofail", "nofail,enable-ino32", "enable-ino32"),
    ],
)
def test_lines_that_hurt(old: str, new: str, word: str) -> None:
    found = bad(judged(GOOD.replace(old, new)))
    assert len(found) == 1
    assert word in found[0].text
    assert "/etc/fstab" in found[0].text
    assert found[0].do


@pytest.mark.parametrize(
    "option",
    [
        "attribute-timeout=1",
        "entry-timeout=0.5",
        "entry-timeout=x",
        "direct-io-mode=disable",
        "fopen-keep-cache=no",
        "use-readdirp=yes",
        "auto-invalidation=yes",
        "kernel-writeback-cache=off",
        "log-level=WARNING",
    ],
)
def test_options_that_do_not_hurt(option: str) -> None:
    assert bad(judged(GOOD.replace("nofail", f"nofail,{option}"))) == []


def test_several_servers_in_the_source_need_no_backups() -> None:
    line = GOOD.replace("fs1:", "fs1,fs2:").replace(",backup-volfile-servers=fs2:fs3", "")
    assert bad(judged(line)) == []


def test_without_netdev_it_depends_on_who_mounts() -> None:
    line = GOOD.replace("_netdev,", "")
    assert bad(judged(line)) == []  # systemd knows that glusterfs needs the network
    assert len(bad(judged(line, systemd=False))) == 1
    assert len(bad(judged("x /files fuse.other nofail 0 0"))) == 1


def test_an_automount_may_be_noauto() -> None:
    assert bad(judged(GOOD.replace("nofail", "nofail,noauto,x-systemd.automount"))) == []


def test_a_mount_unit_is_read_like_a_line_of_fstab() -> None:
    text = (
        "# /etc/systemd/system/files.mount\n[Mount]\nWhat=fs1:/files\nWhere=/files\n"
        "Type=glusterfs\nOptions=_netdev,backup-volfile-servers=fs2\n"
    )
    entry = mount_options.unit(text)
    assert entry is not None
    assert (entry.point, entry.file) == ("/files", "/etc/systemd/system/files.mount")
    assert bad(list(mount_options.judge_entry("x", entry, systemd=True))) == []
    assert mount_options.unit("# /x.mount\n[Mount]\nWhere=/files\n") is None


def test_the_line_that_covers_a_root_is_the_nearest() -> None:
    lines = mount_options.fstab(
        "a / ext4 rw 0 0\nb /files nfs rw 0 0\nc /files/production nfs rw 0 0\n"
    )
    covering = mount_options.covering(lines, "/files/production/x")
    assert covering is not None
    assert covering.source == "c"
    assert mount_options.covering(lines, "/filesystem") is None
    assert mount_options.covering(lines, "/") is None


# --- what GlusterFS's client reports ------------------------------------------------------------


def graph(*, md_cache: str = "", extra: str = "", client: str = "42", utime: bool = True) -> str:
    times = "volume f-utime\n    type features/utime\n    option noatime on\nend-volume\n"
    return f"""\
volume files-client-0
    type protocol/client
    option client-version 10.3
    option ping-timeout {client}
    option remote-host fs1
end-volume

volume files-replicate-0
    type cluster/replicate
    option afr-pending-xattr files-client-0,files-client-1,files-client-2
    option quorum-type auto
    subvolumes files-client-0 files-client-1 files-client-2
end-volume

{times if utime else ""}
{extra}
volume files-md-cache
    type performance/md-cache
{md_cache}
    subvolumes files-quick-read
end-volume
"""


def volume(text: str) -> list[Finding]:
    return list(gluster.judge_graph("share /files", gluster.volfile(text)))


def test_a_graph_is_read() -> None:
    found = {one.name: one for one in gluster.volfile(graph())}
    assert found["files-client-0"].type == "protocol/client"
    assert found["files-client-0"].options["ping-timeout"] == "42"
    assert len(found["files-replicate-0"].below) == 3


def test_a_volume_as_it_comes_is_fine() -> None:
    assert [one.level for one in volume(graph())] == [Level.OK]


def test_the_group_metadata_cache_is_a_warning() -> None:
    options = "    option md-cache-timeout 600\n    option cache-invalidation on"
    found = volume(graph(md_cache=options))
    assert [one.level for one in found] == [Level.WARNING]
    assert "metadata-cache" in found[0].text
    assert "600" in found[0].text


def test_a_long_metadata_timeout_alone_is_a_warning() -> None:
    found = volume(graph(md_cache="    option md-cache-timeout 30"))
    assert [one.level for one in found] == [Level.WARNING]
    assert "30 without invalidation" in found[0].text


def test_nl_cache_and_switched_off_ctime_are_warnings() -> None:
    extra = "volume files-nl-cache\n    type performance/nl-cache\nend-volume\n"
    found = volume(graph(extra=extra, utime=False))
    assert [one.level for one in found] == [Level.WARNING, Level.WARNING]
    assert "nl-cache" in found[0].text
    assert "features.ctime" in found[1].text


@pytest.mark.parametrize(("timeout", "level"), [("120", Level.WARNING), ("3", Level.NOTE)])
def test_a_ping_timeout_that_is_long_or_short(timeout: str, level: Level) -> None:
    assert [one.level for one in volume(graph(client=timeout))] == [level]


def test_two_copies_without_quorum_are_a_note() -> None:
    text = graph().replace("    option quorum-type auto\n", "")
    text = text.replace("files-client-1 files-client-2\nend", "files-client-1\nend")
    assert [one.level for one in volume(text)] == [Level.NOTE]


def test_any_text_at_all_is_parsed_as_a_graph() -> None:
    for text in ("", "volume", "option a", "end-volume\nvolume x y z\n\0", "type\nsubvolumes"):
        assert gluster.volfile(text) in ([], [gluster.Translator("", "", {}, [])])


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ('{ \n  "Package Version": "10.3"\n}', Level.OK),
        ("glusterfs 10.5\nRepository revision: …", Level.OK),
        ('{"Package Version": "11.1"}', Level.NOTE),
        ('{"Package Version": "3.12.2"}', Level.WARNING),
        ("", Level.NOTE),
        ("[]", Level.NOTE),
        ("{}", Level.NOTE),
    ],
)
def test_versions_of_the_client(text: str, level: Level) -> None:
    assert gluster.judge_version("share /files", text).level is level
