"""A Disk whose calls fail, hang or lie as a test wants: the share's bad days, on a good disk.

There is one language of faults: a list of `Fault`, the first that matches a call is met. In a
process the disk asks a function for them; in a watcher of its own (`python tests/share_disk.py
FILE`) it reads FILE, which a test replaces as a whole whenever it likes:

    {"faults": [{"call": …, "path": …, "errno": n}, {…, "hang": true}, …],
     "mounts": [[id, path, fstype], …]}     further lines of the mount table
"""

from __future__ import annotations

import errno
import fnmatch
import json
import os
import random
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from appagent.share.disk import Disk, Listing, Pulse

AWAY = (
    errno.ENOTCONN,
    errno.ESTALE,
    errno.EIO,
    errno.EACCES,
    errno.ETIMEDOUT,
    errno.ECONNABORTED,
    errno.EHOSTDOWN,
)
CALLS = ("names", "status", "readlink", "read", "open_dir", "entries", "readlink_at")
WRITES = ("mkdir", "rename", "symlink", "link", "write", "sync_dir", "unlink", "rmdir")
LOCAL_ROOT = "27 1 254:0 / / rw - ext4 /dev/vda rw\n"


def mounted(*shares: str) -> str:
    """A mountinfo with shares at these mount points."""
    lines = [
        f"{40 + at} 27 0:4{at} / /{point} rw - fuse.glusterfs fs1:/vol rw\n"
        for at, point in enumerate(shares)
    ]
    return LOCAL_ROOT + "".join(lines)


@dataclass(frozen=True)
class Fault:
    """What goes wrong at one call of `Disk`, or at all ("*"), for paths that match a glob.

    A call that hangs returns once its fault is taken away. One that spins holds the interpreter's
    lock for ever, so no other thread runs either.
    """

    call: str = "*"
    path: str = "*"
    errno: int = 0
    hang: bool = False
    empty: bool = False  # a listing has nothing in it
    bug: str = ""  # an internal error, in these words
    die: bool = False  # the process ends
    spin: bool = False
    slow: float = 0.0  # s that it takes
    chance: float = 1.0  # that it is met

    def matches(self, call: str, path: str) -> bool:
        return self.call in ("*", call) and fnmatch.fnmatchcase(path, self.path)


NO_FAULT = Fault()


@dataclass
class Faults:
    """Everything that goes wrong, and what was called."""

    faults: list[Fault] = field(default_factory=list)
    mountinfo: str = ""  # in place of the kernel's
    mounts: list[tuple[int, str, str]] = field(default_factory=list)  # beside the kernel's
    seen: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)

    @classmethod
    def at(
        cls,
        calls: tuple[str, ...] = (),
        prefix: str = "/",
        number: int = 0,
        *,
        hang: bool = False,
        bug: str = "",
    ) -> Faults:
        """These calls (none: all) go wrong for paths with a prefix."""
        path = f"{prefix}*"
        return cls([Fault(call, path, number, hang=hang, bug=bug) for call in calls or ("*",)])

    def met(self, call: str, path: str) -> Fault:
        for fault in self.faults:
            if fault.matches(call, path) and random.random() < fault.chance:  # noqa: S311 - no secret
                return fault
        return NO_FAULT

    def save(self, file: Path) -> None:
        new = file.with_suffix(".new")
        whole = {"faults": [asdict(one) for one in self.faults], "mounts": self.mounts}
        new.write_text(json.dumps({**whole, "mountinfo": self.mountinfo}))
        new.replace(file)


class FaultsFile:
    """The faults in a file; read again when it was replaced."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._read_as = (0, 0)
        self._faults = Faults()
        self.whole: dict[str, Any] = {}

    def __call__(self) -> Faults:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return self._faults
        read_as = (status.st_ino, status.st_mtime_ns)
        if read_as != self._read_as:
            self._read_as = read_as
            self.whole = json.loads(self._path.read_text("utf-8"))
            self._faults = Faults(
                [Fault(**one) for one in self.whole["faults"]],
                self.whole.get("mountinfo", ""),
                self.whole["mounts"],
            )
        return self._faults


class FaultyDisk(Disk):
    """As the real one, but for its faults."""

    def __init__(self, faults: Callable[[], Faults], pulse: Pulse | None = None) -> None:
        super().__init__(pulse)
        self._faults = faults
        self._opened: dict[int, str] = {}

    def names(self, path: str, *, base: str = "") -> dict[str, str]:
        return {} if self._meet("names", path).empty else super().names(path, base=base)

    def status(self, path: str, *, base: str = "") -> os.stat_result:
        self._meet("status", path)
        return super().status(path, base=base)

    def readlink(self, path: str, *, base: str = "") -> str:
        self._meet("readlink", path)
        return super().readlink(path, base=base)

    def read(self, path: str, most: int, *, base: str = "") -> bytes:
        self._meet("read", path)
        return super().read(path, most, base=base)

    def open_dir(self, path: str, name: str = "", at: int | None = None) -> int:
        self._meet("open_dir", path)
        self._faults().opened.append(path)
        fd = super().open_dir(path, name, at)
        self._opened[fd] = path
        return fd

    def entries(self, fd: int, path: str, skip: Callable[[str, bool], bool]) -> Listing:
        self._meet("entries", path)
        return super().entries(fd, path, skip)

    def readlink_at(self, fd: int, name: str, path: str) -> str:
        self._meet("readlink_at", path)
        return super().readlink_at(fd, name, path)

    def close(self, fd: int) -> None:
        super().close(fd)
        self._meet("close", self._opened.pop(fd, ""))

    def mkdir(self, path: str, mode: int = 0o755, *, base: str = "") -> None:
        self._meet("mkdir", path)
        super().mkdir(path, mode, base=base)

    def rename(self, path: str, to: str, *, base: str = "") -> None:
        self._meet("rename", path)
        super().rename(path, to, base=base)

    def symlink(self, path: str, text: str, *, base: str = "") -> None:
        self._meet("symlink", path)
        super().symlink(path, text, base=base)

    def link(self, path: str, to: str, *, base: str = "") -> None:
        self._meet("link", path)
        super().link(path, to, base=base)

    def write(self, path: str, data: bytes, mode: int = 0o644, *, base: str = "") -> None:
        self._meet("write", path)
        super().write(path, data, mode, base=base)

    def sync_dir(self, path: str, *, base: str = "") -> None:
        self._meet("sync_dir", path)
        super().sync_dir(path, base=base)

    def unlink(self, path: str, *, base: str = "") -> None:
        self._meet("unlink", path)
        super().unlink(path, base=base)

    def rmdir(self, path: str, *, base: str = "") -> None:
        self._meet("rmdir", path)
        super().rmdir(path, base=base)

    def mountinfo(self) -> str:
        faults = self._faults()
        return (faults.mountinfo or super().mountinfo()) + mount_lines(faults)

    def _meet(self, call: str, path: str) -> Fault:
        self.pulse.begin(f"({call})", path)
        self._faults().seen.append(call)
        fault = self._faults().met(call, path)
        while fault.hang:
            time.sleep(0.01)  # between two looks at whether the fault was taken away
            fault = self._faults().met(call, path)
        if fault.slow:
            time.sleep(fault.slow)  # a slow share is what the test is about
        if fault.spin:
            re.match("(?:a|aa)*b", "a" * 200)
        if fault.die:
            os._exit(3)
        if fault.bug:
            raise LookupError(fault.bug)
        if fault.errno:
            raise OSError(fault.errno, os.strerror(fault.errno), path)
        return fault


def mount_lines(faults: Faults) -> str:
    """The lines of the mount table that are not true."""
    return "".join(
        f"{number} 1 0:99 / {path} rw - {fstype} server:/volume rw\n"
        for number, path, fstype in faults.mounts
    )


def main() -> None:
    """Run a watcher with such a disk."""
    from appagent.share import watcher  # noqa: PLC0415

    watcher.main(partial(FaultyDisk, FaultsFile(sys.argv[1])))


if __name__ == "__main__":
    main()
