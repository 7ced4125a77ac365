"""From single looks at one app to what is pushed: since when it stands, and what to believe.

A good look is believed at once: a link that was swapped is pushed within the same look. A *bad*
one is not, while the share swaps a symlink or a directory: for some milliseconds a reader may meet
ESTALE or ENOENT, and for about a second a link may look like a regular file. So what was seen
before stands for 2 s; only a bad look after that makes the app unknown, and only a second look
more than 2 s after the first makes it an app of another layout. Any other error (ENOTCONN, EIO,
EACCES …) makes it unknown at once. Unknown begins nothing and stops nothing.
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

CONFIRM = 2.0  # s after which a bad look is believed

# What is news when it changes: all but when it was looked at, and which paths change.
_TOLD = attrgetter(
    *(field.name for field in fields(AppSeen) if field.name not in ("looked", "changing"))
)
_HAIR = 0.001  # s, for how floats subtract

_PASSING = frozenset((errno.ESTALE, errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ELOOP))


class Debounce:
    """What is seen of one app. `saw` and `failed` answer with the look to push, if there is one."""

    def __init__(self, root: str, app: str, settle: float) -> None:
        self.root = root
        self.app = app
        self.settle = settle
        self.last: AppSeen | None = None  # what stands
        self.pushed: AppSeen | None = None
        # Somebody wants to hear of a look that begins from then on (mono), whatever it shows; 0:
        # nobody. A look that had begun before is told too, and does not answer.
        self.requested = 0.0
        self.urgent = False  # … and it is not to wait until scanning may go on
        self._stands: tuple[Inspection, str, str] | None = None  # of which all is told
        self._bad_since: float | None = None
        self._turned: tuple[Layout, float] | None = None  # another layout, and since when

    @property
    def doubtful(self) -> bool:
        """Whether the newest look was not believed: look again soon."""
        return self._bad_since is not None or self._turned is not None

    @property
    def confirm_at(self) -> float | None:
        """When to look again to see that it stood; None if that was seen."""
        last, pushed = self.last, self.pushed
        if last is None or not last.known or last.layout is Layout.SYMLINK:
            return None
        if pushed is not None and pushed.known and _stood(pushed, self.settle):
            return None
        return last.since + self.settle + _HAIR

    def believes(self, layout: Layout, began: float) -> bool:
        """Whether the app may be taken for one of this layout now."""
        last = self.last
        if last is None or last.layout in (None, layout):
            self._turned = None
            return True
        if self._turned is None or self._turned[0] is not layout:
            self._turned = (layout, began)
        return began - self._turned[1] > CONFIRM

    def saw(  # noqa: PLR0913 - a look has so many parts
        self,
        found: Inspection,
        release: str,
        began: float,
        how: str,
        *,
        also: str = "",
        changing: tuple[str, ...] = (),
    ) -> AppSeen | None:
        """Take a good look whose layout is believed."""
        seen = (found, release, also)
        if seen == self._stands and not self.requested and not changing:
            self._bad_since = self._turned = None
            return None  # nearly every look is such a one
        look = AppSeen(
            root=self.root,
            app=self.app,
            known=True,
            layout=found.layout,
            release=release,
            also=also,
            release_dir=found.release_dir,
            owner=found.owner,
            since=began,
            looked=began,
            incomplete=found.incomplete,
            changing=tuple(path.encode("utf-8", "backslashreplace").decode() for path in changing),
            settings=found.settings,
            how=how,
        )
        last = self.last
        if last is not None and last.known and _essence(last) == _essence(look):
            look = replace(look, since=last.since, how=last.how)
        self._bad_since = self._turned = None
        told = self._take(look)
        pushed = self.pushed
        stood = pushed is not None and pushed.known and _stood(pushed, self.settle)
        self._stands = seen if stood else None
        return told

    def failed(self, error: OSError | NotDeployable, began: float, how: str) -> AppSeen | None:
        """Take a look that went wrong."""
        self._stands = None
        last = self.last
        if last is not None and last.known and passes(error):
            if self._bad_since is None:
                self._bad_since = began
            if began - self._bad_since <= CONFIRM:
                return None
        look = AppSeen(
            root=self.root,
            app=self.app,
            known=False,
            why=in_words(error),
            layout=last.layout if last else None,
            since=began,
            looked=began,
            how=how,
        )
        if last is not None and not last.known:
            look = replace(look, since=last.since, how=last.how)
        self._bad_since = None
        return self._take(look)

    def _take(self, look: AppSeen) -> AppSeen | None:
        self.last = look
        pushed = self.pushed
        news = (
            self.requested > 0.0
            or pushed is None
            or _TOLD(pushed) != _TOLD(look)
            or (look.known and _stood(look, self.settle) and not _stood(pushed, self.settle))
        )
        if not news:
            return None
        if look.looked >= self.requested:
            self.requested, self.urgent = 0.0, False
        self.pushed = look
        return look


def passes(error: OSError | NotDeployable) -> bool:
    """Whether a look may go wrong in this way for a moment while all is well."""
    return isinstance(error, NotDeployable) or error.errno in _PASSING


def in_words(error: OSError | NotDeployable) -> str:
    """Say what went wrong, for people and for logs: names that are no UTF-8 are made readable."""
    if isinstance(error, NotDeployable):
        text = str(error)
    else:
        text = error.strerror or (os.strerror(error.errno) if error.errno else str(error))
        if error.filename is not None:
            text = f"{error.filename}: {text}"
    return text.encode("utf-8", "backslashreplace").decode()


def _essence(look: AppSeen) -> tuple[object, ...]:
    """What must not change for a look to stand."""
    return (look.layout, look.release, look.release_dir, look.incomplete)


def _stood(look: AppSeen, settle: float) -> bool:
    return look.looked - look.since >= settle
