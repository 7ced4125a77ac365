"""The way from a root down to a release, without following anything and without a gap.

Theory of operation. A base (the root, or one of `release_dirs`) is opened by the path that the
administrator wrote. From there on every step opens one name in the directory that is already
open, with O_NOFOLLOW, and judges what was opened, not a name: who may change it (trust.py). Links
are resolved here, by hand, as more steps; they may lead anywhere inside the bases and nowhere
else. As each directory on the way can only be changed by the trusted, nobody else can put
something different behind us, and what is used in the end is the open directory itself.

What does not exist is `Moved`: it was seen earlier, so compare again. Every error of the share is
`Moved` too: it means nothing about the app.
"""

from __future__ import annotations

import errno
import os
import stat

from appagent.host import proc
from appagent.shim.trust import Over, Refused, kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from appagent.shim.trust import Trust

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MAX_LINKS = 20
_ACL = "system.posix_acl_access"
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class Moved(Over):
    """What was seen earlier does not exist any more, or cannot be read now."""

    outcome = "moved"


class NotFound(Moved):
    """It certainly does not exist: its directory can be read and has no such name."""


class Directory:
    """An open directory, and the way to it."""

    def __init__(self, fd: int, path: str, above: Directory | None, status: os.stat_result) -> None:
        """Hold what was opened as `path` in the directory `above` (None: it is a base)."""
        self.fd = fd
        self.path = path
        self.above = above
        self.status = status

    def same(self, other: Directory) -> bool:
        """Whether both are the same directory."""
        return os.path.samestat(self.status, other.status)


class Bases:
    """The directories in which everything must lie, each known by its written and real path."""

    def __init__(self, root: str, others: list[str], trust: Trust | None) -> None:
        """Open the root; the others once something leads there. No trust: nothing is judged."""
        self.trust = trust
        self.root = self._open(root)
        self._opened: dict[str, Directory] = {root: self.root}
        self._others = others

    def _open(self, path: str) -> Directory:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            status = os.fstat(fd)
        except OSError as error:
            raise _trouble(path, error) from None
        self._judge(status, path, fd, base=True)
        return Directory(fd, path, None, status)

    def _judge(
        self, status: os.stat_result, path: str, fd: int, name: str = "", *, base: bool = False
    ) -> None:
        """Judge what is open as `fd`, or its entry `name`."""
        if self.trust is not None:
            self.trust.demand(status, path, lambda: has_acl(fd, name), base=base)

    def find(self, path: str) -> tuple[Directory, list[str]] | None:
        """The base that an absolute path is in, and the steps that remain."""
        steps = [step for step in path.split("/") if step not in {"", "."}]
        for base in (self.root.path, *self._others):
            for known in {base, self._real(base)}:
                begin = [step for step in known.split("/") if step]
                if steps[: len(begin)] == begin:
                    if base not in self._opened:
                        self._opened[base] = self._open(base)
                    return self._opened[base], steps[len(begin) :]
        return None

    def _real(self, base: str) -> str:
        """The path without links. Above the root its path is the administrator's choice."""
        if base == self.root.path:
            try:
                return os.readlink(f"/proc/self/fd/{self.root.fd}")
            except OSError:
                return base
        return os.path.realpath(base)

    def straight(self, path: str, inode: int | None = None) -> Directory:
        """Walk to a directory that is known to be reached without any link, and to be this one.

        What lies there under the same name, made anew or put in its place, is another one.
        """
        found = self.find(path)
        if found is None:
            raise Refused(
                f"{path} is neither in {self.root.path} nor in release_dirs: "
                "put its directory into release_dirs, or keep releases in the root"
            )
        here, steps = found
        for step in steps:
            entered = None if step == ".." else self._enter(here, step)
            if entered is None:
                raise NotFound(f"{here.path}/{step} is a link now")
            here = entered
        if inode is not None and here.status.st_ino != inode:
            raise NotFound(f"{path} is not the directory that the release was seen in")
        return here

    def resolve(self, start: Directory, steps: list[str]) -> Directory:
        """Walk to a directory, over links."""
        here, name = self._follow(start, steps, want_name=False)
        assert not name  # noqa: S101 - for the type checker
        return here

    def file(self, start: Directory, name: str) -> tuple[Directory, str, os.stat_result]:
        """Find a regular, trusted file, following links: its directory, name there, and stat."""
        here, name = self._follow(start, [name], want_name=True)
        path = f"{here.path}/{name}"
        status = lstat(here, name)
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"{path} is {kind(status.st_mode)}: only a regular file is used")
        self._judge(status, path, here.fd, name)
        return here, name, status

    def read(self, start: Directory, name: str, limit: int) -> bytes:
        """Read a trusted file through the descriptor that was judged, at most `limit` + 1 bytes."""
        here, name, _ = self.file(start, name)
        path = f"{here.path}/{name}"
        try:
            fd = os.open(name, _FILE, dir_fd=here.fd)
        except OSError as error:
            raise _trouble(path, error) from None
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise Refused(f"{path} is {kind(status.st_mode)}: only a regular file is used")
            self._judge(status, path, fd)
            # On a share, a page read earlier may be older than the stat: get it anew.
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            data = b""
            while len(data) <= limit and (more := os.read(fd, limit + 1 - len(data))):
                data += more
        except OSError as error:
            raise _trouble(path, error) from None
        finally:
            os.close(fd)
        return data

    def _enter(self, here: Directory, name: str) -> Directory | None:
        """Open one directory in another and judge it; None if it is a link."""
        path = f"{here.path}/{name}"
        try:
            fd = os.open(name, _DIRECTORY, dir_fd=here.fd)
            status = os.fstat(fd)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                mode = lstat(here, name).st_mode
                if stat.S_ISLNK(mode):
                    return None
                raise NotFound(f"{path} is now {kind(mode)}, not a directory") from None
            raise _trouble(path, error) from None
        self._judge(status, path, fd)
        return Directory(fd, path, here, status)

    def _follow(
        self, start: Directory, steps: list[str], *, want_name: bool
    ) -> tuple[Directory, str]:
        """Take the steps one by one; with `want_name` stop before the last that is not a link."""
        here = start
        remaining = list(steps)
        links = 0
        path = "/".join([start.path, *steps])
        while remaining:
            step = remaining.pop(0)
            if step in {"", "."}:
                continue
            if step == "..":
                here, remaining = self._up(here, remaining, path)
                continue
            if want_name and not remaining:
                if not stat.S_ISLNK(lstat(here, step).st_mode):
                    return here, step
                entered = None
            else:
                entered = self._enter(here, step)
            if entered is not None:
                here = entered
                continue
            links += 1
            path = f"{here.path}/{step}"
            if links > _MAX_LINKS:
                raise Refused(f"{path}: more than {_MAX_LINKS} symbolic links in a row")
            text = self._link(here, step)
            if text.startswith("/"):
                found = self.find(text)
                if found is None:
                    raise self._outside(path, text)
                here, more = found
                remaining = more + remaining
            else:
                remaining = text.split("/") + remaining
        if want_name:
            raise Refused(f"{here.path} is a directory: only a regular file is used")
        return here, ""

    def _link(self, here: Directory, name: str) -> str:
        """Read a link, through a descriptor of its own.

        Where everyone may make one (a base like /tmp), it has to be somebody's who is trusted:
        whoever makes it chooses what is used. Elsewhere the directory was judged for that.
        """
        path = f"{here.path}/{name}"
        try:
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here.fd)
            try:
                status = os.fstat(fd)
                if not stat.S_ISLNK(status.st_mode):
                    raise Moved(f"{path} was a link a moment ago")
                if self.trust is not None and here.status.st_mode & stat.S_IWOTH:
                    self.trust.demand_owner(status, path)
                return os.readlink("", dir_fd=fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise _trouble(path, error) from None

    def _up(self, here: Directory, remaining: list[str], link: str) -> tuple[Directory, list[str]]:
        """Go to the directory above, which may lie in another base, or in none.

        `link` is the one that led here.
        """
        if here.above is not None:
            return here.above, remaining
        beyond = os.path.dirname(self._real(here.path))
        while remaining and remaining[0] == "..":
            beyond = os.path.dirname(beyond)
            remaining = remaining[1:]
        path = "/".join([beyond.rstrip("/"), *remaining])
        found = self.find(path)
        if found is None:
            raise self._outside(link, path)
        return found

    def _outside(self, path: str, text: str) -> Refused:
        return Refused(
            f"{path} leads to {text}, which is neither in {self.root.path} nor in release_dirs"
        )


def lstat(here: Directory, name: str) -> os.stat_result:
    """Stat one name in a directory, not following it."""
    try:
        return os.stat(name, dir_fd=here.fd, follow_symlinks=False)
    except OSError as error:
        raise _trouble(f"{here.path}/{name}", error) from None


def has_acl(fd: int, name: str = "") -> bool:
    """Whether an open file, or an entry of an open directory, has an ACL beside its mode."""
    path = f"/proc/self/fd/{fd}"
    try:
        if name:
            os.getxattr(f"{path}/{name}", _ACL, follow_symlinks=False)
        else:
            os.getxattr(path, _ACL)
    except OSError as error:
        if error.errno in {errno.ENODATA, errno.ENOTSUP}:
            return False
        raise _trouble(name or os.readlink(path), error) from None
    return True


def _trouble(path: str, error: OSError) -> Moved:
    if error.errno in _NOT_THERE:
        return NotFound(f"{path} no longer exists")
    return Moved(f"{path}: {error.strerror}")


def filesystem(directory: Directory) -> str:
    """The type of the filesystem that an open directory is on; "" if unknown."""
    mount = ""
    try:
        with open(f"/proc/self/fdinfo/{directory.fd}", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("mnt_id:"):
                    mount = line.split()[1]
    except (OSError, IndexError):
        return ""
    lines_of_mounts = proc.mountinfo().split("\n")
    fields = (line.partition(" - ")[2] for line in lines_of_mounts if line.startswith(f"{mount} "))
    return next(fields, "").partition(" ")[0]
