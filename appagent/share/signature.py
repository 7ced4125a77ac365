"""The signature of a tree: one whole scan of all that does not lie on an ignored path.

Theory of operation. Each directory is listed once, with the status of its entries, which on a
share costs three or four round trips a *directory* and none a file. An entry becomes one line
(name, type, mode, inode, size, mtime, ctime, link text), a directory becomes one block of sorted
lines, the signature is a hash over all blocks. Blocks are kept, as bytes, until the next scan:
that takes some 90 bytes a file, shows which paths differ, and is what the manifest is made of. A
block that is equal to the one before is the very same object, so a scan that finds nothing new
costs no memory.

Of a directory only name, mode and inode count. Its times and size change when an ignored file is
made in it, and on a share they may lag behind for more than a minute.

A listed file that was removed before its status was read means that somebody is writing: the scan
is *torn*, and its signature like no other, so it can never be taken for one that stood. Any other
error ends the scan: a tree is never seen smaller than it is.
"""

from __future__ import annotations

import os
import stat
from _blake2 import blake2b
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from appagent.core.ignore import ignore_id, matcher
from appagent.share.disk import Disk
from appagent.share.layouts import KEY_NAMES
from appagent.share.markers import NotDeployable

SCHEME = "tree.1"  # of the signatures that are made now
_DEEPEST = 128  # directories in one another; each holds a descriptor while it is scanned
_NAMED = 10  # paths that are named as changing
_KINDS = {
    stat.S_IFREG: "f",
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
    stat.S_IFIFO: "p",
    stat.S_IFSOCK: "s",
    stat.S_IFCHR: "c",
    stat.S_IFBLK: "b",
}
_ESCAPES = {ord("\\"): "\\\\", ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}


@dataclass(frozen=True, slots=True)
class Scan:
    """What a whole scan saw: for each directory ("" is the app's own) its block of lines."""

    release: str
    blocks: Mapping[str, bytes]
    torn: tuple[str, ...] = ()  # paths that were removed before their status was read
    key_names: Mapping[str, bool] = field(default_factory=dict)  # of those names: is it a directory

    def changed_since(self, before: Scan) -> tuple[str, ...]:
        """Name up to ten paths that are not as they were in an earlier scan."""
        named: list[str] = list(self.torn)
        for path in sorted(self.blocks.keys() | before.blocks.keys()):
            new, old = self.blocks.get(path, b""), before.blocks.get(path, b"")
            if new is old or new == old:
                continue
            names = {_name(line) for line in set(new.splitlines()) ^ set(old.splitlines())}
            named += sorted(f"{path}/{name}" if path else name for name in names)
            if len(named) >= _NAMED:
                break
        return tuple(named[:_NAMED])


class SignatureScanner:
    """Scans one app's tree; the ignore lines are understood once."""

    def __init__(self, ignore: tuple[str, ...], scheme: str = SCHEME) -> None:
        self._ignored = matcher(ignore)
        self._scheme = scheme
        self._prefix = f"{self._scheme}:{ignore_id(ignore)}:"

    def skips(self, path: str, *, is_dir: bool) -> bool:
        """Whether a path within the app does not count."""
        return self._ignored(path, is_dir)

    def scan(  # noqa: PLR0913 - the last one may be left out
        self,
        disk: Disk,
        base: str,
        began: float,
        others: frozenset[str],
        before: Scan | None,
        *,
        between: Callable[[], None] = lambda: None,
    ) -> Scan:
        """Scan the tree at `base`. What is mounted on one of `others` is not entered.

        `before` is an earlier scan of this scanner's; `between` is called between directories.
        """
        blocks = before.blocks if before else {}
        pass_ = _Pass(disk, base, self._ignored, others, blocks, between)
        fd = disk.open_dir(base)
        try:
            pass_.directory(fd, "", 0)
        finally:
            disk.close(fd)
        torn = tuple(pass_.torn)
        if before is not None and pass_.is_as_before():
            return Scan(before.release, before.blocks, torn, pass_.key_names)
        state = blake2b(digest_size=16, person=f"appagent.{self._scheme}".encode())
        for path, block in pass_.blocks.items():
            state.update(b"%d %d " % (len(path), len(block)))
            state.update(os.fsencode(path))
            state.update(block)
        if pass_.torn:
            state.update(b"torn %r" % began)
        release = self._prefix + state.hexdigest()
        return Scan(release, pass_.blocks, torn, pass_.key_names)


@dataclass(slots=True)
class _Pass:
    """One scan under way."""

    disk: Disk
    base: str
    ignored: Callable[[str, bool], bool]
    others: frozenset[str]
    before: Mapping[str, bytes]
    between: Callable[[], None]
    blocks: dict[str, bytes] = field(default_factory=dict)
    torn: list[str] = field(default_factory=list)
    key_names: dict[str, bool] = field(default_factory=dict)

    def is_as_before(self) -> bool:
        """Whether nothing differs: a block that does not is the very same object."""
        before = self.before
        return (
            not self.torn
            and len(self.blocks) == len(before)
            and all(before.get(path) is block for path, block in self.blocks.items())
        )

    def directory(self, fd: int, path: str, depth: int) -> None:
        """Scan an open directory, then those inside it."""
        if depth > _DEEPEST:
            raise NotDeployable(
                f"{self.base}/{path} is too deep: more than {_DEEPEST} nested directories"
            )
        self.between()
        prefix = f"{path}/" if path else ""
        where = f"{self.base}/{path}" if path else self.base
        ignored, key_names = self.ignored, self.key_names

        def skip(name: str, is_dir: bool) -> bool:  # noqa: FBT001 - a property, not a switch
            if not depth and name in KEY_NAMES:
                key_names[name] = is_dir
            return ignored(prefix + name, is_dir)

        listing = self.disk.entries(fd, where, skip)
        self.torn += [prefix + name for name in listing.vanished]
        lines, inside = [], []
        for name, status in sorted(listing.found):
            mode = status.st_mode
            kind = _KINDS.get(stat.S_IFMT(mode), "?")
            plain = name if name.isprintable() and "\\" not in name else name.translate(_ESCAPES)
            if kind == "d":
                mounted = f"{where}/{name}" in self.others
                inode = 0 if mounted else status.st_ino
                lines.append(f"{plain}\td\t{mode & 0o7777:o}\t{inode}\t0\t0\t0\t\n")
                if not mounted:
                    inside.append(name)
                continue
            link = ""
            if kind == "l":
                try:
                    link = self.disk.readlink_at(fd, name, f"{where}/{name}").translate(_ESCAPES)
                except FileNotFoundError:
                    self.torn.append(prefix + name)
            lines.append(
                f"{plain}\t{kind}\t{mode & 0o7777:o}\t{status.st_ino}\t{status.st_size}\t"
                f"{status.st_mtime_ns}\t{status.st_ctime_ns}\t{link}\n"
            )
        block = "".join(lines).encode("utf-8", "surrogateescape")
        old = self.before.get(path)
        self.blocks[path] = old if old == block and old is not None else block
        for name in inside:
            self._inside(fd, name, prefix + name, depth)

    def _inside(self, fd: int, name: str, path: str, depth: int) -> None:
        try:
            child = self.disk.open_dir(f"{self.base}/{path}", name, fd)
        except (FileNotFoundError, NotADirectoryError):  # replaced since it was listed
            self.torn.append(path)
            return
        try:
            self.directory(child, path, depth + 1)
        finally:
            self.disk.close(child)


def _name(line: bytes) -> str:
    """The name in a line, for people."""
    return line.split(b"\t", 1)[0].decode("utf-8", "surrogateescape")
