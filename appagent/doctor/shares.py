"""One share: how it is mounted, now and at the next boot, and what its client says of itself."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from appagent.doctor import gluster, mount_options
from appagent.doctor.finding import Doing, Said, note, problem
from appagent.doctor.programs import ask
from appagent.host.mounts import Mount
from appagent.host.units import mount_unit
from appagent.share.disk import Disk, NotPlain

_MOST = 4 * 1024 * 1024


def about(mount: Mount) -> str:
    """How it is called in a finding."""
    return f"share {mount.point}"


def look(mount: Mount, mountinfo: str, fstab: str, *, systemd: bool) -> Iterator[Said]:
    """Judge a mounted share."""
    name = about(mount)
    yield from mount_options.judge_in_force(name, mount_options.in_force(mountinfo, mount.point))
    line = mount_options.covering(mount_options.fstab(fstab), mount.point)
    if (line is None or line.point != mount.point) and systemd:
        unit = mount_unit(mount.point)
        yield Doing(f"asking systemctl about {unit}")
        answer = ask("systemctl", "cat", "--no-pager", unit)
        line = mount_options.unit(answer.text) if answer is not None else None
    if line is None or line.point != mount.point:
        text = "neither fstab nor a mount unit has it: after a reboot it is not there"
        yield note(name, text, "write one: systemd/files.mount of appagent shows how")
    else:
        yield from mount_options.judge_line(name, line, systemd=systemd)
    if mount.fstype.endswith("glusterfs"):
        yield from _gluster(name, mount)


def _gluster(name: str, mount: Mount) -> Iterator[Said]:
    disk = Disk()
    texts = {}
    for inside in (gluster.META_VERSION, gluster.META_VOLFILE):
        path = f"{mount.point}/{inside}"
        yield Doing(f"reading {path}")
        try:
            texts[inside] = disk.read(path, _MOST).decode("utf-8", "replace")
        except (OSError, NotPlain) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOTCONN:
                text = "its client has gone, or no server answers (ENOTCONN)"
                do = f"umount -l {mount.point}; mount {mount.point}"
                yield problem(name, text, do)
                return
    version = texts.get(gluster.META_VERSION)
    if version is None:
        yield Doing("asking glusterfs for its version")
        answer = ask("glusterfs", "--version")
        version = answer.text if answer is not None else ""
    yield gluster.judge_version(name, version)
    graph = gluster.volfile(texts.get(gluster.META_VOLFILE, ""))
    if not graph and os.geteuid() == 0:
        yield Doing("asking gluster for the volume's options")
        volume = mount.source.rpartition(":")[2].strip("/").partition("/")[0]
        answer = ask("gluster", "--mode=script", "volume", "get", volume, "all")
        graph = gluster.from_volume_get(answer.text if answer is not None else "")
    if graph:
        yield from gluster.judge_graph(name, graph)
    else:
        text = "the options of its volume cannot be told from here"
        yield note(name, text, "on a file server: gluster volume info")
