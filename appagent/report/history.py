"""The history of deploys and runs: SQLite, fed with facts, and nothing that anything rests on.

Theory of operation. `tell` puts a fact into a queue and returns; one worker thread owns the
database and writes what has come in, many facts in one transaction. So a slow disk delays the
history and never the daemon. What cannot be written stays in the queue, bounded, and is tried
again; that, and when it works again, is said once. A file that is damaged, or a newer agent's, is
moved aside and a new one begun. Reading opens the file by itself and may be done in any thread.

Nothing here raises into the daemon, and `close` waits no longer than it is told to.
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

from appagent.host.clock import now
from appagent.model.notices import Level, Notice
from appagent.model.words import Now
from appagent.report import history_db
from appagent.report.history_db import PastDeploy

FILE = "history.sqlite"

_BACKLOG = 5_000  # facts that wait for a disk
_BATCH = 500
_BRIEFLY = 0.2  # seconds
_AGAIN = 5.0  # seconds between two tries
_PRUNE_EVERY = 1_000  # facts
_MOST_AGE = 90 * 86_400.0
_MOST_ROWS = 10_000
_UNSOUND = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR))


class _NewerError(Exception):
    """The file is a newer agent's."""


class History:
    """The history of one node. `tell` of the constructor is called in the worker's thread."""

    def __init__(
        self,
        state_dir: str,
        tell: Callable[[Notice], None],
        *,
        clock: Callable[[], Now] = now,
        most_rows: int = _MOST_ROWS,
        again: float = _AGAIN,
    ) -> None:
        self.path = Path(state_dir) / FILE
        self._tell = tell
        self._clock = clock
        self._most_rows = most_rows
        self._again = again
        self._incoming: queue.SimpleQueue[Notice | threading.Event | None] = queue.SimpleQueue()
        self._waiting: deque[Notice] = deque()
        self._written = 0
        self._seq = 0
        self._db: sqlite3.Connection | None = None
        self._failing = ""
        self._overflow = 0
        self._thread = threading.Thread(target=self._work, name="history", daemon=True)
        self._thread.start()

    def tell(self, notice: Notice) -> None:
        """Take a fact in; what is no part of the history is passed over. Never waits."""
        if notice.kind not in history_db.KINDS:
            return
        if self._incoming.qsize() >= _BACKLOG:
            self._overflow += 1
        else:
            self._incoming.put(notice)

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait until what was told before is written, or was tried; whether that came in time."""
        done = threading.Event()
        self._incoming.put(done)
        return done.wait(timeout)

    @property
    def behind(self) -> bool:
        """Whether what was told before the last `flush` is not all written."""
        return bool(self._waiting)

    def deploys(
        self, app: str | None = None, limit: int = 20, alive: AbstractSet[str] = frozenset()
    ) -> Iterator[PastDeploy]:
        """Read the newest deploys with their runs, newest first, one at a time.

        For another thread than the loop; each step may be in another one. `alive`: ids of the
        deploys and runs that are under way now.
        """
        self.flush()
        try:
            yield from deploys(self.path, app, limit, alive)
        except (sqlite3.Error, OSError) as error:
            self._fact("history.unreadable", f"cannot read {self.path}: {error}", Level.WARNING)

    def last_ends(self) -> dict[str, float]:
        """Read when each app's last run ended (wall); empty where that cannot be read.

        For another thread than the loop. It waits only briefly for what is not written yet.
        """
        self.flush(_BRIEFLY)
        try:
            with reading(self.path) as db:
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
        self._attempt()  # says at once, before there is anything to write, what is wrong
        stop = False
        while not stop:
            events: list[threading.Event] = []
            stop = self._take(events)
            self._attempt()
            for event in events:
                event.set()
        self._let_go()

    def _attempt(self) -> None:
        try:
            self._write()
        except Exception as error:  # noqa: BLE001 - whatever it is must not end this thread
            if self._in_trouble(error):
                self._attempt_anew()

    def _attempt_anew(self) -> None:
        try:
            self._write()
        except Exception as error:  # noqa: BLE001 - whatever it is must not end this thread
            self._let_go()
            self._waiting.clear()  # or each try would set another file aside
            self._say_failing(error)

    def _take(self, events: list[threading.Event]) -> bool:
        """Wait for something to do, and take all of it; whether it is to end."""
        timeout = self._again if self._waiting else None
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
            lost = f"; {self._overflow} facts are missing in it" if self._overflow else ""
            self._overflow = 0
            self._fact("history.works", f"{self.path} can be written again{lost}", Level.INFO)
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

    def _let_go(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _prune(self, db: sqlite3.Connection) -> None:
        self._written = 0
        with db:
            history_db.prune(db, self._clock().wall - _MOST_AGE, self._most_rows)

    def _in_trouble(self, error: Exception) -> bool:
        """Deal with what keeps us from writing; whether to try again at once, with a new file."""
        self._let_go()
        if isinstance(error, _NewerError):
            return self._set_aside("newer", error)
        if type(error) in (sqlite3.DatabaseError, sqlite3.OperationalError):
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
            if code & 0xFF in _UNSOUND:
                return self._set_aside("damaged", error)
        elif not isinstance(error, OSError):
            self._waiting.clear()  # a fault of ours: what raised it would raise it again
        self._say_failing(error)
        return False

    def _say_failing(self, error: Exception) -> None:
        if str(error) != self._failing:
            self._failing = str(error)
            text = f"cannot write {self.path}: {error}; going on without it"
            self._fact("history.failed", text, Level.WARNING)

    def _set_aside(self, word: str, error: Exception) -> bool:
        aside = self.path.with_name(f"{FILE}.{word}")
        try:
            self.path.replace(aside)
            for suffix in ("-wal", "-shm"):
                self.path.with_name(FILE + suffix).unlink(missing_ok=True)
        except OSError as another:
            self._say_failing(another)
            return False
        text = f"{self.path} is {word} ({error}); it is kept as {aside}, and a new one begun"
        self._fact(f"history.{word}", text, Level.WARNING)
        return True

    def _fact(self, kind: str, text: str, level: Level) -> None:
        with contextlib.suppress(RuntimeError):  # the loop that is told may be closed already
            self._tell(Notice(kind, self._clock(), text, "", level, {"path": str(self.path)}))


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
) -> Iterator[PastDeploy]:
    """Read the newest deploys from a file, for when no agent answers. Raises what SQLite does."""
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
