"""The thread of a watcher that does requests (see requests.py), one after the other."""

from __future__ import annotations

import errno
import os
import queue
import time
from collections.abc import Callable, Mapping

from appagent.share.disk import Disk, NotPlain
from appagent.share.mount_guard import MountGuard, NotMounted
from appagent.share.requests import (
    FLEET_DIR,
    MOST_CONTENT,
    MOST_NAMES,
    MOST_WAITING,
    Answer,
    Failure,
    Operation,
    Problem,
    Request,
    RequestRefused,
)
from appagent.share.state import RootState, Work
from appagent.share.watchlist import Watchlist

_MOST_PATH = 4096  # bytes


class RequestThread:
    """The thread that does them, on a disk of its own."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self._work = Work()  # its own: the poller may take a watchlist later than a request comes
        self._guard = MountGuard(disk, self._work)
        self._waiting: queue.Queue[Request] = queue.Queue(MOST_WAITING)

    def set_watchlist(self, watchlist: Watchlist) -> None:
        """Serve these roots from now on. Any thread may call this."""
        self._work.watchlist = watchlist

    def put(self, request: Request) -> Answer | None:
        """Have a request done; an answer at once where it cannot be. Any thread may call this."""
        try:
            self._waiting.put_nowait(request)
        except queue.Full:
            return _failed(request, Problem.UNAVAILABLE, "too many requests wait for the share")
        return None

    def turn(self, _timeout: float, answer: Callable[[Answer], None]) -> None:
        """Wait for a request, however long, and do it."""
        answer(self._do(self._waiting.get()))
        self.disk.pulse.rest()

    def _do(self, request: Request) -> Answer:
        if time.monotonic() >= request.deadline:
            return _failed(request, Problem.DEADLINE, "the share did not answer in time")
        try:
            return self._carry_out(request.id, request.operation)
        except RequestRefused as error:
            return _failed(request, Problem.REFUSED, str(error))
        except NotMounted as error:
            return _failed(request, Problem.UNAVAILABLE, str(error))
        except NotPlain as error:
            return _failed(request, Problem.REFUSED, f"{request.operation.path} {error}")
        except OSError as error:
            text = error.strerror or str(error)
            path = error.filename if isinstance(error.filename, str) else ""
            return Answer(request.id, failure=Failure(Problem.OS, text, error.errno or 0, path))
        except Exception as error:  # noqa: BLE001 - whoever asked reports it
            bug = "internal error (this is a bug in appagent; please report it)"
            text = f"{bug}: {type(error).__name__}: {error}"
            return _failed(request, Problem.INTERNAL, text)

    def _carry_out(self, number: int, operation: Operation) -> Answer:
        carry_out = _OPERATIONS.get(operation.name)
        if carry_out is None:
            raise RequestRefused(f"unknown operation {operation.name[:40]!r}")
        if len(operation.content) > MOST_CONTENT:
            raise RequestRefused(f"more than {MOST_CONTENT} bytes")
        self._need_mounted(operation.root)
        found = carry_out(self.disk, operation, _inside(operation.root, operation.path))
        if isinstance(found, bytes):
            return Answer(number, content=found)
        return Answer(number, names=found or {})

    def _need_mounted(self, path: str) -> None:
        """Raise RequestRefused for what is not a root, NotMounted if its share is not mounted."""
        spec = next((spec for spec in self._work.watchlist.roots if spec.path == path), None)
        if spec is None:
            raise RequestRefused(f"{path[:200]!r} is not a root")
        root = RootState(spec)
        root.real = self._guard.real(path)
        self._guard.of_root(root)


_Result = bytes | Mapping[str, str] | None


def _names(disk: Disk, operation: Operation, path: str) -> _Result:
    names = disk.names(path, base=operation.root)
    if len(names) > MOST_NAMES:
        raise OSError(errno.EOVERFLOW, os.strerror(errno.EOVERFLOW), path)
    return names


_OPERATIONS: Mapping[str, Callable[[Disk, Operation, str], _Result]] = {
    "read": lambda disk, it, path: disk.read(path, MOST_CONTENT, base=it.root),
    "readlink": lambda disk, it, path: os.fsencode(disk.readlink(path, base=it.root)),
    "names": _names,
    "mkdir": lambda disk, it, path: disk.mkdir(path, base=it.root),
    "write": lambda disk, it, path: disk.write(path, it.content, base=it.root),
    "symlink": lambda disk, it, path: disk.symlink(path, it.to, base=it.root),
    "link": lambda disk, it, path: disk.link(path, _inside(it.root, it.to), base=it.root),
    "rename": lambda disk, it, path: disk.rename(path, _inside(it.root, it.to), base=it.root),
    "sync_dir": lambda disk, it, path: disk.sync_dir(path, base=it.root),
    "unlink": lambda disk, it, path: disk.unlink(path, base=it.root),
    "rmdir": lambda disk, it, path: disk.rmdir(path, base=it.root),
}


def _inside(root: str, path: str) -> str:
    """Return the whole path. Raises RequestRefused for one that leads out of `.appagent`."""
    parts = path.split("/") if path else []
    if any(part in ("", ".", "..") for part in parts) or "\0" in path:
        raise RequestRefused(f"{path[:200]!r} is not a path inside {FLEET_DIR}")
    if len(os.fsencode(path)) > _MOST_PATH:
        raise RequestRefused(f"a path of more than {_MOST_PATH} bytes")
    return "/".join((root.rstrip("/"), FLEET_DIR, *parts))


def _failed(request: Request, problem: Problem, text: str) -> Answer:
    return Answer(request.id, failure=Failure(problem, text))
