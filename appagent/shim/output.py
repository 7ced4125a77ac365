"""Where the output of a run goes: a stream to the journal or a file, never a pipe.

What a target leaves running keeps writing there after the run, after the agent and for as long as
it lives, so neither end may be one of our processes. The journal bounds itself. The file is opened
for appending, so that it can be cut while it is written to: the shim does so during its run,
more often the faster it grows; the daemon does so now and then for what keeps running.
"""

from __future__ import annotations

import os

from appagent.host import files, units

JOURNAL = "/run/systemd/journal/stdout"
TAIL = 4096
LIMIT = 16 * 1024 * 1024
_ROOM = 64 * 1024  # free bytes below which a disk counts as full

_INFO = 6  # the priority of a line
_PATIENCE = 2.0  # seconds for journald to take a connection


def journal(app: str, path: str = JOURNAL) -> int:
    """Connect a stream to the journal and give its descriptor, or raise OSError.

    The slice stands where a unit may: when the writer of a line has ended before journald handles
    it, journald knows no more than that, and trusts it only from root.
    """
    # socket itself would cost the run 8 ms
    import _socket  # noqa: PLC0415

    header = f"{units.identifier(app)}\n{units.slice_of(app)}\n{_INFO}\n0\n0\n0\n0\n"
    stream = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        stream.settimeout(_PATIENCE)
        stream.connect(path)
        stream.send(header.encode())
        stream.settimeout(None)
    except OSError:
        stream.close()
        raise
    return stream.detach()


def open_log(path: str) -> int:
    """Open an app's file for appending, or raise OSError."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o640)


def trim(path: str, limit: int = LIMIT) -> bool:
    """Cut a file that has grown beyond `limit`; its last quarter is kept beside it as `.1`."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        size = os.fstat(fd).st_size
        if size <= limit:
            return False
        kept = _read(fd, max(0, size - limit // 4), limit)
        os.ftruncate(fd, 0)  # what is written between these two lines is lost: microseconds
        files.replace(f"{path}.1", kept[-(limit // 4) :], 0o640)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _read(fd: int, offset: int, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := os.pread(fd, count - len(data), offset + len(data))):
        data += more
    return data


class Log:
    """The file that one run writes to, watched while it grows."""

    _FAST = 0.02
    _SLOW = 0.5

    def __init__(self, path: str, limit: int, warnings: list[str] | None = None) -> None:
        """Open it; where that is impossible, the output is lost, with a warning.

        A run never fails because its output cannot be kept. On a full disk every write would
        fail, and with it a target that only prints something: there the output is lost, too.
        """
        self.path = path
        self.limit = limit
        self.lost = False
        self.fd, self.start, wrong = -1, 0, "no room on the disk"
        try:
            self.fd = open_log(path)
            self.start = os.fstat(self.fd).st_size
        except OSError as error:
            wrong = error.strerror or str(error)
        if self.fd < 0 or not _has_room(self.fd):
            if self.fd >= 0:
                os.close(self.fd)
            self.lost = True
            self.fd = os.open(os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            if warnings is not None:
                warnings.append(f"output is lost: {path}: {wrong}")
        self._size = self.start
        self.pause = self._FAST
        self._was_cut = False

    def watch(self) -> float:
        """Cut the file if need be; the seconds until the next check."""
        size = os.fstat(self.fd).st_size
        growth = abs(size - self._size)
        self._size = size
        if trim(self.path, self.limit):
            self._size = self.start = 0
            self._was_cut = True
        fast = growth > self.limit // 32
        self.pause = self._FAST if fast else min(self.pause * 2, self._SLOW)
        return self.pause

    def tail(self) -> bytes:
        """The last bytes of what this run has written, also over a cut."""
        if self.lost:
            return b""
        data = _end(self.path, self.start)
        if self._was_cut and len(data) < TAIL:
            data = _end(f"{self.path}.1", 0) + data
        return data[-TAIL:]


def _has_room(fd: int) -> bool:
    """Whether the disk that a file lies on takes a little more."""
    disk = os.fstatvfs(fd)
    return disk.f_bavail * disk.f_frsize >= _ROOM


def _end(path: str, begin: int) -> bytes:
    """Read the end of a file, from `begin` on at the earliest."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        size = os.fstat(fd).st_size
        begin = begin if size >= begin else 0  # the agent has cut it
        return _read(fd, max(begin, size - TAIL), TAIL)
    finally:
        os.close(fd)


def journal_tail(app: str, since: float, program: str = "journalctl") -> bytes:
    """Ask the journal for the last lines since `since` (wall clock); nothing if it is slow.

    Called once a run has failed: what a stream got cannot be read back in any other way.
    """
    from subprocess import DEVNULL, SubprocessError, run  # noqa: PLC0415 - only when it failed

    which = [f"--since=@{since:.6f}", *units.output_matches(app, os.geteuid())]
    try:
        # What has been sent is not yet there until journald has read it.
        run([program, "--sync"], check=False, timeout=_PATIENCE, stdin=DEVNULL, stdout=DEVNULL,
            stderr=DEVNULL)  # fmt: skip
        # With --since, systemd before 254 gives the first lines unless it goes backwards.
        done = run(
            [program, "--quiet", "--no-pager", "--output=cat", "--reverse", "--lines=100", *which],
            check=False,
            timeout=_PATIENCE,
            capture_output=True,
            stdin=DEVNULL,
        )
    except (OSError, SubprocessError):
        return b""
    return b"".join(reversed(done.stdout.splitlines(keepends=True)))[-TAIL:]


def clean(data: bytes | str) -> str:
    """Make output safe to show: no terminal escapes, no control characters."""
    from appagent.host.text import plain  # noqa: PLC0415 - `re` is slow; only when a run has failed

    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    return plain(text, len(text)).replace("\ufffd", "?")


def failure_line(tail: str) -> str:
    """Pick the last line of output; make's own only where the app printed nothing else."""
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    printed = [line for line in lines if not (line.startswith("make") and "***" in line)]
    return printed[-1][:300] if printed else lines[-1] if lines else ""
