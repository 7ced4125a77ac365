"""From single polls of one app to what is reported: since when it is unchanged, what to believe.

What is seen is believed at once: a link that was swapped is reported within the same poll. An error
is not while the share swaps a symlink or a directory: for some milliseconds a reader may meet
ESTALE or ENOENT, and for about a second a link may appear as a regular file. So what was seen
before stays for 2 s; only an error after that makes the app unknown, and only a second poll more
than 2 s after the first makes it an app of another layout. Any other error (ENOTCONN, EIO, EACCES
…) makes it unknown at once. Unknown begins nothing and stops nothing.
"""

from __future__ import annotations

import errno
import os
from dataclasses import fields, replace
from operator import attrgetter

from appagent.model.seen import AppSeen
from appagent.model.words import Layout
from appagent.share.layouts import Inspection
from appagent.share.markers import NotDeployable

CONFIRM = 2.0  # s

# What is reported when it changes: all but when it was seen, and which paths are changing.
_CONTENT = attrgetter(
    *(field.name for field in fields(AppSeen) if field.name not in ("at", "changing"))
)
_ROUNDING = 0.001  # s, for how floats subtract

_TRANSIENT = frozenset((errno.ESTALE, errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ELOOP))


class Debounce:
    """What is seen of one app. `saw` and `failed` return what there is to report, if anything."""

    def __init__(self, root: str, app: str, settle: float, confirm: float = CONFIRM) -> None:
        self.root = root
        self.app = app
        self.settle = settle
        self._confirm = confirm  # s after which an error is believed
        self.last: AppSeen | None = None  # what is believed
        self.reported: AppSeen | None = None
        # A poll that starts from then on (mono) is to be reported whatever it shows; 0: none is. A
        # poll that started before is reported too, and does not count.
        self.requested = 0.0
        self.urgent = False  # … and does not wait for its budget
        self._settled: tuple[Inspection, str, str] | None = None  # of which all is reported
        self._failing_since: float | None = None
        self._other: tuple[Layout, float] | None = None  # another layout, and since when

    @property
    def doubtful(self) -> bool:
        """Whether the newest poll was not believed, so that the next one is due soon."""
        return self._failing_since is not None or self._other is not None

    @property
    def confirm_at(self) -> float | None:
        """When to poll again to see that it settled; None if that was seen."""
        last, reported = self.last, self.reported
        if last is None or not last.known or last.layout is Layout.SYMLINK:
            return None
        if reported is not None and reported.known and _is_settled(reported, self.settle):
            return None
        return last.since + self.settle + _ROUNDING

    def believes(self, layout: Layout, began: float) -> bool:
        """Whether the app may be taken for one of this layout now."""
        last = self.last
        if last is None or last.layout in (None, layout):
            self._other = None
            return True
        if self._other is None or self._other[0] is not layout:
            self._other = (layout, began)
        return began - self._other[1] > self._confirm

    def saw(  # noqa: PLR0913 - the parts of what is seen
        self,
        found: Inspection,
        release: str,
        began: float,
        how: str,
        *,
        also: str = "",
        changing: tuple[str, ...] = (),
    ) -> AppSeen | None:
        """Take what was seen, of a layout that is believed."""
        content = (found, release, also)
        if content == self._settled and not self.requested and not changing:
            self._failing_since = self._other = None
            return None  # nearly every poll is such a one
        seen = AppSeen(
            root=self.root,
            app=self.app,
            known=True,
            layout=found.layout,
            release=release,
            also=also,
            release_dir=found.release_dir,
            owner=found.owner,
            since=began,
            at=began,
            incomplete=found.incomplete,
            changing=tuple(path.encode("utf-8", "backslashreplace").decode() for path in changing),
            settings=found.settings,
            how=how,
        )
        last = self.last
        if last is not None and last.known and _essence(last) == _essence(seen):
            seen = replace(seen, since=last.since, how=last.how)
        self._failing_since = self._other = None
        report = self._take(seen)
        reported = self.reported
        settled = reported is not None and reported.known and _is_settled(reported, self.settle)
        self._settled = content if settled else None
        return report

    def failed(self, error: OSError | NotDeployable, began: float, how: str) -> AppSeen | None:
        """Take a poll that failed."""
        self._settled = None
        last = self.last
        if last is not None and last.known and passes(error):
            if self._failing_since is None:
                self._failing_since = began
            if began - self._failing_since <= self._confirm:
                return None
        seen = AppSeen(
            root=self.root,
            app=self.app,
            known=False,
            why=in_words(error),
            layout=last.layout if last else None,
            since=began,
            at=began,
            how=how,
        )
        if last is not None and not last.known:
            seen = replace(seen, since=last.since, how=last.how)
        self._failing_since = None
        return self._take(seen)

    def _take(self, seen: AppSeen) -> AppSeen | None:
        self.last = seen
        reported = self.reported
        changed = (
            self.requested > 0.0
            or reported is None
            or _CONTENT(reported) != _CONTENT(seen)
            or (
                seen.known
                and _is_settled(seen, self.settle)
                and not _is_settled(reported, self.settle)
            )
        )
        if not changed:
            return None
        if seen.at >= self.requested:
            self.requested, self.urgent = 0.0, False
        self.reported = seen
        return seen


def passes(error: OSError | NotDeployable) -> bool:
    """Whether a poll may fail in this way for a moment while all is well."""
    return isinstance(error, NotDeployable) or error.errno in _TRANSIENT


def in_words(error: OSError | NotDeployable) -> str:
    """Describe what failed, for people and for logs; names that are not UTF-8 are escaped."""
    if isinstance(error, NotDeployable):
        text = str(error)
    else:
        text = error.strerror or (os.strerror(error.errno) if error.errno else str(error))
        if error.filename is not None:
            text = f"{error.filename}: {text}"
    return text.encode("utf-8", "backslashreplace").decode()


def _essence(seen: AppSeen) -> tuple[object, ...]:
    """What must not change for an app to settle."""
    return (seen.layout, seen.release, seen.release_dir, seen.incomplete)


def _is_settled(seen: AppSeen, settle: float) -> bool:
    return seen.at - seen.since >= settle
