"""The client's side of the control socket (control.py). Light: every command imports it."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from appagent.host.units import SOFTLEVEL, SYSTEMD
from appagent.model.exit_codes import NO_AGENT, NOT_ALLOWED, Refused

MOST_DEPLOYS = 1000  # in one answer of `history`

SERVICE_RUNS_IN = "/run/appagent/"
_RETRY = 0.05  # s


def ask(
    path: str, request: Mapping[str, object], timeout: float | None = 10.0
) -> Iterator[dict[str, Any]]:
    """Ask the daemon; yields its lines, the last one with "end".

    `timeout` (s) is for each line. Raises Refused if the agent cannot be reached.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(timeout)
            _connect(client, path, timeout)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # An agent that refuses may do so before it was asked: its answer can be read.
                client.sendall(json.dumps(request).encode() + b"\n")
            with client.makefile("rb") as lines:
                for raw in lines:
                    line = json.loads(raw)
                    if not isinstance(line, dict):
                        raise ValueError("not a JSON object")  # noqa: TRY004, TRY301
                    yield line
                    if "end" in line:
                        return
    except PermissionError:
        text = f"{path}: permission denied; be root, or in the socket's group to read"
        raise Refused(NOT_ALLOWED, text) from None
    except (FileNotFoundError, ConnectionRefusedError):
        text = f"cannot reach the agent at {path}: is it running? ({how_to_see(path)})"
        raise Refused(NO_AGENT, text) from None
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or error
        raise Refused(NO_AGENT, f"the agent at {path} does not answer: {why}") from None
    raise Refused(NO_AGENT, f"the agent at {path} closed the connection before it answered")


def how_to_see(path: str) -> str:
    """Name the command that tells whether the agent at a socket runs, or that starts it."""
    if path.startswith(SERVICE_RUNS_IN):
        if Path(SYSTEMD).is_dir():
            return "systemctl status appagent"
        if Path(SOFTLEVEL).exists():
            return "rc-service appagent status"
    return "start it with: appagent run"


def _connect(client: socket.socket, path: str, timeout: float | None) -> None:
    """Connect. While the queue is full, a socket with a timeout fails at once: try again."""
    until = time.monotonic() + (timeout or 0)
    while True:
        try:
            return client.connect(path)
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(_RETRY)
