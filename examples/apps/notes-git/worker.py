"""The app itself: serves the notes on the socket that serve.py opened.

`worker.py LISTENER LINE`: two descriptors. It reads all that it needs before it says on the line
that it is ready, for the files around it change under it with the next push. When the line is cut,
or at SIGTERM, it accepts no more, finishes what it has begun, and goes.
"""

import html
import http.server
import os
import signal
import socket
import sys
import threading
from pathlib import Path

RELEASE = os.environ["RELEASE"]
TITLE = os.environ["TITLE"]
NOTES = (Path(__file__).parent / "notes.txt").read_text(encoding="utf-8").splitlines()


class Page(http.server.BaseHTTPRequestHandler):
    """`/` shows the notes; `/release` says which release it is that answers."""

    def do_GET(self) -> None:
        """Answer."""
        notes = "".join(f"<li>{html.escape(note)}</li>\n" for note in NOTES)
        page = f"<!doctype html>\n<h1>{html.escape(TITLE)}</h1>\n<ul>\n{notes}</ul>\n"
        body = (RELEASE if self.path == "/release" else page).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
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


def until_cut(line: socket.socket) -> None:
    """Wait for the end of the line, and end."""
    line.recv(1)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Serve."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    server = Server(socket.socket(fileno=int(sys.argv[1])))
    line = socket.socket(fileno=int(sys.argv[2]))
    threading.Thread(target=server.serve_forever, args=(0.1,)).start()
    threading.Thread(target=until_cut, args=(line,), daemon=True).start()
    line.send(b"!")
    os.chdir("/")
    signal.sigwait({signal.SIGTERM})
    server.shutdown()
    line.shutdown(socket.SHUT_RDWR)  # that says: I accept no more, and finish what I have begun
    server.server_close()


if __name__ == "__main__":
    main()
