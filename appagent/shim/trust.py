"""Whose files may be run: a pure judgement of a stat.

A file or directory is trusted when only root, the user that the app runs as, and the trusted
owners can change it. So: owned by one of them, never writable by everyone, and writable by a
group only where that group is trusted too, and no ACL lets others in. A user's private group (of
its name, with nobody else in it: what `umask 002` is for) is as good as the user; `users.py` finds
those.
"""

from __future__ import annotations

import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFREG: "a regular file",
}


def kind(mode: int) -> str:
    """The type of a file, in words."""
    return _KINDS.get(stat.S_IFMT(mode), "not a regular file")


class Over(Exception):
    """The run is over before make begins. The text is one line for a person."""

    outcome = "refused"
    status = 0  # of make, where it was asked


class Refused(Over):
    """It must not be run as it is. The text is one line: what, whose, and what to do."""


class Trust:
    """The users and groups whose files one app's targets may come from."""

    def __init__(
        self,
        uids: frozenset[int],
        gids: frozenset[int],
        user: str,
        name_of: Callable[[str, int], str],
    ) -> None:
        """Take uids beside root's, gids, the user it runs as, and how to name an id."""
        self.uids = uids | {0}
        self.gids = gids
        self.user = user
        self._name_of = name_of

    def demand(
        self,
        status: os.stat_result,
        path: str,
        has_acl: Callable[[], bool],
        *,
        base: bool = False,
    ) -> None:
        """Raise Refused unless nobody but the trusted can change this.

        `has_acl` is asked only where the answer counts. A base is a directory from which one more
        step leads to what is used, and that step is judged by itself: there a directory like
        /tmp will do, in which everyone may add something and nobody may remove what belongs to
        another user.
        """
        self.demand_owner(status, path)
        sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        if base and sticky and status.st_uid == 0:
            return
        others, remedy = self.others(status, has_acl)
        if others:
            raise Refused(
                f"{path} can be changed by {others} (mode {stat.S_IMODE(status.st_mode):04o}, "
                f"owner {self._name_of('user', status.st_uid)}): {remedy}"
            )

    def demand_owner(self, status: os.stat_result, path: str) -> None:
        """Raise Refused unless it belongs to somebody trusted."""
        if status.st_uid not in self.uids:
            owner = self._name_of("user", status.st_uid)
            raise Refused(
                f"{path} belongs to {owner}, who is not trusted: give it to root or {self.user}, "
                f"or put {owner} into trusted_owners"
            )

    def others(self, status: os.stat_result, has_acl: Callable[[], bool]) -> tuple[str, str]:
        """Who else than its owner and the trusted can change it, and the remedy; or "", "".

        An ACL shows in the mode only as what its mask lets the group do, and so wherever it lets
        anybody write, the group seems to. The names in it are not read: any ACL that lets
        anybody write is refused.
        """
        if status.st_mode & stat.S_IWOTH:
            return "everyone", "chmod o-w it"
        if not status.st_mode & stat.S_IWGRP:
            return "", ""
        if status.st_gid not in self.gids:
            group = self._name_of("group", status.st_gid)
            return f"group {group}", f"chmod g-w it, or put {group} into trusted_owners"
        if has_acl():
            return "those whom its ACL names", "setfacl -b it, or chmod g-w it"
        return "", ""
