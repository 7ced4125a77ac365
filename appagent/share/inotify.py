"""inotify, for local filesystems: it says which app to poll now, never what changed.

Theory of operation. watchdog's reader of the inotify descriptor (`InotifyFD`) is used without its
observer: the observer walks whole trees by itself, with a thread for each watch and with every
ignored directory in it, and reports nothing when it runs out of watches. Here exactly those
directories are watched that a poll has just listed, and a watch that cannot be added is an error
that makes the root a polled one.

A directory that is deleted or moved loses its watch, and so does everything in it; the poll that
follows watches what is there then. Between a poll and its watches a change can be missed, so a poll
that added any is repeated.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterable

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
)

# No IN_MODIFY: an app that writes its log would cause an event with every line. A file that is
# written is reported when it is closed; one that is written for long is found by the next scan.
_MASK = Mask(
    InotifyConstants.IN_ATTRIB
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_CREATE
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_MOVED_FROM
    | InotifyConstants.IN_MOVED_TO
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_MOVE_SELF
    | InotifyConstants.IN_ONLYDIR
    | InotifyConstants.IN_DONT_FOLLOW
)

Notify = Callable[[str, bool], None]  # the path that changed ("": anything), whether a directory


class Watcher:
    """The directories that one app, or one root, is watched by."""

    def __init__(self, fd: InotifyFD, notify: Notify) -> None:
        self._fd = fd
        self._notify = notify
        self._id = CallbackId(id(self))
        self._by_path: dict[str, WatchDescriptor] = {}
        self._by_wd: dict[WatchDescriptor, str] = {}
        self._lock = threading.Lock()

    def watch(self, paths: Iterable[str]) -> int:
        """Watch just these; return how many were not watched before.

        Raises OSError where the kernel gives no more watches.
        """
        wanted = set(paths)
        with self._lock:
            missing = wanted - self._by_path.keys()
            surplus = [self._by_path[path] for path in self._by_path.keys() - wanted]
            for wd in surplus:
                self._forget(wd)
        self._fd.remove_callbacks([(wd, self._id) for wd in surplus])
        return sum(self._add(path) for path in sorted(missing))

    def close(self) -> None:
        """Watch nothing more."""
        self.watch(())

    def _add(self, path: str) -> bool:
        try:
            wd = self._fd.add_callback(os.fsencode(path), _MASK, self, self._id)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return True  # removed since it was listed: the next poll sees that
            raise
        if wd < 0:  # which is how watchdog reports EACCES
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        with self._lock:
            # One directory under two paths (it was renamed): the newest is what it is called.
            old = self._by_wd.get(wd)
            if old is not None:
                self._by_path.pop(old, None)
            self._by_path[path] = wd
            self._by_wd[wd] = path
        return True

    def _forget(self, wd: WatchDescriptor) -> str | None:
        path = self._by_wd.pop(wd, None)
        if path is not None and self._by_path.get(path) == wd:
            del self._by_path[path]
        return path

    # --- called by watchdog's thread -----------------------------------------------------------

    def on_event(self, event: InotifyEvent) -> None:
        """Something happened in a directory."""
        with self._lock:
            path = self._by_wd.get(event.wd)
            removed = []
            if path is not None and (event.is_move_self or event.is_delete_self):
                # What lay in it went with it, without an event. Whatever bears these names now has
                # to be watched anew.
                inside = f"{path}/"
                removed = [wd for wd, one in self._by_wd.items() if f"{one}/".startswith(inside)]
                for wd in removed:
                    self._forget(wd)
        self._fd.remove_callbacks([(wd, self._id) for wd in removed])
        if path is not None:
            name = os.fsdecode(event.name)
            self._notify(f"{path}/{name}" if name else "", event.is_directory)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """A directory was removed, or its filesystem unmounted."""
        with self._lock:
            self._forget(wd)
        self._notify("", True)  # noqa: FBT003 - watchdog's way round

    def on_queue_overflow(self) -> None:
        """Events were lost."""
        self._notify("", True)  # noqa: FBT003 - as above


class Inotify:
    """The one inotify descriptor of the process, made when it is first needed."""

    def __init__(self) -> None:
        self._fd: InotifyFD | None = None
        self._lock = threading.Lock()

    def watcher(self, notify: Notify) -> Watcher:
        """Make a watcher. Raises OSError where the kernel gives no descriptor."""
        with self._lock:
            if self._fd is None:
                fd = InotifyFD()
                fd.start()
                self._fd = fd
            return Watcher(self._fd, notify)


def is_limit(error: OSError) -> bool:
    """Whether the kernel's limits are reached."""
    return error.errno in (errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
