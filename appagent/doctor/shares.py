"""One share: how it is mounted, now and at the next boot, and what its client reports."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence

from appagent.doctor import gluster, mount_options
from appagent.doctor.finding import Item, Step, note, problem
from appagent.doctor.programs import ask
from appagent.host.mounts import Mount
from appagent.host.units import mount_unit
from appagent.share.disk import Disk, NotPlain

_MOST = 4 * 1024 * 1024


def about(mount: Mount) -> str:
    """Its name in findings."""
    return f"share {mount.point}"


def check(
    mount: Mount, mountinfo: str, entries: Sequence[mount_options.Entry], *, systemd: bool
) -> Iterator[Item]:
    """Judge a mounted share."""
    name = about(mount)
    yield from mount_options.judge_in_force(name, mount_options.in_force(mountinfo, mount.point))
    entry = mount_options.covering(entries, mount.point)
    if (entry is None or entry.point != mount.point) and systemd:
        yield Step(f"asking systemctl about {mount_unit(mount.point)}")
        cat = ask("systemctl", "cat", "--no-pager", mount_unit(mount.point)).stdout
        entry = mount_options.unit(cat)
    if entry is None or entry.point != mount.point:
        text = "neither fstab nor a mount unit has it: it is not mounted at boot"
        yield note(name, text, "write one; systemd/files.mount of appagent is an example")
    else:
        yield from mount_options.judge_entry(name, entry, systemd=systemd)
    if mount.fstype.endswith("glusterfs"):
        yield from _gluster(name, mount)


def _gluster(name: str, mount: Mount) -> Iterator[Item]:
    disk = Disk()
    texts = {}
    for inside in (gluster.META_VERSION, gluster.META_VOLFILE):
        path = f"{mount.point}/{inside}"
        yield Step(f"reading {path}")
        try:
            texts[inside] = disk.read(path, _MOST).decode("utf-8", "replace")
        except (OSError, NotPlain) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOTCONN:
                text = "its client has died, or cannot reach a server (ENOTCONN)"
                yield problem(name, text, f"umount -l {mount.point}; mount {mount.point}")
                return
    if gluster.META_VERSION not in texts:
        yield Step("running glusterfs --version")
        texts[gluster.META_VERSION] = ask("glusterfs", "--version").stdout
    yield gluster.judge_version(name, texts[gluster.META_VERSION])
    graph = gluster.volfile(texts.get(gluster.META_VOLFILE, ""))
    if graph:
        yield from gluster.judge_graph(name, graph)
    else:
        text = "the options of its volume are not readable from this node"
        yield note(name, text, "on a file server: gluster volume info")
