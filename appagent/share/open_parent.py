"""The way to a path without following any link below the part that the administrator wrote."""

from __future__ import annotations

import os

_STEP = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class OpenParent:
    """The open directory in which a path's last name is, and that name: `with` gives both.

    Below `base` each step is opened with O_PATH | O_NOFOLLOW, which asks a share for nothing that
    one open of the whole path would not ask. Without a base (or at the base itself) it is the path
    as it is, which the kernel follows.
    """

    __slots__ = ("_fd", "_path", "_steps")

    def __init__(self, path: str, base: str) -> None:
        self._path = path
        self._fd: int | None = None
        prefix = f"{base.rstrip('/')}/"
        inside = path[len(prefix) :] if base and path.startswith(prefix) else ""
        self._steps = [base, *inside.split("/")] if inside else [path]

    def __enter__(self) -> tuple[int | None, str]:
        *above, name = self._steps
        try:
            for step in above:
                fd = self._fd
                self._fd = os.open(step, _STEP if fd is None else _STEP | os.O_NOFOLLOW, dir_fd=fd)
                if fd is not None:
                    os.close(fd)
        except OSError as error:
            self.__exit__(None, error, None)
            raise
        return self._fd, name

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        if isinstance(error, OSError):
            error.filename = self._path  # and not the one name that was opened
            error.filename2 = None
