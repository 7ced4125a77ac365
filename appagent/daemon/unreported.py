"""Ends of runs that the history may lack: results on the disk that no record waits for.

Theory of operation. A run is over as soon as it is in its record; the history is written beside
that, a moment later. If the agent is killed in this moment, the history never gets the end. So the
result of a run stays on the disk until the history has it there too, and the next agent adds all
results that it finds to the history. What the history has already stays as it is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from appagent.core.runs import end_fields
from appagent.host.text import one_line, plain
from appagent.model.applied import Run
from appagent.model.codec import Damaged, Newer, parse
from appagent.model.events import Ended
from appagent.model.notices import Notice, NoticeKind, notice
from appagent.model.words import Now
from appagent.report.history import History
from appagent.run import results
from appagent.run.launch import Paths

MOST_KEPT = 1_000  # results, for a history that cannot be written


class Unreported:
    """The results of runs, until the history has them."""

    def __init__(self, paths: Paths, history: History) -> None:
        """Take where results are and the history that needs them."""
        self.paths = paths
        self.history = history

    def report(self, over: Sequence[str]) -> None:
        """Report to the history what an earlier agent may not have reported of these runs."""
        for run_id in over:
            result = self._result(run_id)
            if result is not None:
                self.history.report(result)

    async def sweep(self, over: Sequence[str], unwritten: Collection[str]) -> None:
        """Remove the files of these runs, in the order of their ids, that nobody needs any more.

        Records that are only in memory (`unwritten`) may wait for any of them in the next agent.
        """
        written = await asyncio.to_thread(self.history.flush) and not self.history.behind
        done = over if written and not unwritten else over[:-MOST_KEPT]
        await asyncio.to_thread(self._clear, done)

    def _clear(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            results.clear(self.paths, run_id)

    def _result(self, run_id: str) -> Notice | None:
        """Make the notice of a result; None where nothing of the app ran, or it is not valid."""
        path = Path(self.paths.result(run_id))
        found = results.load(str(path))
        if found is None:
            return None
        try:
            run = parse("run", Run, str(found.get("run")).encode("utf-8", "replace"))
            at = path.stat().st_mtime
        except (Damaged, Newer, OSError):
            return None
        if run.id != run_id:
            return None
        ended = safe(results.ended(run, found, adopted=False))
        if not ended.calls:
            return None
        run = replace(run, target=ended.step or run.target)
        fields = end_fields(run, ended, run.steps)
        return notice(NoticeKind.RUN_RESULT, Now(time.monotonic(), at), run.app, **fields)


def safe(ended: Ended) -> Ended:
    """Make what a run printed safe to keep and show."""
    return replace(ended, line=one_line(ended.line), tail=plain(ended.tail))
