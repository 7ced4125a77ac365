"""The daemon's side of requests: which wait for an answer, and what happens if none comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from appagent.share.requests import MOST_WAITING, Answer, error_of


class Pending:
    """Requests by their numbers. All methods belong to the loop's thread and return at once."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._futures: dict[int, asyncio.Future[Answer]] = {}
        self._count = 0

    def begin(self, seconds: float, send: Callable[[int], None]) -> asyncio.Future[Answer]:
        """Send a request with its number; its answer, or TimeoutError after `seconds`.

        Raises ConnectionError where too many wait already.
        """
        if len(self._futures) >= MOST_WAITING:
            raise ConnectionError("too many requests wait for the share")
        self._count += 1
        number = self._count
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._futures[number] = future
        timer = self._loop.call_later(seconds, self._too_late, number)
        future.add_done_callback(lambda _: self._forget(number, timer))
        send(number)
        return future

    def answer(self, answer: Answer) -> None:
        """Take an answer; one that nobody waits for any more is ignored."""
        future = self._futures.get(answer.id)
        if future is None or future.done():
            return
        if answer.failure is None:
            future.set_result(answer)
        else:
            future.set_exception(error_of(answer.failure))

    def end(self, why: str) -> None:
        """Fail all that wait: the watcher has ended. They may have been done, or not."""
        for future in self._futures.values():
            if not future.done():
                future.set_exception(ConnectionError(why))

    def _too_late(self, number: int) -> None:
        future = self._futures.get(number)
        if future is not None and not future.done():
            future.set_exception(TimeoutError("the share did not answer in time"))

    def _forget(self, number: int, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        self._futures.pop(number, None)
