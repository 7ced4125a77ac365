"""The control socket: one JSON object a line each way.

Theory of operation. A client sends one request, `{"do": "status", …}`, and reads lines until one
has `"end"`: `{"end": {"code": 0, "text": "…"}}`, with an exit code of ours. Lines before it carry
`"data"` (the answer) or `"line"` (a word on the way, for commands that wait).

Who may connect is decided by the socket's mode and group; who may change something by the uid that
the kernel says (SO_PEERCRED): root and the daemon's own user. What comes in is bounded in every
direction: the length of a line, how long a client may take to send or to read, how many there are,
and how many answers that cost something are made or sent at the same time.
Those who may only read are counted apart, so that however many they are, they keep nobody out who
may change something. A client that has gone ends what was done for it, or those who gave up
waiting would fill all places.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import select
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appagent.host import accounts

LINE_MOST = 64 * 1024
CLIENTS_MOST = 64
QUEUE_MOST = 128  # who wait for a place
PLACE = 2.0  # s for a place to become free
PATIENCE = 10.0  # s for a client to send its request, or to read a line
COSTLY_MOST = 4  # costly requests that are answered at the same time
TURN = 8.0  # s for one of them to wait for its turn
COSTLY_LASTS = 60.0  # s at most for one of them, read slowly or not
HISTORY_MOST = 1000  # deploys of one answer
GONE_AFTER = 1.0  # s at most until it is seen that a client which only reads has gone

TOO_MANY = "the agent has too many clients; try again"

OK, FAILED, USAGE, NO_AGENT, SOFTWARE, LATER, NOT_ALLOWED = 0, 1, 64, 69, 70, 75, 77


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end."""

    pid: int
    uid: int
    gid: int

    @property
    def may_change(self) -> bool:
        """Root and the daemon's own user may."""
        return self.uid in (0, os.geteuid())


class Refused(Exception):
    """An answer with a code other than 0."""

    def __init__(self, code: int, text: str) -> None:
        """Keep the exit code and the line."""
        super().__init__(text)
        self.code = code
        self.text = text


Request = Mapping[str, object]
# Yields data and lines; what it raises as Refused, or returns by ending, is the end.
Handler = Callable[[Request, Peer], AsyncIterator[Mapping[str, object]]]


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing that can be asked for."""

    handler: Handler
    changes: bool = False
    costly: bool = False  # its answer may be large, or take the processor for a while


def peer_of(writer: asyncio.StreamWriter) -> Peer:
    """What the kernel says of the client."""
    raw = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return Peer(*struct.unpack("3i", raw))


class Control:
    """The daemon's side of the socket."""

    def __init__(
        self,
        path: str,
        verbs: Mapping[str, Verb],
        fault: Callable[[str, BaseException], None],
        group: str = "appagent",
    ) -> None:
        """Name the socket; nothing is opened yet. `fault` is told of what no handler may raise."""
        self.path = Path(path)
        self.verbs = verbs
        self.fault = fault
        self.group = group
        # For those who may change something, and for the others.
        self.places = {may: asyncio.Semaphore(CLIENTS_MOST) for may in (True, False)}
        self.turns = {may: asyncio.Semaphore(COSTLY_MOST) for may in (True, False)}
        self.clients = {True: 0, False: 0}
        self.server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen.

        Raises OSError where the runtime directory cannot be written, or another agent listens: one
        with another state directory, for those with the same one are kept apart by its lock.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if listens(self.path):
            raise OSError(errno.EADDRINUSE, "another agent answers there")
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        before = os.umask(0o177)
        try:
            self.server = await asyncio.start_unix_server(
                self.serve, path=str(self.path), limit=LINE_MOST, backlog=128
            )
        finally:
            os.umask(before)
        group = accounts.local_group(self.group)
        with contextlib.suppress(PermissionError):
            if group is not None:
                os.chown(self.path, -1, group)
                self.path.chmod(0o660)

    async def close(self) -> None:
        """Stop listening; requests under way are cut."""
        if self.server is not None:
            self.server.close()
        with contextlib.suppress(OSError):
            self.path.unlink()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client."""
        peer = peer_of(writer)
        self.clients[peer.may_change] += 1
        try:
            async with self.place(peer):
                await self.answer(reader, writer, peer)
        except Refused as end:
            await self.finish(writer, end.code, end.text)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client went away, or never reads: there is nobody to tell
        except asyncio.CancelledError:
            pass  # the agent ends. asyncio's callback of a connection reports a cancelled task
        except Exception as error:  # noqa: BLE001 - no answer is worth the agent's life
            self.fault("a request could not be answered", error)
            await self.finish(writer, SOFTWARE, "a fault of appagent; the agent's log has it")
        finally:
            await hang_up(writer)
            self.clients[peer.may_change] -= 1

    @contextlib.asynccontextmanager
    async def place(self, peer: Peer) -> AsyncIterator[None]:
        """One of the places; the next in the queue has it after that."""
        places = self.places[peer.may_change]
        if self.clients[peer.may_change] > CLIENTS_MOST + QUEUE_MOST:
            raise Refused(LATER, TOO_MANY)
        async with one_of(places, PLACE):
            yield

    @contextlib.asynccontextmanager
    async def turn(self, verb: Verb, peer: Peer) -> AsyncIterator[None]:
        """A while in which few others have a costly answer made, or sent."""
        if not verb.costly:
            yield
            return
        async with one_of(self.turns[peer.may_change], TURN), asyncio.timeout(COSTLY_LASTS):
            yield

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: Peer
    ) -> None:
        """Read the request, find its verb, send what it yields for as long as somebody is there."""
        request = await self.request(reader)
        verb = self.verbs.get(str(request.get("do")))
        if verb is None:
            what = str(request.get("do"))[:80]
            raise Refused(USAGE, f"the agent knows no {what!r}; is it older than you?")
        if verb.changes and not peer.may_change:
            raise Refused(NOT_ALLOWED, "only root and the agent's own user may change something")
        answering = asyncio.ensure_future(self.send_all(verb, request, peer, writer))
        leaving = asyncio.ensure_future(left(reader, writer))
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
        finally:
            answering.cancel()
            leaving.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async def send_all(
        self, verb: Verb, request: Request, peer: Peer, writer: asyncio.StreamWriter
    ) -> None:
        """Send all that a verb answers."""
        async with self.turn(verb, peer):
            async for line in verb.handler(request, peer):
                await send(writer, line)
        await self.finish(writer, OK, "")

    async def request(self, reader: asyncio.StreamReader) -> dict[str, object]:
        """One line, an object; anything else is refused."""
        try:
            raw = await asyncio.wait_for(reader.readuntil(b"\n"), PATIENCE)
        except asyncio.LimitOverrunError:
            raise Refused(USAGE, "the request is too long") from None
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError):
            raise Refused(USAGE, "the request is no JSON") from None
        if not isinstance(found, dict):
            raise Refused(USAGE, "the request is no JSON object")
        return found

    async def finish(self, writer: asyncio.StreamWriter, code: int, text: str) -> None:
        """The last line."""
        with contextlib.suppress(OSError, TimeoutError):
            await send(writer, {"end": {"code": code, "text": text}})
            writer.write_eof()


@contextlib.asynccontextmanager
async def one_of(places: asyncio.Semaphore, patience: float) -> AsyncIterator[None]:
    """One of some places, or Refused(75) after a while without."""
    try:
        async with asyncio.timeout(patience):
            await places.acquire()
    except TimeoutError:
        raise Refused(LATER, TOO_MANY) from None
    try:
        yield
    finally:
        places.release()


def listens(path: Path) -> bool:
    """Whether a process listens at a socket; one that is left over refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)  # noqa: FBT003 - the socket module's own
        try:
            client.connect(str(path))
        except OSError as error:
            return error.errno == errno.EAGAIN  # more clients wait there than it takes
    return True


async def left(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait until the client has gone. One that only sends no more is still there."""
    try:
        while await reader.read(LINE_MOST):
            pass
    except OSError:
        return
    ends = select.poll()
    ends.register(writer.get_extra_info("socket").fileno(), 0)
    while not ends.poll(0):  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(GONE_AFTER)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close after what was written is read, or at once for a client that does not read."""
    writer.close()
    try:
        await asyncio.wait_for(writer.wait_closed(), PATIENCE)
    except (OSError, TimeoutError):
        writer.transport.abort()


async def send(writer: asyncio.StreamWriter, line: Mapping[str, object]) -> None:
    """One line to a client that reads; TimeoutError for one that does not."""
    writer.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
    await asyncio.wait_for(writer.drain(), PATIENCE)


async def collect(answer: Awaitable[Mapping[str, object]]) -> AsyncIterator[Mapping[str, object]]:
    """A handler's answer that is a single line of data."""
    yield {"data": await answer}


def ask(path: str, request: Request, timeout: float | None = 10.0) -> Iterator[dict[str, Any]]:
    """Ask the daemon: yields its lines, the last one with "end".

    Raises Refused(69) if no agent answers, with what to do about it.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(timeout)
            connect(client, path, timeout)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # One that refuses may do so before it was asked: its words are there to be read.
                client.sendall(json.dumps(request).encode() + b"\n")
            with client.makefile("rb") as lines:
                for raw in lines:
                    line = json.loads(raw)
                    if not isinstance(line, dict):
                        raise ValueError("it speaks another language")  # noqa: TRY004, TRY301
                    yield line
                    if "end" in line:
                        return
    except PermissionError:
        text = f"{path}: not allowed; be root, or in the socket's group to read"
        raise Refused(NOT_ALLOWED, text) from None
    except (FileNotFoundError, ConnectionRefusedError):
        text = f"no agent answers at {path}; is it running? systemctl status appagent"
        raise Refused(NO_AGENT, text) from None
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or error
        raise Refused(NO_AGENT, f"the agent at {path} does not answer: {why}") from None
    raise Refused(NO_AGENT, f"the agent at {path} went away before it answered")


def connect(client: socket.socket, path: str, timeout: float | None) -> None:
    """Connect, and wait for that where many do the same: with a timeout the kernel does not."""
    until = time.monotonic() + (timeout or 0)
    while True:
        try:
            return client.connect(path)
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
