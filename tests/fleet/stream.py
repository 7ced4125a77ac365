"""A team that pushes one release after the other while the share comes and goes."""

import contextlib
import threading
import time
from types import TracebackType
from typing import Self

from .developer import Developer, app_files
from .host import CommandFailed, CommandHung, Host
from .wait import wait_until

PAUSE = 4.0  # s between two pushes: longer than `settle`, so that each can be deployed
AGAIN = 1.0  # s until a push that was refused is tried again
PATIENCE = 180.0  # s in which it has to be taken


class Stream:
    """Pushes releases "1", "2", … of an app, while the block lasts."""

    def __init__(self, developer: Developer, app: str) -> None:
        """Make the app; nothing is pushed yet."""
        self.developer = developer
        self.app = app
        self.number = 0  # of the last one that the share took
        self.refused: list[str] = []
        self.error: BaseException | None = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.go_on, daemon=True)
        developer.new_git(app)

    def __enter__(self) -> Self:
        """Begin, and wait for the first one."""
        self.thread.start()
        self.more(1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Push no more; what is under way comes to its end."""
        self.over.set()
        self.thread.join()
        if self.error and not error:
            raise self.error

    @property
    def version(self) -> str:
        """The last release that the share took."""
        return str(self.number)

    def through(self, server: Host) -> None:
        """Push to this file server from now on."""
        self.developer = Developer(self.developer.machine, server, self.developer.root)

    def more(self, count: int, timeout: float = 120) -> str:
        """Wait until so many more releases are on the share; return the last one."""
        wanted = self.number + count

        wait_until(
            lambda: self.error or self.number >= wanted,
            timeout,
            f"release {wanted} of {self.app} is pushed",
        )
        if self.error:
            raise self.error
        return self.version

    def go_on(self) -> None:
        """Push until it is over."""
        try:
            while not self.over.is_set():
                self.push(self.number + 1)
                self.over.wait(PAUSE)
        except BaseException as error:  # noqa: BLE001 - it is raised where the stream is used
            self.error = error

    def push(self, number: int) -> None:
        """Push one release, as often as it takes."""
        self.developer.put(self.app, app_files(str(number)))
        self.developer.here(f"cd ~/{self.app} && git add -A && git commit -q -m {number}")
        self.refused += push_until_taken(self.developer, self.app)
        self.number = number


def push_until_taken(developer: Developer, app: str, *options: str) -> list[str]:
    """Push what is committed, as often as it takes; return why it was refused before.

    One that was refused may have come halfway.
    """
    refused: list[str] = []
    end = time.monotonic() + PATIENCE
    while True:
        try:
            developer.push_again(app, *options)
        except (CommandFailed, CommandHung) as error:
            refused.append(str(error))
            if time.monotonic() > end:
                raise
            time.sleep(AGAIN)
            clear(developer, app)
        else:
            return refused


def clear(developer: Developer, app: str) -> None:
    """Do what git asks for where a push died halfway: take away its locks and what it wrote."""
    locks = "rm -f .git/index.lock .git/HEAD.lock .git/refs/heads/main.lock"
    with contextlib.suppress(CommandFailed, CommandHung):  # the share is not back yet
        developer.ssh(f"cd {developer.root}/{app} && {locks} && git reset -q --hard")
