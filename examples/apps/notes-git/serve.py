"""Keeps a worker running on a socket that is open in this process, and changes workers at SIGHUP.

    serve.py          serve, until SIGTERM
    serve.py check    succeed once the worker of this very release answers

The socket is never closed, so no request is lost: a new worker is started, and only when it says
that it is ready is the old one told to finish. If it does not come up, the old one goes on. A
worker that dies by itself is replaced.

In the directory VAR: `lock`, locked for as long as this runs, with the pid as text; `settings`,
KEY=VALUE lines for the worker (this process has the environment of the day it was started, so what
a restart may change goes through that file); `answer`, what came of the last start or SIGHUP:
"ready", or why not.
"""

import fcntl
import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

VAR = Path(os.environ["VAR"])
WORKER = Path(__file__).resolve().parent / "worker.py"
PATIENCE = 20.0  # seconds for a worker to become ready


class Failed(Exception):
    """There is no new worker, and why."""


class Worker(NamedTuple):
    """A worker, and the line to it: it says there that it is ready, and goes when that is cut."""

    process: "subprocess.Popen[bytes]"
    line: socket.socket
    listener: socket.socket


def settings() -> "dict[str, str]":
    """Read what the Makefile wrote for the next worker."""
    lines = (VAR / "settings").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


def listen(port: int) -> socket.socket:
    """Open the port. Two workers may accept from it for a moment: neither may wait in accept."""
    try:
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
    except OSError as error:
        raise Failed(f"port {port}: {error}") from error
    listener.settimeout(0)
    return listener


def start(before: "Worker | None") -> Worker:
    """Start a worker, on the socket of the one before if the port is the same."""
    told = settings()
    port = int(told["PORT"])
    same = before is not None and before.listener.getsockname()[1] == port
    listener = before.listener if before is not None and same else listen(port)
    line, its_end = socket.socketpair()
    words = [sys.executable, "-B", str(WORKER), str(listener.fileno()), str(its_end.fileno())]
    process = subprocess.Popen(
        words, pass_fds=(listener.fileno(), its_end.fileno()), env={**os.environ, **told}
    )
    its_end.close()
    readable, _, _ = select.select([line], [], [], PATIENCE)
    if readable and line.recv(1):
        return Worker(process, line, listener)
    process.kill()
    process.wait()
    line.close()
    if not same:
        listener.close()
    raise Failed(f"the worker of {told['RELEASE']} did not become ready; its last words are above")


def answer(text: str) -> None:
    """Say what came of it, in one move, to whoever waits for the file."""
    print(text, flush=True)
    (VAR / "answer.new").write_text(text + "\n")
    (VAR / "answer.new").rename(VAR / "answer")


def serve() -> int:
    """Serve until SIGTERM."""
    lock = os.open(VAR / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    signals = {signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    os.chdir("/")  # a process that stands in a directory of the share would hold on to it
    try:
        worker = start(None)
    except Failed as failed:
        answer(str(failed))
        return 1
    answer("ready")
    leaving: list[subprocess.Popen[bytes]] = []
    while True:
        got = signal.sigwait(signals)
        leaving = [process for process in leaving if process.poll() is None]
        if got == signal.SIGTERM:
            worker.process.terminate()
            for process in [worker.process, *leaving]:
                process.wait()
            return 0
        if got == signal.SIGCHLD:
            if worker.process.poll() is None:
                continue
            time.sleep(1)  # one that dies at once is not to keep the machine busy
        try:
            new = start(worker)
        except Failed as failed:
            answer(str(failed))
            continue
        worker.line.shutdown(socket.SHUT_WR)
        select.select([worker.line], [], [], PATIENCE)  # it accepts no more
        worker.line.close()
        if new.listener is not worker.listener:
            worker.listener.close()
        leaving.append(worker.process)
        worker = new
        answer("ready")


def check() -> int:
    """Ask over HTTP which release answers."""
    port, release = int(os.environ["PORT"]), os.environ["RELEASE"]
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        asked.request("GET", "/release")
        text = asked.getresponse().read().decode()
    except OSError as error:
        print(f"nobody answers on port {port}: {error}")
        return 1
    print(f"port {port} answers with {text}")
    return 0 if text == release else 1


if __name__ == "__main__":
    sys.exit(check() if sys.argv[1:] == ["check"] else serve())
