"""The daemon's side of the control socket by itself, with verbs that a test likes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appagent.daemon.api import Verbs
from appagent.daemon.client import ask
from appagent.daemon.control import Bounds, Control, Peer, Request, Verb
from appagent.host import clock
from appagent.report.history_db import Row

LARGE = "x" * 1_000_000


async def large(_: Request, __: Peer) -> AsyncIterator[Mapping[str, object]]:
    """Far more than a socket holds, without end."""
    while True:
        yield {"line": LARGE}


async def broken(_: Request, __: Peer) -> AsyncIterator[Mapping[str, object]]:
    """A handler with a fault."""
    yield {"line": "so far"}
    raise KeyError("what nobody thought of")


async def small(_: Request, __: Peer) -> AsyncIterator[Mapping[str, object]]:
    """A handler that is well."""
    yield {"data": 1}


def serving(
    path: Path,
    play: Callable[[Control, list[BaseException]], Coroutine[Any, Any, None]],
    bounds: Bounds = Bounds(),  # noqa: B008 - it cannot change
) -> None:
    """Play against a socket with these verbs."""

    async def run() -> None:
        faults: list[BaseException] = []
        verbs = {"large": Verb(large), "broken": Verb(broken), "small": Verb(small)}
        one = Control(
            str(path), verbs, lambda _, error: faults.append(error), group="", bounds=bounds
        )
        await one.open()
        try:
            await play(one, faults)
        finally:
            await one.close()

    asyncio.run(run())


def asked(path: Path, do: str) -> list[dict[str, Any]]:
    """All that a client is told."""
    return list(ask(str(path), {"do": do}))


async def there_are(one: Control, number: int) -> None:
    """Wait until so many clients are there."""
    async with asyncio.timeout(60):
        while sum(one.clients.values()) != number:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


def test_a_client_that_reads_no_long_answer_is_let_go_of(tmp_path: Path) -> None:
    path = tmp_path / "sock"

    async def play(one: Control, faults: list[BaseException]) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b'{"do": "large"}\n')
            found = await asyncio.to_thread(asked, path, "small")
            assert found[0] == {"data": 1}
            await there_are(one, 0)
        assert faults == []

    serving(path, play, Bounds(patience=0.2))


def test_a_client_that_leaves_a_long_answer_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "sock"

    async def play(one: Control, faults: list[BaseException]) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b'{"do": "large"}\n')
            assert await asyncio.to_thread(client.recv, 4096)
        await there_are(one, 0)
        assert faults == []

    serving(path, play)


def test_a_fault_in_an_answer_is_told_to_both_and_ends_no_more_than_that(tmp_path: Path) -> None:
    path = tmp_path / "sock"

    async def play(_: Control, faults: list[BaseException]) -> None:
        found = await asyncio.to_thread(asked, path, "broken")
        assert found[0] == {"line": "so far"}
        assert found[1]["end"]["code"] == 70
        assert [str(fault) for fault in faults] == ["'what nobody thought of'"]
        assert (await asyncio.to_thread(asked, path, "small"))[1]["end"]["code"] == 0

    serving(path, play)


def test_who_comes_while_all_places_are_taken_waits_for_one(tmp_path: Path) -> None:
    path = tmp_path / "sock"

    async def play(one: Control, faults: list[BaseException]) -> None:
        with contextlib.ExitStack() as stack:
            idle = []
            for _ in range(2):
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.connect(str(path))
                idle.append(client)
            await there_are(one, 2)
            third = asyncio.create_task(asyncio.to_thread(asked, path, "small"))
            await there_are(one, 3)
            fourth = await asyncio.to_thread(asked, path, "small")  # no place, and a full queue
            assert fourth[0]["end"]["code"] == 75
            assert not third.done()
            idle[0].close()
            assert (await third)[0] == {"data": 1}
        await there_are(one, 0)
        assert faults == []

    serving(path, play, Bounds(clients=2, queue=1, slot_wait=60.0))


def test_a_socket_where_somebody_answers_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "sock"

    async def play(_: Control, __: list[BaseException]) -> None:
        other = Control(str(path), {}, lambda _, __: None, group="")
        with pytest.raises(OSError, match="another agent listens there"):
            await other.open()
        assert json.dumps((await asyncio.to_thread(asked, path, "small"))[0]) == '{"data": 1}'

    serving(path, play)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    serving(path, lambda one, _: there_are(one, 0))  # one that is left over is taken


class Reading:
    """A history of nothing, whose readers stay until they are let go."""

    def __init__(self) -> None:
        self.readers: list[int] = [0]
        self.over = threading.Event()

    def deploys(self, *_: object) -> Iterator[Row]:
        """Read, for as long as it takes."""
        self.readers.append(self.readers[-1] + 1)
        self.over.wait(60)
        self.readers.append(self.readers[-1] - 1)
        yield from ()


def test_few_read_the_history_at_a_time_and_others_do_not_wait_for_them(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    history: Any = Reading()
    node: Any = SimpleNamespace(node=SimpleNamespace(apps={}), now=clock.now)
    other: Any = SimpleNamespace(recheck=None)
    verbs = Verbs(node, other, other, other, history, other)

    async def play(one: Control, faults: list[BaseException]) -> None:
        one.verbs = {**one.verbs, **verbs.table()}
        loop = asyncio.get_running_loop()
        # As many threads to read as clients, so that nothing but the agent itself holds them back.
        loop.set_default_executor(ThreadPoolExecutor(8))
        with ThreadPoolExecutor(9) as clients:
            many = [loop.run_in_executor(clients, asked, path, "history") for _ in range(8)]
            await there_are(one, 8)
            small = await loop.run_in_executor(clients, asked, path, "small")
            assert small[0] == {"data": 1}
            history.over.set()
            for answers in await asyncio.gather(*many):
                assert answers == [{"end": {"code": 0, "text": ""}}]
        assert 0 < max(history.readers) <= one.bounds.costly
        assert faults == []

    serving(path, play)
