"""watchdog's frame with emitters of our own: they poll a share and queue what they saw.

watchdog's own polling emitter takes one failed stat for a deletion and ends when its root does. Of
its frame the good part is used: an observer that owns emitter threads, each of which calls
`queue_events` again and again, and one thread that hands on what they queued. Here an emitter
never ends by itself: whatever goes wrong in a turn is logged, and the next turn comes.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from typing import Protocol

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers.api import BaseObserver, EventEmitter, EventQueue, ObservedWatch

from appagent.share.protocol import LogLine, Message

Emit = Callable[[Message], None]

RETRY = 5.0  # s until what failed by an internal error is repeated
_PAUSE = 1.0  # s after such a turn
_TURN = 1.0  # s that a turn may wait for something to do


class Worker(Protocol):
    """What an emitter's thread does."""

    def turn(self, timeout: float, emit: Emit, /) -> None:
        """Do what is due, or wait for it, at most for a time (s)."""


class Observation(FileSystemEvent):
    """A message on its way to the daemon."""

    def __init__(self, message: Message) -> None:
        super().__init__(src_path="")
        self.message = message

    def __eq__(self, other: object) -> bool:
        """No two are equal: watchdog's queue would leave out the second."""
        return self is other

    __hash__ = object.__hash__


class ShareEmitter(EventEmitter):
    """A thread that takes turns, forever."""

    def __init__(
        self,
        event_queue: EventQueue,
        watch: ObservedWatch,
        *,
        workers: Mapping[str, Worker],
        timeout: float = _TURN,
        event_filter: list[type[FileSystemEvent]] | None = None,
    ) -> None:
        super().__init__(event_queue, watch, timeout=timeout, event_filter=event_filter)
        self.name = watch.raw_path
        self._worker = workers[watch.raw_path]

    def queue_events(self, timeout: float) -> None:
        """Take one turn."""
        try:
            self._worker.turn(timeout, self._emit)
        except Exception:  # noqa: BLE001 - a poller that dies in silence sees nothing any more
            text = f"internal error in the {self.name}: {traceback.format_exc()}"
            self._emit(LogLine("error", text))
            time.sleep(_PAUSE)

    def _emit(self, message: Message) -> None:
        self.queue_event(Observation(message))


class ShareObserver(BaseObserver):
    """The emitters of a watcher, one for each worker."""

    def __init__(self, workers: Mapping[str, Worker], put: Emit) -> None:
        super().__init__(ShareEmitter, timeout=_TURN, workers=workers)
        handler = _Handler(put)
        for name in workers:
            # watchdog makes a stat of what it is given to watch, in the thread that asks for it.
            # That thread must touch no share, so it is given the worker's name and not a path.
            self.schedule(handler, name)

    def dead(self) -> str:
        """Name a thread that has ended; "" while all run."""
        threads = [*self.emitters, self]
        return next((thread.name for thread in threads if not thread.is_alive()), "")


class _Handler(FileSystemEventHandler):
    """Passes messages on."""

    def __init__(self, put: Emit) -> None:
        self._put = put

    def dispatch(self, event: FileSystemEvent) -> None:
        """Take one from the queue."""
        if isinstance(event, Observation):
            self._put(event.message)
