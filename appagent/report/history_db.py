"""Deploys and runs as rows: made of notices, read back as values.

A notice fills in what it knows of a row and leaves the rest as it was, so the same notice twice,
one that was missed, or a run that another agent began all do no harm. Rows carry one number over
both tables, in the order in which they began: that order outlives a clock that jumps.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from appagent.host.text import one_line, tail
from appagent.model.notices import Notice, NoticeKind
from appagent.report.messages import message

SCHEMA = 1

_TABLES = """
CREATE TABLE deploys (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, app TEXT NOT NULL,
    release TEXT, previous TEXT, conf TEXT, reason TEXT, how TEXT,
    seen REAL, settled REAL, began REAL, ended REAL, -- wall
    settled_ms INTEGER, -- seen -> settled
    queue_ms INTEGER, -- settled -> began
    run_ms INTEGER, -- began -> ended
    duration_ms INTEGER, -- seen -> ended
    outcome TEXT, -- done, failed, superseded; read also: running, interrupted
    target TEXT, -- that failed
     exit_code INTEGER, line TEXT, tail TEXT);
CREATE TABLE runs (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, app TEXT NOT NULL, deploy_id TEXT,
    target TEXT, release TEXT, reason TEXT, adopted TEXT,
    began REAL, ended REAL, duration_ms INTEGER,
    outcome TEXT, exit_code INTEGER, line TEXT, tail TEXT);
CREATE INDEX deploys_app ON deploys (app, seq);
CREATE INDEX runs_app ON runs (app, seq);
CREATE INDEX runs_deploy ON runs (deploy_id);
"""

# Of each kind: the table, the column that has its time, and the outcome that it means.
_ROWS = {
    NoticeKind.DEPLOY_SEEN: ("deploys", "seen", ""),
    NoticeKind.DEPLOY_SETTLED: ("deploys", "settled", ""),
    NoticeKind.DEPLOY_BEGAN: ("deploys", "began", ""),
    NoticeKind.DEPLOY_DONE: ("deploys", "ended", "done"),
    NoticeKind.DEPLOY_FAILED: ("deploys", "ended", "failed"),
    NoticeKind.DEPLOY_SUPERSEDED: ("deploys", "ended", "superseded"),
    NoticeKind.RUN_BEGAN: ("runs", "began", ""),
    NoticeKind.RUN_ENDED: ("runs", "ended", ""),
    NoticeKind.RUN_RESULT: ("runs", "ended", ""),
}
_TEXTS = {
    "deploys": ("release", "previous", "conf", "reason", "how", "target"),
    "runs": ("deploy_id", "target", "release", "reason", "adopted", "outcome"),
}
_NUMBERS = {
    "deploys": ("settled_ms", "queue_ms", "run_ms", "duration_ms", "exit_code"),
    "runs": ("duration_ms", "exit_code"),
}
# What came first stays: the agent that adopts a run names a deploy of its own.
_STAYS = frozenset(("seq", "id", "app", "deploy_id", "seen", "began"))

KINDS = frozenset((*_ROWS, NoticeKind.DEPLOY_VOID))

_TAIL_LIMIT = 4_000
_LINE_LIMIT = 1_000
# Only the newest deploys are read in full; so a long history costs little more than its lines.
_IN_FULL = 50
_RUNS_SHOWN, _RUNS_OF_OLDER = 50, 10
_TAILS_SHOWN = 5  # of one deploy

Value = str | int | float
Row = dict[
    str, Any
]  # the columns but `seq`; of a deploy also `runs`, in the order in which they ran


def create(db: sqlite3.Connection) -> None:
    """Make the tables in an empty database."""
    db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")


def newest(db: sqlite3.Connection) -> int:
    """Return the highest number of a row."""
    sql = "SELECT max(seq) FROM (SELECT seq FROM deploys UNION ALL SELECT seq FROM runs)"
    return int(db.execute(sql).fetchone()[0] or 0)


def last_ends(db: sqlite3.Connection) -> dict[str, float]:
    """Return when the last run of each app ended (wall)."""
    sql = "SELECT app, max(ended) FROM runs WHERE ended IS NOT NULL GROUP BY app"
    return dict(db.execute(sql).fetchall())


def record(db: sqlite3.Connection, notice: Notice, seq: int) -> None:
    """Fill in what a notice knows; `seq` is the number of a row that has to be made."""
    fields = notice.fields
    if notice.kind is NoticeKind.DEPLOY_VOID:  # nothing was started
        sql = "DELETE FROM deploys WHERE id = ? AND began IS NULL"
        db.execute(sql, (fields.get("deploy_id", ""),))
        return
    table, time, outcome = _ROWS[notice.kind]
    id_ = fields.get("deploy_id", "") if table == "deploys" else fields.get("run_id", "")
    if not id_ or not notice.app:
        return
    values: dict[str, Value] = {"seq": seq, "id": one_line(id_, 100), "app": one_line(notice.app)}
    values |= {time: notice.at.wall, **_known(fields, table)}
    if outcome:
        values["outcome"] = outcome
    if time == "ended":
        values["line"] = one_line(fields.get("line") or message(notice), _LINE_LIMIT)
        values["tail"] = tail(fields.get("tail", ""), _TAIL_LIMIT)
    updates = ", ".join(
        f"{n} = coalesce({n}, excluded.{n})" if n in _STAYS else f"{n} = excluded.{n}"
        for n in values
        if n not in ("seq", "id", "app")
    )
    sql = (
        f"INSERT INTO {table} ({', '.join(values)}) "  # noqa: S608 - names from here alone
        f"VALUES ({', '.join('?' * len(values))}) ON CONFLICT (id) DO UPDATE SET {updates}"
    )
    if notice.kind is NoticeKind.RUN_RESULT:  # as its shim saw it; what an agent reported says more
        sql += f" WHERE {table}.outcome IS NULL"
    db.execute(sql, tuple(values.values()))


def _known(fields: Mapping[str, object], table: str) -> dict[str, Value]:
    texts = {n: one_line(str(fields[n]), _LINE_LIMIT) for n in _TEXTS[table] if n in fields}
    numbers: dict[str, Value] = {}
    for name in _NUMBERS[table]:
        value = fields.get(name)
        if isinstance(value, (int, float)) and abs(value) < 1 << 62:
            numbers[name] = round(value)
    return {**texts, **numbers}


def prune(db: sqlite3.Connection, before: float, most: int) -> None:
    """Delete what ended before a time, and all but the newest rows."""
    old = "coalesce(ended, began, settled, seen, 0) < ?"
    db.execute(f"DELETE FROM deploys WHERE {old}", (before,))  # noqa: S608 - no value in it
    db.execute("DELETE FROM runs WHERE coalesce(ended, began, 0) < ?", (before,))
    for table in ("deploys", "runs"):
        sql = (
            f"DELETE FROM {table} WHERE seq <= "  # noqa: S608 - no value in it
            f"(SELECT seq FROM {table} ORDER BY seq DESC LIMIT 1 OFFSET ?)"
        )
        db.execute(sql, (most,))


def read(
    db: sqlite3.Connection, app: str | None, limit: int, alive: AbstractSet[str]
) -> Iterator[Row]:
    """Read the newest deploys one by one, newest first; only one is held at a time.

    In the order in which their first runs began, which is what is shown of them; one that was only
    seen, by that.

    The newest are read in full, older ones with fewer runs and without output. `alive` are the ids
    of the deploys and runs that are in progress: what has no end and is not among them was
    interrupted.
    """
    mine = "" if app is None else "app = :app AND "
    sql = f"""
        SELECT coalesce((SELECT min(runs.seq) FROM runs WHERE deploy_id = deploys.id), seq) AS seq,
            'deploy' AS what, id FROM deploys WHERE {mine} 1
        UNION ALL
        SELECT seq, 'run', id FROM runs WHERE {mine}
            coalesce(deploy_id, '') NOT IN (SELECT id FROM deploys)
        ORDER BY seq DESC LIMIT :limit"""  # noqa: S608 - no value in it
    found = db.execute(sql, {"app": app, "limit": max(0, min(limit, 1 << 31))}).fetchall()
    for number, (_, what, name) in enumerate(found):
        read_one = _deploy if what == "deploy" else _lone_run
        deploy = read_one(db, name, alive, in_full=number < _IN_FULL)
        if deploy:  # or it was pruned just now
            yield deploy


def _deploy(db: sqlite3.Connection, name: str, alive: AbstractSet[str], *, in_full: bool) -> Row:
    row = _row(db, "SELECT * FROM deploys WHERE id = ?", name)
    if not row:
        return row
    sql = "SELECT * FROM runs WHERE deploy_id = ? ORDER BY seq DESC LIMIT ?"
    tails = _TAILS_SHOWN if in_full else 0
    runs: list[Row] = []
    for each in _rows(db, sql, name, _RUNS_SHOWN if in_full else _RUNS_OF_OLDER):
        runs.insert(0, _run(each, alive, with_tail=tails > 0))
        tails -= bool(runs[0]["tail"])
    going = name in alive or any(run["outcome"] == "running" for run in runs)
    row["outcome"] = row["outcome"] or ("running" if going else "interrupted")
    row["tail"] = row["tail"] if in_full else ""
    settled = row["settled"] or row["seen"]
    for part, begin, end in (
        ("settled_ms", row["seen"], row["settled"]),
        ("queue_ms", settled, row["began"]),
        ("run_ms", row["began"], row["ended"]),
        ("duration_ms", row["seen"], row["ended"]),
    ):
        # As reported (monotonic clock), else from the times kept.
        if row[part] is None and begin is not None and end is not None:
            row[part] = max(0, round((end - begin) * 1000))
    return row | {"runs": runs}


def _lone_run(db: sqlite3.Connection, name: str, alive: AbstractSet[str], *, in_full: bool) -> Row:
    """Read a run that belongs to no deploy, as one without an id."""
    row = _row(db, "SELECT * FROM runs WHERE id = ?", name)
    if not row:
        return row
    run = _run(row, alive, with_tail=in_full)
    texts = dict.fromkeys(("id", "previous", "conf", "how"), "")
    times = dict.fromkeys(("seen", "settled", "settled_ms", "queue_ms"))
    mine = {key: run[key] for key in run if key not in ("id", "deploy_id", "adopted")}
    return {**mine, **texts, **times, "run_ms": run["duration_ms"], "runs": [run]}


def _run(row: Row, alive: AbstractSet[str], *, with_tail: bool) -> Row:
    row["tail"] = row["tail"] if with_tail else ""
    row["adopted"] = bool(row["adopted"])
    row["outcome"] = row["outcome"] or ("running" if row["id"] in alive else "interrupted")
    return row


def _row(db: sqlite3.Connection, sql: str, name: str) -> Row:
    return next(_rows(db, sql, name), {})


def _rows(db: sqlite3.Connection, sql: str, *values: Value) -> Iterator[Row]:
    """Read rows without their numbers; a text that is not there is ""."""
    cursor = db.execute(sql, values)
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield {
            name: "" if value is None and name in _WORDS else value
            for name, value in zip(names, row, strict=True)
            if name != "seq"
        }


_WORDS = frozenset((*_TEXTS["deploys"], *_TEXTS["runs"], "line", "tail"))
