"""The control socket, the daemon's side: one JSON object a line each way.

Theory of operation. A client (client.py) sends one request, `{"do": "status", …}`, and reads lines
until one has `"end"`: `{"end": {"code": 0, "text": "…"}}`, with an exit code. Lines before it carry
`"data"` (the answer) or `"line"` (progress, for commands that wait).

Who may connect is decided by the socket's mode and group; who may change something by the uid that
the kernel reports (SO_PEERCRED): root and the daemon's own user. What comes in is bounded in every
direction (Bounds): the length of a line, how long a client may take to send or to read, how many
clients there are, and how many costly answers are made or sent at the same time. Clients that may
only read are counted separately, so that however many they are, they keep out nobody who may change
something. A client that disconnects ends what is done for it, or those who gave up waiting would
fill all slots.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from appagent.host import accounts
from appagent.model import codec
from appagent.model.exit_codes import (
    INTERNAL_ERROR,
    LATER,
    NOT_ALLOWED,
    OK,
    SOFTWARE,
    USAGE,
    Refused,
)

LINE_MOST = 64 * 1024  # bytes of a request

TOO_MANY = "the agent has too many clients; try again"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What clients may take of the daemon: times in seconds, numbers for each kind of client."""

    clients: int = 64
    queue: int = 128  # clients that wait for a slot
    slot_wait: float = 2.0  # for a slot to become free
    patience: float = 10.0  # for a client to send its request, or to read a line
    costly: int = 4  # costly requests that are answered at the same time
    turn: float = 8.0  # for one of them to wait for its turn
    costly_lasts: float = 60.0  # for one of them to be answered, read slowly or not
    poll: float = 1.0  # between two checks whether a client that only reads has disconnected


@dataclass(frozen=True, slots=True)
class Peer:
    """The user at the other end."""

    uid: int

    @property
    def may_change(self) -> bool:
        """Root and the daemon's own user may."""
        return self.uid in (0, os.geteuid())


Request = Mapping[str, object]
# Yields data and lines; what it raises as Refused, or returns by ending, is the end.
Handler = Callable[[Request, Peer], AsyncIterator[Mapping[str, object]]]


@dataclass(frozen=True, slots=True)
class Verb:
    """One kind of request."""

    handler: Handler
    changes: bool = False
    costly: bool = False  # its answer may be large, or take the processor for a while


def peer_of(writer: asyncio.StreamWriter) -> Peer:
    """What the kernel reports about the client."""
    raw = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _, uid, _ = struct.unpack("3i", raw)
    return Peer(uid)


class Control:
    """The daemon's side of the socket."""

    def __init__(
        self,
        path: str,
        verbs: Mapping[str, Verb],
        fault: Callable[[str, BaseException], None],
        *,
        group: str = "appagent",
        bounds: Bounds = Bounds(),
    ) -> None:
        """Name the socket; nothing is opened yet. `fault` gets what no handler may raise."""
        self.path = Path(path)
        self.verbs = verbs
        self.fault = fault
        self.group = group
        self.bounds = bounds
        # By whether they may change something.
        self.slots = {may: asyncio.Semaphore(bounds.clients) for may in (True, False)}
        self.turns = {may: asyncio.Semaphore(bounds.costly) for may in (True, False)}
        self.clients = {True: 0, False: 0}
        self.server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen.

        Raises OSError where the runtime directory cannot be written, or another agent listens (one
        with another state directory: the lock keeps out those with the same one).
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if listens(self.path):
            raise OSError(errno.EADDRINUSE, "another agent listens there")
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
            if self.clients[peer.may_change] > self.bounds.clients + self.bounds.queue:
                raise Refused(LATER, TOO_MANY)  # noqa: TRY301 - answered like any other refusal
            async with one_of(self.slots[peer.may_change], self.bounds.slot_wait):
                await self.answer(reader, writer, peer)
        except Refused as end:
            await self.finish(writer, end.code, end.text)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client disconnected, or does not read: nobody can be answered
        except asyncio.CancelledError:
            pass  # the agent ends. asyncio's callback of a connection reports a cancelled task
        except Exception as error:  # noqa: BLE001 - no answer is worth the agent's life
            self.fault("a request could not be answered", error)
            await self.finish(writer, SOFTWARE, f"{INTERNAL_ERROR}; see the agent's log")
        finally:
            await self.hang_up(writer)
            self.clients[peer.may_change] -= 1

    @contextlib.asynccontextmanager
    async def turn(self, verb: Verb, peer: Peer) -> AsyncIterator[None]:
        """A time in which few other costly answers are made or sent."""
        if not verb.costly:
            yield
            return
        turns, bounds = self.turns[peer.may_change], self.bounds
        async with one_of(turns, bounds.turn), asyncio.timeout(bounds.costly_lasts):
            yield

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: Peer
    ) -> None:
        """Read the request, find its verb, send what it yields until the client disconnects."""
        request = await self.request(reader)
        verb = self.verbs.get(str(request.get("do")))
        if verb is None:
            what = str(request.get("do"))[:80]
            raise Refused(USAGE, f"unknown request {what!r}; is the agent older than this command?")
        if verb.changes and not peer.may_change:
            raise Refused(
                NOT_ALLOWED, "permission denied: only root and the agent's user may do that"
            )
        answering = asyncio.ensure_future(self.send_all(verb, request, peer, writer))
        leaving = asyncio.ensure_future(self.disconnected(reader, writer))
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
                await self.send(writer, line)
        await self.finish(writer, OK, "")

    async def request(self, reader: asyncio.StreamReader) -> dict[str, object]:
        """One line, an object; anything else is refused."""
        try:
            raw = await asyncio.wait_for(reader.readuntil(b"\n"), self.bounds.patience)
        except asyncio.LimitOverrunError:
            raise Refused(USAGE, "the request is too long") from None
        try:
            return codec.from_json(raw)
        except codec.Damaged as error:
            raise Refused(USAGE, f"invalid request: {error}") from None

    async def finish(self, writer: asyncio.StreamWriter, code: int, text: str) -> None:
        """The last line."""
        with contextlib.suppress(OSError, TimeoutError):
            await self.send(writer, {"end": {"code": code, "text": text}})
            writer.write_eof()

    async def send(self, writer: asyncio.StreamWriter, line: Mapping[str, object]) -> None:
        """Send one line to a client that reads; TimeoutError for one that does not."""
        writer.write(codec.to_json(line))
        await asyncio.wait_for(writer.drain(), self.bounds.patience)

    async def disconnected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Wait until the client has disconnected. One that only stopped sending has not."""
        try:
            while await reader.read(LINE_MOST):
                pass
        except OSError:
            return
        ends = select.poll()
        ends.register(writer.get_extra_info("socket").fileno(), 0)
        while not ends.poll(0):  # noqa: ASYNC110 - nothing reports it
            await asyncio.sleep(self.bounds.poll)

    async def hang_up(self, writer: asyncio.StreamWriter) -> None:
        """Close after what was written is read, or at once for a client that does not read."""
        writer.close()
        try:
            await asyncio.wait_for(writer.wait_closed(), self.bounds.patience)
        except (OSError, TimeoutError):
            writer.transport.abort()


@contextlib.asynccontextmanager
async def one_of(slots: asyncio.Semaphore, patience: float) -> AsyncIterator[None]:
    """One of some slots, or Refused(75) when none was free for `patience` seconds."""
    try:
        async with asyncio.timeout(patience):
            await slots.acquire()
    except TimeoutError:
        raise Refused(LATER, TOO_MANY) from None
    try:
        yield
    finally:
        slots.release()


def listens(path: Path) -> bool:
    """Whether a process listens at a socket; one that a dead process left refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)  # noqa: FBT003 - the socket module's own
        try:
            client.connect(str(path))
        except OSError as error:
            return error.errno == errno.EAGAIN  # its queue is full
    return True
