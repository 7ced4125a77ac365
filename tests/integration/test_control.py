"""The control socket against clients that do what they should not: the agent goes on for others.

That it goes on is shown each time by `goes_on`: it is the same process, it answers `status`, it
does what root or its own user asks for, and it said nothing of a fault.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import resource
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from appagent.daemon.client import ask
from appagent.daemon.control import LINE_MOST, Bounds
from appagent.model.exit_codes import Refused
from tests.integration.node import Node, SymlinkApp, node, wait_until
from tests.integration.shown import QUICK
from tests.integration.stranger import as_stranger, strangers_clients

AS_ROOT = os.geteuid() == 0
APP = "web"
MANY = 2000
DENIED = "permission denied: only root and the agent's user may do that"
CLIENTS = Bounds().clients


@pytest.fixture(scope="module")
def made() -> Iterator[Node]:
    """An agent with one app, where any user may look for its socket."""
    base = Path(tempfile.mkdtemp(prefix="appagent-control-"))
    base.chmod(0o755)
    try:
        with node(base, **QUICK) as one:
            SymlinkApp(one, APP).deploy("1")
            one.start()
            one.wait_for(APP, "ok")
            yield one
    finally:
        shutil.rmtree(base)


def path_of(made: Node) -> str:
    return f"{made.runtime}/control.sock"


def goes_on(made: Node) -> None:
    """Show that the agent is there for those who may ask."""
    assert made.process is not None
    found = made.status()
    assert found["agent"]["pid"] == made.process.pid
    made.ask("hold", app=APP, why="to show that it does what it is told")
    assert made.app(APP)["hold"] is not None
    made.ask("resume", app=APP)
    assert made.notices("agent.failed") == []
    assert "internal error" not in made.log.read_text()


@contextlib.contextmanager
def client(made: Node) -> Iterator[socket.socket]:
    """A connection that does as the test likes."""
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(60)
        one.connect(path_of(made))
        yield one


def end_of(one: socket.socket) -> dict[str, Any]:
    """The last line that a client is told; {} for none."""
    data = b""
    with contextlib.suppress(ConnectionResetError):  # it was not all read
        while more := one.recv(65536):
            data += more
    end: dict[str, Any] = json.loads(data.splitlines()[-1])["end"] if data else {}
    return end


def descriptors(made: Node) -> int:
    assert made.process is not None
    return psutil.Process(made.process.pid).num_fds()


# --- garbage -------------------------------------------------------------------------------------

HUGE = "9" * 4000
GARBAGE = {
    b"\n": "invalid JSON",
    b"hello\n": "invalid JSON",
    b"\xff\xfe\x00\x01\n": "invalid JSON",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n": "invalid JSON",
    b"[" * 60_000 + b"\n": "invalid JSON",
    b'{"do": "status"\n': "invalid JSON",
    b"9" * 5000 + b"\n": "invalid JSON",
    b"null\n": "not a JSON object",
    b'["status"]\n': "not a JSON object",
    b"{}\n": "unknown request 'None'",
    b'{"do": {"a": 1}}\n': "unknown request ",
    b'{"do": "__init__"}\n': "unknown request '__init__'",
    b'{"do": "' + b"x" * 60_000 + b'"}\n': "unknown request 'xxx",
    b'{"do": "status", "app": 5}\n': "app must be a string",
    b'{"do": "status", "app": null}\n': "app must be a string",
    b'{"do": "status", "app": "\\ud800"}\n': "app must be UTF-8",
    b'{"do": "history", "app": "\\udfff"}\n': "app must be UTF-8",
    b'{"do": "history", "app": "nobody\\u0000"}\n': "no app",
    b'{"do": "history", "limit": "5"}\n': "limit must be a number",
    b'{"do": "history", "limit": NaN}\n': "NaN is not a number",
    b'{"do": "history", "limit": -Infinity}\n': "-Infinity is not a number",
    f'{{"do": "history", "limit": {HUGE}}}\n'.encode(): "limit must be a number",
    f'{{"do": "wait", "timeout": {HUGE}}}\n'.encode(): "timeout must be a number",
    b'{"do": "wait", "apps": {"a": 1}}\n': "apps must be a list",
    b'{"do": "wait", "apps": [["a"]]}\n': "apps must be a list",
    b'{"do": "trigger", "app": "web", "target": "rm -rf"}\n': "is not a target",
    b'{"do": "trigger", "app": "web", "target": ["stop"]}\n': "target must be a string",
    b'{"do": "trigger"}\n': "no app",
    b'{"do": "hold", "app": "web", "why": {"a": 1}}\n': "why must be a string",
    b'{"do": "hold", "app": "web", "why": "\\ud83d"}\n': "why must be UTF-8",
    f'{{"do": "hold", "app": "web", "why": "x", "for": {HUGE}}}\n'.encode(): "for must be a number",
    b'{"do": "hold", "app": "web", "why": "x", "for": -1}\n': "for must be a number",
    b'{"do": "hold", "app": "web", "why": "x", "for": 1e308}\n': "for must be a number",
}


def test_garbage_is_refused_in_a_line(made: Node) -> None:
    for request, what in GARBAGE.items():
        with client(made) as one:
            one.sendall(request)
            end = end_of(one)
        assert end.get("code") == 64, (request[:80], end)
        assert what in end["text"], (request[:80], end)
        assert len(end["text"]) < 500
    assert made.app(APP)["hold"] is None
    assert made.status()["hold"] is None
    goes_on(made)


def test_whatever_a_hold_says_it_is_still_held_after_a_restart(made: Node) -> None:
    for where in (APP, ""):
        made.ask("hold", app=where, why="a\0b \x1b[31mred\nand more")
    made.restart()
    assert made.notices("store.damaged") == []
    assert made.app(APP)["hold"]["why"] == "ab red and more"
    assert made.status()["hold"]["why"] == "ab red and more"
    for where in (APP, ""):
        made.ask("resume", app=where)
    goes_on(made)


def test_half_a_message_holds_nothing(made: Node) -> None:
    for half in (b"", b"{", b'{"do": "status"}', b'{"do": "hold", "app": "web", "why": "x"}'):
        with client(made) as one:
            one.sendall(half)
            one.shutdown(socket.SHUT_WR)
            assert end_of(one) == {}
        with client(made) as one:  # and one that just goes
            one.sendall(half)
    goes_on(made)


def test_a_line_without_end_is_refused_and_not_kept(made: Node) -> None:
    with client(made) as one:
        chunk, sent = b"x" * LINE_MOST, 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 1000 * len(chunk):
                sent += one.send(chunk)
        assert sent < 100 * len(chunk)
        assert end_of(one).get("text", "the request is too long") == "the request is too long"
    goes_on(made)


def test_one_request_a_connection_and_what_follows_is_read_by_nobody(made: Node) -> None:
    with client(made) as one:
        more = b'{"do": "hold", "app": "web", "why": "x"}\n' * 1000
        one.sendall(b'{"do": "status"}\n' + more)
        assert end_of(one)["code"] == 0
    assert made.app(APP)["hold"] is None
    goes_on(made)


# --- many, slow and gone -------------------------------------------------------------------------


def test_thousands_of_connections_do_no_harm(made: Node) -> None:
    before = descriptors(made)
    for number in range(MANY):
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(0.0 if number % 2 else 60.0)
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                one.connect(path_of(made))
                one.send((b"", b"{", b'{"do": "status"}\n', b"\xff\n")[number % 4])
    wait_until(made.answers, "it has taken and left all that stood before us")
    goes_on(made)
    wait_until(lambda: descriptors(made) <= before + 2, "all of them are let go")


def test_connections_that_stay_are_bounded_and_leave_no_trace(made: Node) -> None:
    before = descriptors(made)
    refusal = {"code": 75, "text": "the agent has too many clients; try again"}
    with contextlib.ExitStack() as stack:
        ones = [stack.enter_context(client(made)) for _ in range(CLIENTS + 20)]
        assert [end_of(one) for one in ones[CLIENTS:]] == [refusal] * 20
        done = made.command("status")
        assert (done.returncode, done.stdout) == (75, "")
        assert done.stderr == f"appagent: {refusal['text']}\n"
        assert descriptors(made) <= before + CLIENTS + 5
    wait_until(lambda: descriptors(made) <= before + 2, "all of them are let go")
    goes_on(made)


def test_those_who_give_up_waiting_leave_their_places(made: Node) -> None:
    before = descriptors(made)
    request = b'{"do": "wait", "apps": ["never-there"]}\n'
    for _ in range(2):
        with contextlib.ExitStack() as stack:
            for number in range(CLIENTS - 1):
                one = stack.enter_context(client(made))
                one.sendall(request)
                if number % 2:
                    one.shutdown(socket.SHUT_WR)  # sends no more, and is still there
                assert b"waiting for never-there" in one.recv(4096)
            goes_on(made)
        wait_until(lambda: descriptors(made) <= before + 2, "their places are free")
    goes_on(made)


def test_clients_that_never_read_hold_nothing(made: Node) -> None:
    before = descriptors(made)
    with contextlib.ExitStack() as stack:
        for _ in range(2 * CLIENTS):
            one = stack.enter_context(client(made))
            one.sendall(b'{"do": "status"}\n')
        goes_on(made)
        # What they were told waits for them in the kernel: the agent has let go of them.
        wait_until(lambda: descriptors(made) <= before + 2, "it has let go of them")
    goes_on(made)


def test_an_agent_without_descriptors_left_goes_on_when_it_has_some_again(made: Node) -> None:
    assert made.process is not None
    pid = made.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    errors = len(told_of_accept(made))
    with contextlib.ExitStack() as stack:
        try:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors(made) + 5, limits[1]))
            for _ in range(20):
                stack.enter_context(client(made))
            wait_until(lambda: len(told_of_accept(made)) > errors, "it says that it has none")
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    goes_on(made)


def told_of_accept(made: Node) -> list[str]:
    lines = made.log.read_text().splitlines()
    return [line for line in lines if os.strerror(errno.EMFILE) in line and "accept" in line]


# --- another user --------------------------------------------------------------------------------


def open_to_all(made: Node) -> None:
    os.chmod(path_of(made), 0o666)  # noqa: PTH101, S103


@pytest.mark.skipif(not AS_ROOT, reason="only root can become another user")
def test_another_user_can_change_nothing(made: Node) -> None:
    before = made.calls_file.read_text()
    assert os.stat(path_of(made)).st_mode & 0o007 == 0  # noqa: PTH116
    ((code, out, err),) = as_stranger(made, ["status"])
    assert (code, out) == (77, "")
    text = "permission denied; be root, or in the socket's group to read"
    assert err == f"appagent: {path_of(made)}: {text}\n"
    open_to_all(made)  # as it is to its group
    try:
        reading = (["status", "--json"], ["explain", APP], ["history", APP], ["wait", APP])
        changing = (
            ["trigger", APP], ["trigger", APP, "stop"], ["trigger", APP, "restart", "--wait"],
            ["cancel", APP], ["hold", "--why", "x"], ["hold", APP, "--why", "x"], ["resume"],
            ["forget", APP], ["trigger", "nobody"],
        )  # fmt: skip
        waited = rf"(appagent: {APP} is up to date: release 1 \([\d.]+ s\)\n)?"
        for (code, _, err), (command, *_) in zip(as_stranger(made, *reading), reading, strict=True):
            assert code == 0
            assert re.fullmatch(waited if command == "wait" else "", err)
        for code, out, err in as_stranger(made, *changing):
            assert (code, out) == (77, "")
            assert err == f"appagent: {DENIED}\n"
        # What an app printed is its own users' to read.
        ((code, out, err),) = as_stranger(made, ["logs", APP])
        assert (code, out) == (77, "")
        assert err.endswith(": Permission denied\n")
    finally:
        os.chmod(path_of(made), 0o600)  # noqa: PTH101
    assert made.app(APP)["hold"] is None
    assert made.calls_file.read_text() == before
    goes_on(made)


@pytest.mark.skipif(not AS_ROOT, reason="only root can become another user")
def test_another_users_many_clients_keep_root_out_of_nothing(made: Node) -> None:
    open_to_all(made)
    try:
        with strangers_clients(path_of(made), CLIENTS):
            ((code, _, err),) = as_stranger(made, ["status"])
            assert (code, "too many clients" in err) == (75, True)
            goes_on(made)
    finally:
        os.chmod(path_of(made), 0o600)  # noqa: PTH101


@pytest.mark.skipif(AS_ROOT, reason="no file is closed to root")
def test_a_socket_that_is_closed_to_me_is_77(made: Node) -> None:
    os.chmod(path_of(made), 0)  # noqa: PTH101
    try:
        with pytest.raises(Refused) as refused:
            list(ask(path_of(made), {"do": "status"}))
        done = made.command("status")
    finally:
        os.chmod(path_of(made), 0o600)  # noqa: PTH101
    assert refused.value.code == 77
    assert (done.returncode, done.stdout) == (77, "")
    assert done.stderr == f"appagent: {refused.value.text}\n"


def test_an_agent_that_ends_while_somebody_waits_ends_well(tmp_path: Path) -> None:
    with node(tmp_path, **QUICK) as one:
        one.start()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path_of(one))
            client.sendall(b'{"do": "wait", "apps": ["nobody"]}\n')
            assert client.recv(1000)  # what it waits for
            assert one.stop() == 0
        assert not [notice for notice in one.notices() if notice["level"] == "error"]
