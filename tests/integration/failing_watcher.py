"""A watcher over a share that fails as a script says: `python failing_watcher.py SCRIPT`.

It is the real watcher, threads, socket and all; only its `Disk` asks the script before each
operation. The script is a JSON file that a test replaces as a whole whenever it likes:

    {"mounts": [[id, path, fstype], …],      further lines of the mount table
     "faults": [{"call": …, "path": …, "errno": n} | {…, "hang": true} | {…, "empty": true}
                | {…, "die": true} | {…, "spin": true}, …]}    with "chance": p, only now and then

`call` is the name of an operation of `Disk` or `*`, `path` a glob. What hangs goes on as soon as
the script does not say so any more. What spins holds the interpreter's lock for ever, so no other
thread goes on either. What was hit is noted beside it, in a file that ends in `.hits`, a line each.
"""

from __future__ import annotations

import fnmatch
import json
import os
import random
import re
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from appagent.share import watcher
from appagent.share.disk import Disk, Listing, Pulse

CALLS = ("names", "status", "link", "read", "open_dir", "entries", "link_at", "close")


class Script:
    """What is to fail, as it stands now."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._read_as = (0, 0)
        self._script: dict[str, Any] = {}

    def now(self) -> dict[str, Any]:
        """The script; read again when it was replaced."""
        status = self.path.stat()
        read_as = (status.st_ino, status.st_mtime_ns)
        if read_as != self._read_as:
            self._script = json.loads(self.path.read_text("utf-8"))
            self._read_as = read_as
        return self._script

    def fault(self, call: str, path: str) -> dict[str, Any]:
        """What is to happen at this call; {} for nothing."""
        for fault in self.now()["faults"]:
            if random.random() >= fault.get("chance", 1.0):  # noqa: S311 - no secret
                continue
            if fault["call"] in ("*", call) and fnmatch.fnmatchcase(path, fault["path"]):
                found: dict[str, Any] = fault
                return found
        return {}

    def note(self, call: str, path: str) -> None:
        """Note that a fault was met."""
        hits = self.path.with_suffix(".hits")
        with hits.open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(f"{call} {path}\n")

    def mounts(self) -> str:
        """The lines of the mount table that are not true."""
        return "".join(
            f"{number} 1 0:99 / {path} rw - {fstype} server:/volume rw\n"
            for number, path, fstype in self.now()["mounts"]
        )


class FailingDisk(Disk):
    """A disk that fails as the script says."""

    def __init__(self, script: str, pulse: Pulse | None = None) -> None:
        super().__init__(pulse)
        self.script = Script(script)
        self._opened: dict[int, str] = {}

    def _ask(self, call: str, path: str) -> dict[str, Any]:
        """Fail, hang or die here, if that is what the script says."""
        self.pulse.begin(call, path)
        fault = self.script.fault(call, path)
        if fault:
            self.script.note(call, path)
        while fault.get("hang"):
            time.sleep(0.01)
            fault = self.script.fault(call, path)
        if fault.get("spin"):
            re.match("(?:a|aa)*b", "a" * 200)
        if fault.get("die"):
            os._exit(3)
        if "errno" in fault:
            raise OSError(fault["errno"], os.strerror(fault["errno"]), path)
        return fault

    def names(self, path: str, *, base: str = "") -> dict[str, str]:
        return {} if self._ask("names", path).get("empty") else super().names(path, base=base)

    def status(self, path: str, *, base: str = "") -> os.stat_result:
        self._ask("status", path)
        return super().status(path, base=base)

    def link(self, path: str, *, base: str = "") -> str:
        self._ask("link", path)
        return super().link(path, base=base)

    def read(self, path: str, most: int, *, base: str = "") -> bytes:
        self._ask("read", path)
        return super().read(path, most, base=base)

    def open_dir(self, path: str, name: str = "", at: int | None = None) -> int:
        self._ask("open_dir", path)
        fd = super().open_dir(path, name, at)
        self._opened[fd] = path
        return fd

    def entries(self, fd: int, path: str, skip: Callable[[str, bool], bool]) -> Listing:
        self._ask("entries", path)
        return super().entries(fd, path, skip)

    def link_at(self, fd: int, name: str, path: str) -> str:
        self._ask("link_at", path)
        return super().link_at(fd, name, path)

    def close(self, fd: int) -> None:
        super().close(fd)
        self._ask("close", self._opened.pop(fd, ""))

    def mountinfo(self) -> str:
        return super().mountinfo() + self.script.mounts()


if __name__ == "__main__":
    # So that a test need not wait long for what is stuck, or is not believed at once.
    for name, value in {"watcher._BEAT": 0.2, "sight.CONFIRM": 0.5, "quick.CONFIRM": 0.5}.items():
        mock.patch(f"appagent.share.{name}", value).start()
    watcher.main(partial(FailingDisk, sys.argv[1]))
