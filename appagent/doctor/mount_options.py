"""How a share is mounted: the options in force, and what will be used at the next boot.

Pure, over the texts of /proc/self/mountinfo, /etc/fstab and the mount unit. The figures that
appagent was built on were measured with GlusterFS's own defaults (attributes and names are
believed for one second); options that stretch them make every deploy seen that much later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from appagent.doctor.finding import Finding, note, ok, problem, warning
from appagent.doctor.unit import directives, last
from appagent.host import proc
from appagent.host.units import mount_unit

_OCTAL = re.compile(r"\\([0-7]{3})")
_FSTAB_FIELDS = 4
_NO = ("no", "off", "false", "0", "disable")
_BELIEVED = 1.0  # s, what GlusterFS has by itself
# What systemd takes for a network filesystem without being told by _netdev.
_KNOWN_REMOTE = frozenset(
    (
        *("afs", "ceph", "cifs", "smb3", "smbfs", "sshfs", "ncpfs", "ncp", "nfs", "nfs4", "gfs"),
        *("gfs2", "glusterfs", "gpfs", "ocfs2", "orangefs", "pvfs2", "lustre", "davfs"),
    )
)


@dataclass(frozen=True, slots=True)
class Line:
    """How something is to be mounted, as a file says it."""

    source: str
    point: str
    fstype: str
    options: Mapping[str, str] = field(default_factory=dict)
    file: str = "/etc/fstab"


def options(text: str) -> dict[str, str]:
    """Read a,b=c; an option without a value has an empty one."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {key: value for key, _, value in pairs}


def fstab(text: str) -> list[Line]:
    """Read /etc/fstab."""
    lines = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < _FSTAB_FIELDS or fields[0].startswith("#"):
            continue
        source, point = (_OCTAL.sub(lambda code: chr(int(code[1], 8)), one) for one in fields[:2])
        lines.append(Line(source, point.rstrip("/") or "/", fields[2], options(fields[3])))
    return lines


def unit(cat: str) -> Line | None:
    """Read the mount unit that `systemctl cat` shows."""
    found = directives(cat)
    what, where, kind, said = (
        last(found, "Mount", key) for key in ("What", "Where", "Type", "Options")
    )
    if what is None or where is None:
        return None
    fstype = kind.value if kind else ""
    return Line(what.value, where.value, fstype, options(said.value if said else ""), what.file)


def covering(lines: Sequence[Line], path: str) -> Line | None:
    """The line with the longest mount point at or above a path, but for / itself."""
    above = [
        line
        for line in lines
        if line.point != "/" and (path == line.point or path.startswith(f"{line.point}/"))
    ]
    return max(above, key=lambda line: len(line.point), default=None)


def in_force(mountinfo: str, point: str) -> dict[str, str]:
    """The options of a mount, as the kernel has them: of the mount itself and of its superblock."""
    found: dict[str, str] = {}
    for line in proc.mount_lines(mountinfo):
        if line.point == point:
            found = options(line.of_disk) | options(line.options)
    return found


def judge_in_force(about: str, has: Mapping[str, str]) -> Iterator[Finding]:
    """Judge the options that a mount has now."""
    if "ro" in has:
        text = "is mounted read-only: targets cannot write there, nor can the fleet meet on it"
        yield warning(about, text, "mount it with rw, or fleet: off")
    if "noexec" in has:
        text = "is mounted with noexec: a Makefile cannot run the programs of its release"
        yield warning(about, text, "mount it without noexec, unless no app needs that")
    if "soft" in has:
        text = "is mounted with soft: a server that is slow looks like an error to the apps"
        yield note(about, text, "hard is safer for the apps; the agent takes either for unknown")
    late = [
        f"{key}={has[key]}"
        for key in ("acdirmax", "acregmax", "actimeo")
        if has.get(key, "").isdigit() and int(has[key]) > _BELIEVED
    ]
    if late:
        text = f"{', '.join(late)}: what others write may be seen that many seconds later"
        yield note(about, text, "actimeo=1")


def judge_line(about: str, line: Line, *, systemd: bool) -> Iterator[Finding]:
    """Judge how it will be mounted at the next boot."""
    has, where = line.options, f"in {line.file}"
    remote = line.fstype.removeprefix("fuse.") in _KNOWN_REMOTE
    before = len(has)
    wrong = []
    if "_netdev" not in has:
        text = f"no _netdev {where}: it may be mounted before the network is there"
        do = f"add _netdev to the options {where}"
        wrong.append((note if systemd and remote else warning)(about, text, do))
    if "noauto" in has and not any(key.startswith("x-systemd.automount") for key in has):
        text = f"noauto {where}: after a reboot it is not mounted"
        wrong.append(warning(about, text, "take noauto out"))
    if "nofail" not in has and line.file == "/etc/fstab":
        text = f"no nofail {where}: a file server that is away can hold up the boot"
        wrong.append(note(about, text, f"add nofail to the options {where}"))
    if line.fstype.endswith("glusterfs"):
        wrong += _judge_gluster(about, line, where)
    if not wrong and before:
        wrong.append(ok(about, f"how it is mounted {where} is fine"))
    yield from wrong


def _judge_gluster(about: str, line: Line, where: str) -> Iterator[Finding]:
    """Judge the options of GlusterFS's client."""
    has = line.options
    servers = line.source.partition(":")[0]
    more = "backup-volfile-servers" in has or "backupvolfile-server" in has
    if not more and "," not in servers:
        text = f"no backup-volfile-servers {where}: while {servers} is away it cannot be mounted"
        yield warning(about, text, "add backup-volfile-servers=fs2:fs3 to the options")
    for key in ("attribute-timeout", "entry-timeout", "negative-timeout"):
        if seconds(has.get(key, "")) > _BELIEVED:
            text = f"{key}={has[key]} {where}: what others write is seen that many seconds later"
            yield warning(about, text, f"take {key} out")
    for key, bad, why in (
        ("direct-io-mode", True, "files cannot be mapped as usual: git, sqlite and others fail"),
        ("fopen-keep-cache", True, "a file that another node rewrote may be read as it was"),
        (
            "kernel-writeback-cache",
            True,
            "sizes and times of files are this node's own for a while",
        ),
        ("auto-invalidation", False, "a file that another node rewrote may be read as it was"),
        (
            "use-readdirp",
            False,
            "a listing brings no status, and a scan costs a trip for each file",
        ),
        ("enable-ino32", True, "two files may have one inode number, and ids are made of them"),
    ):
        if key in has and (has[key].lower() not in _NO) is bad:
            said = f"{key}={has[key]}" if has[key] else key
            yield warning(about, f"{said} {where}: {why}", f"take {key} out")
    if has.get("log-level", "").upper() in ("DEBUG", "TRACE"):
        text = f"log-level={has['log-level']} {where} fills the disk and costs time"
        yield note(about, text, "log-level=WARNING")


def seconds(text: str) -> float:
    """A number of seconds, 0 if it is none."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def not_mounted(about: str, line: Line) -> Finding:
    """What is to be mounted, and is not."""
    text = f"{line.source} is to be mounted at {line.point} ({line.file}), and is not mounted now"
    return problem(about, text, f"mount {line.point}; systemctl status '{mount_unit(line.point)}'")
