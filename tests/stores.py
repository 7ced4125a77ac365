"""What the tests of the store share: two records, and a disk that can fail."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from appagent.model.applied import Applied, Record
from appagent.model.notices import Notice
from appagent.model.words import Version
from appagent.state.store import Store, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WEB = Record("web", "/files", Applied("r1", Version("r1", "c"), Version("r1", "c"), "boot"))
API = Record("api", "/files")


class Disk:
    """Writes like the real one, until it is told to fail."""

    def __init__(self) -> None:
        self.number = 0
        self.only = ""

    def __call__(self, path: Path, content: bytes) -> None:
        if self.number and self.only in str(path):
            raise OSError(self.number, os.strerror(self.number), str(path))
        replace_file(path, content)


@contextlib.contextmanager
def opened(path: Path, disk: Disk | None = None) -> Iterator[Store]:
    store = Store(str(path), write=disk or replace_file)
    try:
        yield store
    finally:
        store.close()


def failing(*_: object, **__: object) -> None:
    """What a disk answers that is broken."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def kinds(notices: tuple[Notice, ...] | list[Notice]) -> list[str]:
    return [notice.kind for notice in notices]
