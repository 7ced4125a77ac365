"""What happened, as it is told to every report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from appagent.model.words import Now, Version


class Level(StrEnum):
    """How loud a fact is."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that happened; the only thing that reports are made of.

    kind is a dotted word: deploy.seen deploy.settled deploy.began deploy.done deploy.failed
    deploy.superseded run.began run.ended app.new app.gone app.unknown app.known app.waiting
    app.refused app.held app.resumed app.stopped root.unknown root.known watcher.stuck watcher.back
    watcher.died config.loaded config.refused agent.ready agent.stopping store.failed …
    """

    kind: str
    at: Now
    text: str  # one line for a person
    app: str = ""
    level: Level = Level.INFO
    # Plain values by lower-case name: release, previous, target, run_id, deploy_id, reason,
    # outcome, exit_code, duration_ms, tail, path … The journal gets them upper-case.
    fields: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deploy:
    """From the first difference to good."""

    id: str
    version: Version
    previous: str
    how: str  # which look, which event
    seen: Now
    settled: Now | None = None
    begun: Now | None = None
    boot: str = ""  # in which it has begun; in another one its times say nothing
