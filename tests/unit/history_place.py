"""A state directory with a history, and deploys that are reported to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from appagent.model.notices import Fields, Notice, NoticeKind
from appagent.model.words import Now, Outcome
from appagent.report.history import History

T0 = 1_700_000_000.0
DAY = 86_400.0


def notice(kind: str, at: float, app: str = "web", /, **fields: Any) -> Notice:  # noqa: ANN401
    return Notice(NoticeKind(kind), Now(at, T0 + at), app, cast("Fields", fields))


class Clock:
    def __init__(self) -> None:
        self.wall = T0 + 100.0

    def __call__(self) -> Now:
        return Now(self.wall - T0, self.wall)


class Place:
    """A state directory with a history that reports its trouble into a list."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "history.sqlite"
        self.clock = Clock()
        self.reported: list[Notice] = []

    @contextlib.contextmanager
    def opened(self, *, most_rows: int = 10_000, retry_after: float = 5.0) -> Iterator[History]:
        history = History(
            str(self.path),
            self.reported.append,
            clock=self.clock,
            most_rows=most_rows,
            retry_after=retry_after,
        )
        try:
            yield history
        finally:
            history.close(timeout=30)

    def kinds(self) -> list[str]:
        return [each.kind for each in self.reported]


def report_deploy(
    report: Callable[[Notice], None], n: int, app: str = "web", at: float = 0.0
) -> None:
    """Report all of a deploy with two runs."""
    deploy = {"deploy_id": f"d{n}", "release": f"r{n}", "previous": f"r{n - 1}"}
    report(notice("deploy.seen", at, app, how="inotify", reason="new release", **deploy))
    report(notice("deploy.settled", at + 2, app, conf="env.1:a", **deploy))
    report(notice("deploy.began", at + 2.5, app, **deploy))
    for step, target in enumerate(("install", "restart")):
        run: dict[str, Any] = {"run_id": f"d{n}-{step}", "deploy_id": f"d{n}", "target": target}
        report(notice("run.began", at + 3 + step, app, release=f"r{n}", reason="new", **run))
        end: dict[str, Any] = {"outcome": Outcome.OK, "exit_code": 0, "duration_ms": 700 + step}
        report(notice("run.ended", at + 3.7 + step, app, **run, **end))
    report(notice("deploy.done", at + 5, app, **deploy))
