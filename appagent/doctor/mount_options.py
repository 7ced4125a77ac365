"""How a share is mounted: the options in force, and those of the next boot.

Pure, over the mount table, /etc/fstab and the mount unit. appagent is measured with GlusterFS's
defaults (attributes and names are cached for one second); options that extend that delay deploys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from appagent.doctor.finding import Finding, note, ok, problem, warning
from appagent.doctor.unit import directives, section
from appagent.host.mounts import mounts_in
from appagent.host.units import mount_unit

_OCTAL = re.compile(r"\\([0-7]{3})")
_NO = ("no", "off", "false", "0", "disable")
_CACHED = 1.0  # s, GlusterFS's default
# What systemd takes for a network filesystem without _netdev.
_REMOTE = frozenset(
    """afs ceph cifs smb3 smbfs sshfs ncpfs ncp nfs nfs4 gfs gfs2 glusterfs gpfs lustre ocfs2 davfs
    orangefs pvfs2""".split()
)
_STALE = "a file that another node rewrote may be read with its old content"
# option of GlusterFS's client: whether it is bad when on, or when off; and why
_GLUSTER: Mapping[str, tuple[bool, str]] = {
    "direct-io-mode": (True, "files cannot be mapped as usual: git, sqlite and others fail"),
    "fopen-keep-cache": (True, _STALE),
    "kernel-writeback-cache": (True, "sizes and times of files are this node's own for a while"),
    "auto-invalidation": (False, _STALE),
    "use-readdirp": (False, "a listing has no status, and a scan costs a round trip per file"),
    "enable-ino32": (True, "two files may have the same inode number, and ids depend on it"),
}


class Entry(NamedTuple):
    """How something is to be mounted, by fstab or by a unit."""

    source: str
    point: str
    fstype: str
    options: Mapping[str, str]
    file: str = "/etc/fstab"


def options(text: str) -> dict[str, str]:
    """Parse a,b=c; an option without a value has an empty one."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {key: value for key, _, value in pairs}


def fstab(text: str) -> list[Entry]:
    """Parse /etc/fstab."""
    entries = []
    for line in text.splitlines():
        match line.split():
            case [source, point, fstype, has, *_] if not source.startswith("#"):
                source, point = (
                    _OCTAL.sub(lambda code: chr(int(code[1], 8)), one) for one in (source, point)
                )
                entries.append(Entry(source, point.rstrip("/") or "/", fstype, options(has)))
    return entries


def unit(cat: str) -> Entry | None:
    """Parse the mount unit that `systemctl cat` prints."""
    found = section(directives(cat), "Mount")
    if not {"What", "Where"} <= found.keys():
        return None
    what, where, fstype, has = (
        found[key].value if key in found else "" for key in ("What", "Where", "Type", "Options")
    )
    return Entry(what, where, fstype, options(has), found["What"].file)


def covering(entries: Sequence[Entry], path: str) -> Entry | None:
    """The entry with the longest mount point at or above a path, except / itself."""
    above = [one for one in entries if one.point != "/" and f"{path}/".startswith(f"{one.point}/")]
    return max(above, key=lambda one: len(one.point), default=None)


def in_force(mountinfo: str, point: str) -> dict[str, str]:
    """The options of a mount, as the kernel has them: of the mount and of its superblock."""
    found: dict[str, str] = {}
    for line in mounts_in(mountinfo):
        if line.point == point:
            found = options(line.disk_options) | options(line.options)
    return found


def judge_in_force(about: str, has: Mapping[str, str]) -> Iterator[Finding]:
    """Judge the options that a mount has now."""
    if "ro" in has:
        text = "is mounted read-only: neither targets nor the fleet can write there"
        yield warning(about, text, "mount it with rw, or set fleet: off")
    if "noexec" in has:
        text = "is mounted with noexec: a Makefile cannot run the programs of its release"
        yield warning(about, text, "mount it without noexec, unless no app needs that")
    if "soft" in has:
        text = "is mounted with soft: apps see an error when a server is slow"
        yield note(about, text, "mount it with hard; the agent works with both")
    late = [
        f"{key}={has[key]}"
        for key in ("acdirmax", "acregmax", "actimeo")
        if seconds(has.get(key, "")) > _CACHED
    ]
    if late:
        text = f"{', '.join(late)}: changes by others are seen up to that many seconds later"
        yield note(about, text, "mount it with actimeo=1")


def judge_entry(about: str, entry: Entry, *, systemd: bool) -> Iterator[Finding]:
    """Judge how it will be mounted at the next boot."""
    has, where = entry.options, f"in {entry.file}"
    bad = []
    if "_netdev" not in has:
        known = systemd and entry.fstype.removeprefix("fuse.") in _REMOTE
        text = f"no _netdev {where}: it may be mounted before the network is up"
        bad.append((note if known else warning)(about, text, f"add _netdev to the options {where}"))
    if "noauto" in has and not any(key.startswith("x-systemd.automount") for key in has):
        text = f"noauto {where}: it is not mounted at boot"
        bad.append(warning(about, text, "remove noauto"))
    if "nofail" not in has and entry.file == "/etc/fstab":
        text = f"no nofail {where}: a file server that is unavailable can block the boot"
        bad.append(note(about, text, f"add nofail to the options {where}"))
    if entry.fstype.endswith("glusterfs"):
        bad += _judge_gluster(about, entry, where)
    if not bad:
        bad.append(ok(about, f"the options {where} are right"))
    yield from bad


def _judge_gluster(about: str, entry: Entry, where: str) -> Iterator[Finding]:
    """Judge the options of GlusterFS's client."""
    has = entry.options
    servers = entry.source.partition(":")[0]
    if "," not in servers and not has.keys() & {"backup-volfile-servers", "backupvolfile-server"}:
        text = f"no backup-volfile-servers {where}: without {servers} it cannot be mounted"
        yield warning(about, text, "add backup-volfile-servers=fs2:fs3 to the options")
    for key in ("attribute-timeout", "entry-timeout", "negative-timeout"):
        if seconds(has.get(key, "")) > _CACHED:
            text = f"{key}={has[key]} {where}: changes by others are seen that many seconds later"
            yield warning(about, text, f"remove {key}")
    for key, (bad, why) in _GLUSTER.items():
        if key in has and (has[key].lower() not in _NO) is bad:
            shown = f"{key}={has[key]}" if has[key] else key
            yield warning(about, f"{shown} {where}: {why}", f"remove {key}")
    if has.get("log-level", "").upper() in ("DEBUG", "TRACE"):
        text = f"log-level={has['log-level']} {where} fills the disk and costs time"
        yield note(about, text, "set log-level=WARNING")


def seconds(text: str) -> float:
    """A number of seconds; 0 for anything else."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def not_mounted(about: str, entry: Entry) -> Finding:
    """The share of an entry is not mounted."""
    point = entry.point
    text = f"{entry.source} is not mounted at {point}, where {entry.file} has it"
    return problem(about, text, f"mount {point}; systemctl status '{mount_unit(point)}'")
