"""A Disk whose calls fail, hang or lie as a test wants: the share's bad days, on a good disk.

In a process it is told by its `faults`; in a watcher of its own (`python tests/share_disk.py DIR`)
by the file DIR/faults.json, which it reads before each call. A call that is to hang comes back once
its fault is taken away.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

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
CALLS = ("names", "status", "link", "read", "open_dir", "entries", "link_at")
LOCAL_ROOT = "27 1 254:0 / / rw - ext4 /dev/vda rw\n"


def mounted(*shares: str) -> str:
    """A mountinfo with shares at these mount points."""
    lines = [
        f"{40 + at} 27 0:4{at} / /{point} rw - fuse.glusterfs fs1:/vol rw\n"
        for at, point in enumerate(shares)
    ]
    return LOCAL_ROOT + "".join(lines)


@dataclass
class Faults:
    """What goes wrong. `calls` empty: every call. `empty` is a directory that lists nothing."""

    calls: tuple[str, ...] = ()
    prefix: str = "/"
    errno: int = 0
    hang: bool = False
    bug: str = ""  # a fault of ours, in these words
    slow: float = 0.0  # s that it takes to open a directory
    empty: str = ""
    mountinfo: str = ""
    seen: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)

    def meet(self, call: str, path: str) -> bool:
        return (not self.calls or call in self.calls) and path.startswith(self.prefix)

    def save(self, directory: Path) -> None:
        new = directory / "faults.new"
        new.write_text(json.dumps({**asdict(self), "seen": [], "opened": []}))
        new.replace(directory / "faults.json")


class FaultyDisk(Disk):
    """As the real one, but for its faults."""

    def __init__(self, faults: Callable[[], Faults], pulse: Pulse | None = None) -> None:
        super().__init__(pulse)
        self._faults = faults

    def names(self, path: str, *, base: str = "") -> dict[str, str]:
        self._meet("names", path)
        return {} if self._faults().empty == path else super().names(path, base=base)

    def status(self, path: str, *, base: str = "") -> os.stat_result:
        self._meet("status", path)
        return super().status(path, base=base)

    def link(self, path: str, *, base: str = "") -> str:
        self._meet("link", path)
        return super().link(path, base=base)

    def read(self, path: str, most: int, *, base: str = "") -> bytes:
        self._meet("read", path)
        return super().read(path, most, base=base)

    def open_dir(self, path: str, name: str = "", at: int | None = None) -> int:
        self._meet("open_dir", path)
        self._faults().opened.append(path)
        time.sleep(self._faults().slow)
        return super().open_dir(path, name, at)

    def entries(self, fd: int, path: str, skip: Callable[[str, bool], bool]) -> Listing:
        self._meet("entries", path)
        return super().entries(fd, path, skip)

    def link_at(self, fd: int, name: str, path: str) -> str:
        self._meet("link_at", path)
        return super().link_at(fd, name, path)

    def mountinfo(self) -> str:
        return self._faults().mountinfo or super().mountinfo()

    def _meet(self, call: str, path: str) -> None:
        self.pulse.begin(f"({call})", path)
        faults = self._faults()
        faults.seen.append(call)
        while faults.meet(call, path) and faults.hang:
            time.sleep(0.02)
            faults = self._faults()
        if faults.meet(call, path) and faults.bug:
            raise LookupError(faults.bug)
        if faults.meet(call, path) and faults.errno:
            raise OSError(faults.errno, os.strerror(faults.errno), path)


def main() -> None:
    """Be a watcher with such a disk."""
    from appagent.share import watcher  # noqa: PLC0415

    file = Path(sys.argv[1]) / "faults.json"

    def faults() -> Faults:
        try:
            return Faults(**json.loads(file.read_bytes()))
        except FileNotFoundError:
            return Faults(errno=0)

    watcher.main(lambda: FaultyDisk(faults))


if __name__ == "__main__":
    main()
