"""What this node remembers, on the local disk: one small JSON file for each app.

    <state_dir>/lock                      held (flock) by the one agent that uses this directory
    <state_dir>/secret                    32 bytes; the key of the digests of env values
    <state_dir>/node.json                 roots ever seen mounted, the hold on the node
    <state_dir>/apps/<app>/record.json    Record
    <state_dir>/apps/<app>/Makefile.kept  copy of the last Makefile: shim/kept.py
    <state_dir>/apps/.removed-<app>       an app that was dropped, while it is being removed

A file is replaced as a whole, so after a crash it has the old content or the new one. A file that
cannot be read is moved aside (`.damaged`, or `.newer` if a newer agent wrote it) and reported; its
app then counts as `lost`.

A disk that cannot be written (full, read-only, broken) stops nothing: what could not be written is
kept in memory, reported once, and tried again at every save and at `flush`. That all of it is on
the disk again is reported once too. A crash before that loses it, which costs a run at most.

No method raises an error of the disk, but the constructor raises `StateError`. All methods belong
to one thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, Unpack

from appagent.host import clock, files
from appagent.model.applied import Hold, Record
from appagent.model.codec import MAX_BYTES, Damaged, Newer, dump, parse
from appagent.model.notices import Fields, Notice, NoticeKind, notice
from appagent.state.directory import make_directory, take_lock

SECRET_BYTES = 32
REMOVED = ".removed-"  # the prefix of an app's directory while it is being removed

T = TypeVar("T")

Write = Callable[[Path, bytes], None]


@dataclass(frozen=True, slots=True)
class NodeState:
    """The state of the node, beside its apps."""

    mounted: frozenset[str] = frozenset()
    hold: Hold | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """All that was stored, and what is to be reported about it."""

    records: dict[str, Record] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()  # apps with a directory and without a readable record
    mounted: frozenset[str] = frozenset()
    hold: Hold | None = None
    secret: bytes = b""
    notices: tuple[Notice, ...] = ()


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file, so that it is the old one or the new one even after a crash."""
    files.replace(path, content, sync=True)


class Store:
    """The state directory of one agent, locked while this object is open.

    Make it after daemonizing, which closes every descriptor, the lock's too.
    """

    def __init__(self, state_dir: str, *, write: Write = replace_file) -> None:
        """Create, check and lock the directory, or raise StateError."""
        self.path = Path(state_dir)
        self._node_file = self.path / "node.json"
        self._write = write
        self._unwritten: dict[Path, bytes | None] = {}  # None: remove its directory
        self._reported: set[int | None] = set()  # errno
        self._node = NodeState()
        make_directory(self.path)
        self._lock = take_lock(self.path)

    def close(self) -> None:
        """Try once more to write what could not be written, and release the lock."""
        if self._lock >= 0:
            self.flush()
            os.close(self._lock)
            self._lock = -1

    def app_dir(self, app: str) -> Path:
        """The directory of an app; ValueError if its name could lead elsewhere."""
        if not app or "/" in app or "\0" in app or app.startswith("."):
            raise ValueError(f"{app!r} is not a valid app name")
        return self.path / "apps" / app

    # --- reading ---------------------------------------------------------------------------------

    def load(self) -> Loaded:
        """Read everything. A file that is damaged or newer is moved aside and reported."""
        notices: list[Notice] = []
        records: dict[str, Record] = {}
        lost: set[str] = set()
        for directory in self._app_dirs(notices):
            app = directory.name
            found = self._read(directory / "record.json", "record", Record, notices, app)
            if found is not None and found.app == app:
                records[app] = found
            elif found is not None:
                what = Damaged(f"it is the record of {found.app}")
                notices.append(self._set_aside(directory / "record.json", what, app))
                lost.add(app)
            elif _has_entries(directory):
                lost.add(app)
        self._node = self._read(self._node_file, "node", NodeState, notices) or NodeState()
        secret = self._secret(notices, known=bool(records or lost))
        return Loaded(
            records, frozenset(lost), self._node.mounted, self._node.hold, secret, tuple(notices)
        )

    # --- writing ---------------------------------------------------------------------------------

    def save(self, record: Record) -> list[Notice]:
        """Put a record on the disk before this returns; notices about the disk."""
        return self._put(self.app_dir(record.app) / "record.json", dump("record", record))

    def drop(self, app: str) -> list[Notice]:
        """Remove the directory of an app."""
        return self._put(self.app_dir(app) / "record.json", None)

    def save_roots(self, mounted: frozenset[str]) -> list[Notice]:
        """Store which roots were ever seen mounted."""
        self._node = NodeState(mounted, self._node.hold)
        return self._put(self._node_file, dump("node", self._node))

    def save_node_hold(self, hold: Hold | None) -> list[Notice]:
        """Store the hold on the whole node."""
        self._node = NodeState(self._node.mounted, hold)
        return self._put(self._node_file, dump("node", self._node))

    def flush(self) -> list[Notice]:
        """Try again what could not be written."""
        failed: dict[int | None, tuple[Path, OSError]] = {}
        for path, content in list(self._unwritten.items()):
            try:
                self._carry_out(path, content)
            except OSError as error:
                failed.setdefault(error.errno, (path, error))
            else:
                del self._unwritten[path]
        notices = [
            self._notice(NoticeKind.STORE_FAILED, path, error=error.strerror or str(error))
            for number, (path, error) in failed.items()
            if number not in self._reported
        ]
        self._reported.update(failed)
        if self._reported and not self._unwritten:
            self._reported.clear()
            notices.append(self._notice(NoticeKind.STORE_WORKS, self.path))
        return notices

    @property
    def unwritten(self) -> tuple[str, ...]:
        """What is only in memory: paths below the state directory."""
        return tuple(sorted(str(path.relative_to(self.path)) for path in self._unwritten))

    # --- inside ----------------------------------------------------------------------------------

    def _put(self, path: Path, content: bytes | None) -> list[Notice]:
        # The newest goes first: on a disk with little room it matters most.
        self._unwritten.pop(path, None)
        self._unwritten = {path: content, **self._unwritten}
        return self.flush()

    def _carry_out(self, path: Path, content: bytes | None) -> None:
        if content is None:
            self._remove_app(path.parent)
            return
        if len(content) > MAX_BYTES:
            raise OSError(errno.EFBIG, f"{len(content)} bytes; the limit is {MAX_BYTES}")
        for directory in (self.path / "apps", path.parent):
            if path.is_relative_to(directory) and not directory.is_dir():
                directory.mkdir(mode=0o700)
                files.sync_directory(directory.parent)
        self._write(path, content)

    def _remove_app(self, directory: Path) -> None:
        """Rename the directory of an app, which is atomic, and then remove it."""
        removed = directory.with_name(REMOVED + directory.name)
        if removed.exists():  # an earlier attempt failed
            shutil.rmtree(removed)
        if directory.exists():
            directory.rename(removed)
            files.sync_directory(directory.parent)
            shutil.rmtree(removed)

    def _app_dirs(self, notices: list[Notice]) -> list[Path]:
        """The directories of the apps; removes what a crash left half-written."""
        apps = self.path / "apps"
        try:
            found = sorted(path for path in apps.iterdir() if path.is_dir())
        except FileNotFoundError:
            found = []
        except OSError as error:
            notices.append(self._unreadable(apps, error))
            found = []
        for path in found:
            if path.name.startswith(REMOVED):
                with contextlib.suppress(OSError):
                    shutil.rmtree(path)
        found = [path for path in found if not path.name.startswith(".")]
        stray = [path / "record.json.new" for path in found]
        for each in (*stray, self.path / "node.json.new", self.path / "secret.new"):
            with contextlib.suppress(OSError):
                each.unlink()
        return found

    def _read(
        self, path: Path, name: str, kind: type[T], notices: list[Notice], app: str = ""
    ) -> T | None:
        try:
            return parse(name, kind, _content(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            notices.append(self._unreadable(path, error, app))
        except (Damaged, Newer) as error:
            notices.append(self._set_aside(path, error, app))
        return None

    def _secret(self, notices: list[Notice], *, known: bool) -> bytes:
        path = self.path / "secret"
        try:
            secret = _content(path)
            if len(secret) == SECRET_BYTES:
                return secret
            notices.append(self._set_aside(path, Damaged(f"{len(secret)} bytes instead of 32")))
        except FileNotFoundError:
            pass
        except (OSError, Damaged) as error:
            notices.append(self._set_aside(path, error))
        secret = secrets.token_bytes(SECRET_BYTES)
        if known:
            notices.append(self._notice(NoticeKind.STORE_SECRET, path))
        notices.extend(self._put(path, secret))
        return secret

    def _set_aside(self, path: Path, why: Exception, app: str = "") -> Notice:
        newer = isinstance(why, Newer)
        kind = NoticeKind.STORE_NEWER if newer else NoticeKind.STORE_DAMAGED
        aside = path.with_name(f"{path.name}.{'newer' if newer else 'damaged'}")
        try:
            path.replace(aside)
        except OSError as error:
            return self._notice(kind, path, app, error=str(why), line=str(error.strerror))
        return self._notice(kind, path, app, error=str(why), aside=str(aside))

    def _unreadable(self, path: Path, error: OSError, app: str = "") -> Notice:
        return self._notice(NoticeKind.STORE_UNREADABLE, path, app, error=str(error.strerror))

    def _notice(
        self, kind: NoticeKind, path: Path, app: str = "", /, **fields: Unpack[Fields]
    ) -> Notice:
        fields["path"] = str(path)
        return notice(kind, clock.now(), app, **fields)


def _has_entries(directory: Path) -> bool:
    try:
        return any(directory.iterdir())
    except OSError:
        return True


def _content(path: Path) -> bytes:
    """Read a small file. Never blocks, whatever has its name."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise Damaged("not a file")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)
