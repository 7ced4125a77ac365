"""The history of deploys and runs: SQLite, fed with notices; nothing else depends on it.

Theory of operation. `report` puts a notice into a queue and returns; one worker thread owns the
database and writes what has come in, many notices in one transaction. So a slow disk delays the
history and never the daemon. What cannot be written stays in the queue, bounded, and is tried
again; that, and when it works again, is reported once. A file that is damaged, or a newer agent's,
is moved aside and a new one created. Reading opens the file by itself and may be done in any
thread.

Nothing here raises into the daemon, and `close` waits no longer than its timeout.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Unpack

from appagent.host.clock import now
from appagent.model.notices import Fields, Notice, NoticeKind, notice
from appagent.model.words import Now
from appagent.report import history_db
from appagent.report.history_db import Row

FILE = "history.sqlite"

_BACKLOG = 5_000  # notices that wait for a disk
_BATCH = 500
_BRIEFLY = 0.2  # seconds
_RETRY = 5.0  # seconds between two tries
_PRUNE_EVERY = 1_000  # notices
_MOST_AGE = 90 * 86_400.0
_MOST_ROWS = 10_000
_OF_THE_FILE = (sqlite3.DatabaseError, sqlite3.OperationalError)
_DAMAGED = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR))


class _NewerError(Exception):
    """The file is a newer agent's."""


class History:
    """The history of one node; a reporter. Its own trouble it reports from the worker's thread."""

    def __init__(
        self,
        state_dir: str,
        report_trouble: Callable[[Notice], None],
        *,
        clock: Callable[[], Now] = now,
        most_rows: int = _MOST_ROWS,
        retry_after: float = _RETRY,
    ) -> None:
        self.path = Path(state_dir) / FILE
        self._report_trouble = report_trouble
        self._clock = clock
        self._most_rows = most_rows
        self._retry_after = retry_after
        self._incoming: queue.SimpleQueue[Notice | threading.Event | None] = queue.SimpleQueue()
        self._waiting: deque[Notice] = deque()
        self._written = 0
        self._seq = 0
        self._db: sqlite3.Connection | None = None
        self._failing = ""
        self._overflow = 0
        self._one_reads = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="history", daemon=True)
        self._thread.start()

    def report(self, notice: Notice) -> None:
        """Take a notice in, if it is part of the history. Never waits."""
        if notice.kind not in history_db.KINDS:
            return
        if self._incoming.qsize() >= _BACKLOG:
            self._overflow += 1
        else:
            self._incoming.put(notice)

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait until what was reported is written, or was tried; whether that came in time."""
        done = threading.Event()
        self._incoming.put(done)
        return done.wait(timeout)

    @property
    def behind(self) -> bool:
        """Whether what was reported before the last `flush` is not all written."""
        return bool(self._waiting)

    def deploys(
        self, app: str | None = None, limit: int = 20, alive: AbstractSet[str] = frozenset()
    ) -> Iterator[Row]:
        """Read the newest deploys with their runs, newest first, one at a time.

        For another thread than the loop; each step may be in another one. `alive`: ids of the
        deploys and runs that are in progress.
        """
        self.flush()
        try:
            yield from deploys(self.path, app, limit, alive)
        except (sqlite3.Error, OSError) as error:
            self._note(NoticeKind.HISTORY_UNREADABLE, error=str(error))

    def last_ends(self) -> dict[str, float]:
        """Read when each app's last run ended (wall); empty where that cannot be read.

        For another thread than the loop. It waits only briefly for what is not written yet.
        """
        self.flush(_BRIEFLY)
        try:
            # One at a time: SQLite keeps each descriptor of a reader open as long as the writer's.
            with self._one_reads, reading(self.path) as db:
                return history_db.last_ends(db) if db is not None else {}
        except (sqlite3.Error, OSError):
            return {}

    def close(self, timeout: float = 2.0) -> bool:
        """Write what is left and end; whether all of it was written in time."""
        self._incoming.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive() and not self._waiting

    # --- in the worker's thread ------------------------------------------------------------------

    def _work(self) -> None:
        self._attempt()  # reports at once, before there is anything to write, what is wrong
        stop = False
        while not stop:
            events: list[threading.Event] = []
            stop = self._take(events)
            self._attempt()
            for event in events:
                event.set()
        self._close_db()

    def _attempt(self, *, anew: bool = False) -> None:
        """Write what waits; where the file is not usable, once more to a new one."""
        try:
            self._write()
        except Exception as error:  # noqa: BLE001 - whatever it is must not end this thread
            self._close_db()
            if anew:
                self._waiting.clear()  # or each try would set another file aside
                self._report_failing(error)
            elif (kind := _unusable(error)) is not None:
                if self._set_aside(kind, error):
                    self._attempt(anew=True)
            else:
                if not isinstance(error, OSError) and type(error) not in _OF_THE_FILE:
                    self._waiting.clear()  # a bug: what raised it would raise it again
                self._report_failing(error)

    def _take(self, events: list[threading.Event]) -> bool:
        """Wait for something to do, and take all of it; whether it is to end."""
        timeout = self._retry_after if self._waiting else None
        while True:
            try:
                each = self._incoming.get(timeout=timeout)
            except queue.Empty:
                return False
            if each is None:
                return True
            if isinstance(each, threading.Event):
                events.append(each)
            else:
                self._waiting.append(each)
                if len(self._waiting) > _BACKLOG:
                    self._waiting.popleft()
                    self._overflow += 1
            if self._incoming.empty() or (len(self._waiting) >= _BATCH and not self._failing):
                return False
            timeout = 0

    def _write(self) -> None:
        if self._db is None:
            self._open()
        db = self._db
        if db is None or not self._waiting:
            return
        notices = list(self._waiting)
        with db:
            for notice in notices:
                self._seq += 1
                history_db.record(db, notice, self._seq)
        for _ in notices:
            self._waiting.popleft()
        if self._failing:
            self._failing = ""
            self._note(NoticeKind.HISTORY_WORKS, count=self._overflow)
            self._overflow = 0
        self._written += len(notices)
        if self._written >= _PRUNE_EVERY:
            self._prune(db)

    def _open(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(self.path, timeout=5.0)
        try:
            _prepare(db)
            self._seq = history_db.newest(db)
            self._prune(db)
        except BaseException:
            db.close()
            raise
        self._db = db

    def _close_db(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _prune(self, db: sqlite3.Connection) -> None:
        self._written = 0
        with db:
            history_db.prune(db, self._clock().wall - _MOST_AGE, self._most_rows)

    def _report_failing(self, error: Exception) -> None:
        if str(error) != self._failing:
            self._failing = str(error)
            self._note(NoticeKind.HISTORY_FAILED, error=str(error))

    def _set_aside(self, kind: NoticeKind, error: Exception) -> bool:
        aside = self.path.with_name(f"{FILE}.{kind.partition('.')[2]}")
        try:
            self.path.replace(aside)
            for suffix in ("-wal", "-shm"):
                self.path.with_name(FILE + suffix).unlink(missing_ok=True)
        except OSError as another:
            self._report_failing(another)
            return False
        self._note(kind, error=str(error), aside=str(aside))
        return True

    def _note(self, kind: NoticeKind, **fields: Unpack[Fields]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop that takes it may be closed already
            fields["path"] = str(self.path)
            self._report_trouble(notice(kind, self._clock(), **fields))


def _unusable(error: Exception) -> NoticeKind | None:
    """Why the file is to be moved aside; None if it is not."""
    if isinstance(error, _NewerError):
        return NoticeKind.HISTORY_NEWER
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if type(error) in _OF_THE_FILE and code in _DAMAGED:
        return NoticeKind.HISTORY_DAMAGED
    return None


def _prepare(db: sqlite3.Connection) -> None:
    """Make the tables where there are none; raise where they cannot be relied on."""
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > history_db.SCHEMA:
        raise _NewerError(f"schema {version}, and this agent knows up to {history_db.SCHEMA}")
    if version == 0:
        history_db.create(db)
    (sound,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if sound != "ok":
        raise sqlite3.DatabaseError(sound)


def deploys(
    path: Path, app: str | None, limit: int, alive: AbstractSet[str] = frozenset()
) -> Iterator[Row]:
    """Read the newest deploys from a file, without an agent. Raises what SQLite does."""
    with reading(path) as db:
        if db is not None:
            yield from history_db.read(db, app, limit, alive)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Open a file read-only; None where there is none. Raises what SQLite does."""
    if not path.exists():
        yield None
        return
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(
        sqlite3.connect(uri, uri=True, timeout=2.0, check_same_thread=False)
    ) as db:
        yield db
