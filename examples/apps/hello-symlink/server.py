"""A small HTTP server that hands its listening socket over to its successor.

    server.py          serve; where a server runs already, take its socket over and let it go
    server.py check    succeed once the server of this very release answers

The socket is never closed while servers change: what connects waits in it for whoever accepts next,
so no request is lost. The old server goes only when the new one serves, and it first finishes what
it has begun. A new one that cannot start changes nothing.

In the directory VAR: `lock`, locked for as long as a server runs, with the pid of the one that
serves alone as text; and `hand-over`, the socket at which the successor asks. What it says comes
from greeting.txt beside this file and from the environment: PORT, RELEASE, NAME.
"""

import fcntl
import http.client
import http.server
import os
import signal
import socket
import sys
import threading
from pathlib import Path

PORT = int(os.environ["PORT"])
RELEASE = os.environ["RELEASE"]
NAME = os.environ.get("NAME", "world")
VAR = Path(os.environ["VAR"])
GREETING = (Path(__file__).parent / "greeting.txt").read_text(encoding="utf-8").strip()


class Page(http.server.BaseHTTPRequestHandler):
    """`/` greets; `/release` says which release it is that answers."""

    def do_GET(self) -> None:
        """Answer."""
        text = RELEASE if self.path == "/release" else f"{GREETING}, {NAME}!\n"
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the log for what matters."""


class Server(http.server.ThreadingHTTPServer):
    """Serves on a socket that it is given, and ends only when its last request is answered."""

    daemon_threads = False

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener.getsockname(), Page, bind_and_activate=False)
        self.socket.close()
        self.socket = listener


def inherit() -> "tuple[socket.socket, int, socket.socket] | None":
    """Ask the server that runs for its listening socket and its lock; None if none runs."""
    line = socket.socket(socket.AF_UNIX)
    try:
        line.connect(str(VAR / "hand-over"))
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    _, descriptors, _, _ = socket.recv_fds(line, 1, 2)
    listener, lock = descriptors
    return socket.socket(fileno=listener), lock, line


def listen() -> socket.socket:
    """Open the port. Two servers may accept from it for a moment: neither may wait in accept."""
    listener = socket.create_server(("127.0.0.1", PORT), backlog=128)
    listener.settimeout(0)
    return listener


def take_lock() -> int:
    """Take the lock that says: a server is running."""
    lock = os.open(VAR / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return lock


def offer(listener: socket.socket, lock: int, lines: "list[socket.socket]") -> None:
    """Open the door for a successor, in one move in place of the predecessor's."""
    mine = VAR / f"hand-over.{os.getpid()}"
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(mine))
    door.listen()
    mine.rename(VAR / "hand-over")
    threading.Thread(target=hand_over, args=(door, listener, lock, lines), daemon=True).start()


def hand_over(
    door: socket.socket, listener: socket.socket, lock: int, lines: "list[socket.socket]"
) -> None:
    """Give the sockets to whoever asks, and go once it says that it serves."""
    while True:
        line, _ = door.accept()
        socket.send_fds(line, [b"."], [listener.fileno(), lock])
        if line.recv(1):
            lines.append(line)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        line.close()  # it did not come up, so all stays as it is


def serve() -> None:
    """Serve until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    inherited = inherit()
    if inherited is None:
        lock, listener = take_lock(), listen()
    else:
        listener, lock, predecessor = inherited
        if listener.getsockname()[1] != PORT:
            listener.close()  # what nobody accepts from must not be left listening
            listener = listen()
    server = Server(listener)
    # As a daemon: where anything below fails, the whole process ends, and `start` says so.
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    successors: list[socket.socket] = []
    offer(listener, lock, successors)
    if inherited is not None:
        predecessor.send(b"!")
        predecessor.recv(1)  # nothing, once it accepts no more
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    os.chdir("/")  # a process that stands in a directory of the share would hold on to it
    print(f"{os.getpid()} serves {RELEASE} on port {PORT}", flush=True)

    signal.sigwait({signal.SIGTERM})
    server.shutdown()
    for line in successors:
        line.close()
    server.server_close()
    print(f"{os.getpid()} has gone", flush=True)


def check() -> int:
    """Ask over HTTP which release answers."""
    asked = http.client.HTTPConnection("127.0.0.1", PORT, timeout=2)
    try:
        asked.request("GET", "/release")
        answer = asked.getresponse().read().decode()
    except OSError as error:
        print(f"nobody answers on port {PORT}: {error}")
        return 1
    print(f"port {PORT} answers with {answer}")
    return 0 if answer == RELEASE else 1


if __name__ == "__main__":
    if sys.argv[1:] == ["check"]:
        sys.exit(check())
    serve()
