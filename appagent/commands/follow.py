"""Follow what an app prints while something else is waited for."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appagent.commands.logs import new_lines, show_lines
from appagent.commands.progress import Progress

EVERY = 0.1  # seconds between two reads
JOURNAL_BEHIND = 0.5  # seconds in which the journal has what was printed


class Output:
    """Shows what an app prints between the begin and the end of a `with`, above the progress."""

    def __init__(self, where: Mapping[str, Any], progress: Progress) -> None:
        """Follow the source that the agent names: a file, or the journal by its matches."""
        self.progress = progress
        self.over = threading.Event()
        self.began = time.time()
        self.thread: threading.Thread | None = None
        self.journal: subprocess.Popen[bytes] | None = None
        if where["file"]:
            path = Path(where["file"])
            with contextlib.suppress(PermissionError):  # then only the result is shown
                offset = path.stat().st_size if path.exists() else 0
                self.thread = threading.Thread(target=self.follow_file, args=(path, offset))
        elif shutil.which("journalctl") is not None and where.get("output"):
            self.thread = threading.Thread(target=self.follow_journal, args=(where["output"],))

    def __enter__(self) -> Self:
        """Begin to follow."""
        if self.thread is not None:
            self.thread.daemon = True
            self.thread.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        """Show the rest, and end; nothing more is shown to who has interrupted."""
        if self.thread is None:
            return
        if self.journal is not None and not isinstance(error, KeyboardInterrupt):
            self.over.wait(JOURNAL_BEHIND)
        self.over.set()
        if self.journal is not None:
            self.journal.terminate()
        self.thread.join(2.0)

    def show(self, lines: list[bytes]) -> None:
        """Show whole lines."""
        if lines:
            self.progress.above(lambda: show_lines(lines))

    def follow_file(self, path: Path, offset: int) -> None:
        """Show what a file gets, until it is over and read to its end."""
        with contextlib.suppress(OSError):  # a person who may not read it still has the result
            for whole in new_lines(path, offset, lambda: self.over.wait(EVERY)):
                self.show(whole)

    def follow_journal(self, matches: list[str]) -> None:
        """Show what journalctl prints, until it is ended."""
        command = ["journalctl", "--no-pager", "-q", "-f", "--no-tail", "-o", "cat"]
        command += [f"--since=@{self.began:.6f}", *matches]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        ) as self.journal:
            if self.journal.stdout is None:
                return
            for line in self.journal.stdout:
                self.show([line.rstrip(b"\n")])
