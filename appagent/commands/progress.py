"""What is waited for: one line that is written over on a terminal, a line for each change else."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from appagent.commands.printing import message
from appagent.host.text import one_line
from appagent.report.terminal import Screen, screen_of
from appagent.report.text import cut

START_OVER = "\r\x1b[K"


class Progress:
    """A line on stderr. May be used by several threads."""

    def __init__(self, *, quiet: bool = False) -> None:
        """Begin without a line; with `quiet` there never is one."""
        self.quiet = quiet
        self.screen: Screen = screen_of(sys.stderr)
        self.line = ""
        self.lock = threading.Lock()

    def show(self, text: str) -> None:
        """Show what is waited for now."""
        if self.quiet:
            return
        with self.lock:
            if not self.screen.columns:
                message(one_line(text))
                return
            self.line = cut(one_line(text), self.screen.columns - 1)
            sys.stderr.write(START_OVER + self.screen.paint(self.line, "2"))
            sys.stderr.flush()

    def above(self, write: Callable[[], object]) -> None:
        """Write something else, above the line."""
        with self.lock:
            self._erase()
            write()
            sys.stdout.flush()
            if self.line:
                sys.stderr.write(self.screen.paint(self.line, "2"))
                sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away."""
        with self.lock:
            self._erase()
            self.line = ""

    def _erase(self) -> None:
        if self.line:
            sys.stderr.write(START_OVER)
            sys.stderr.flush()
