"""Who a run belongs to: looked up in the shim's child, at the moment of use, never in the daemon.

Names can come from a directory service that does not answer; so only this child asks for them,
and its parent keeps the time. An agent that is not root runs everything as
itself. `owner` is the owner of the app's directory, and then nobody else may write there: who may
change the directory would choose the user.
"""

from __future__ import annotations

import os
import stat

from appagent.host import accounts
from appagent.host.prctl import leave_keyring
from appagent.shim.trust import Refused, Trust
from appagent.shim.walk import NotFound, has_acl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from appagent.shim.kept import Kept
    from appagent.shim.walk import Directory

try:
    import grp
    import pwd
except ImportError as error:  # pragma: no cover - every Python on Linux has them
    raise SystemExit(f"appagent needs pwd and grp: {error}") from error


class User:
    """A user, and the home, shell and groups that go with it."""

    def __init__(self, uid: int, gid: int, name: str, home: str, shell: str) -> None:
        self.uid = uid
        self.gid = gid
        self.name = name
        self.home = home or "/"
        # A shell that lets nobody in is for logins; what a target starts with $SHELL needs one.
        self.shell = "/bin/sh" if shell.endswith(("/nologin", "/false")) or not shell else shell
        self.groups: list[int] = []


_ROOT = User(0, 0, "root", "/root", "/bin/sh")


def find_user(run_as: str, owner: Directory | None, kept: Kept | None = None) -> User:
    """The user of a run.

    `owner` is the app's directory, where it is there and matters. `kept` is what a stop may have
    to run: it belongs to whom the app belonged to, whoever owns what is there now.
    """
    me = os.geteuid()
    if me != 0:
        return _of_uid(me, strict=False)
    if run_as == "self":
        raise Refused("run_as must name a user: the agent is root, and root only runs by name")
    if run_as == "owner":
        if kept is not None and kept.uid != 0:
            return _of_uid(kept.uid, strict=True)
        if owner is None:
            raise Refused(
                "run_as is owner, the app's directory no longer exists, and its owner is not known"
            )
        return _of_owner(owner)
    try:
        entry = pwd.getpwnam(run_as)
    except KeyError:
        raise Refused(
            f"unknown user {run_as} (run_as): create it, or check the name service"
        ) from None
    if entry.pw_uid == 0 and run_as != _ROOT.name:
        raise Refused(
            f"run_as is {run_as}, which is root by another name: if you mean that, write root"
        )
    return _with_groups(entry)


def demand_same(owner: Directory, user: User) -> None:
    """Raise NotFound unless the app's directory is still the user's who is its owner."""
    if os.geteuid() == 0 and owner.status.st_uid != user.uid:
        raise NotFound(f"{owner.path} belongs to somebody else now")


def _of_owner(owner: Directory) -> User:
    if owner.status.st_uid == 0:
        raise Refused(
            "run_as is owner, and the app's directory belongs to root: give it to a user, or name "
            "one in run_as"
        )
    found = _of_uid(owner.status.st_uid, strict=True)
    trust = Trust(frozenset({found.uid}), frozenset(_private_group(found)), found.name, name_of)
    others, _ = trust.others(owner.status, lambda: has_acl(owner.fd))
    if others:
        raise Refused(
            f"run_as is owner, and others than {found.name} may write the app's directory "
            f"({others}; mode {stat.S_IMODE(owner.status.st_mode):04o}): chmod go-w it"
        )
    return found


def _of_uid(uid: int, *, strict: bool) -> User:
    try:
        return _with_groups(pwd.getpwuid(uid))
    except KeyError:
        if strict:
            raise Refused(
                f"run_as is owner, and the owner of the app's directory, uid {uid}, is not known "
                "here"
            ) from None
    # A container may run under a uid that has no name.
    home = os.environ.get("HOME", "/")
    nameless = User(uid, os.getegid(), str(uid), home, "/bin/sh")
    nameless.groups = os.getgroups()
    return nameless


def _with_groups(entry: pwd.struct_passwd) -> User:
    found = _user_of(entry)
    found.groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return found


def trust_of(user: User, names: list[str]) -> Trust:
    """Work out whose files may be run: the user's, and those of `trusted_owners`.

    A name stands for the user and for the group that are called so. One that is neither is left
    out: it can only make less be trusted.
    """
    uids = {user.uid}
    gids = _private_group(user) | _private_group(_ROOT)
    for name in names:
        try:
            named = _user_of(pwd.getpwnam(name))
        except KeyError:
            pass
        else:
            uids.add(named.uid)
            gids |= _private_group(named)
        try:
            gids.add(grp.getgrnam(name).gr_gid)
        except KeyError:
            continue
    return Trust(frozenset(uids), frozenset(gids), user.name, name_of)


def _user_of(entry: pwd.struct_passwd) -> User:
    """A user without its supplementary groups."""
    return User(entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir, entry.pw_shell)


def _private_group(user: User) -> set[int]:
    """The user's primary group if it has the user's name and nobody else in it.

    A group does not name those whose primary group it is. This machine's users are
    searched for them; those of a directory service are not, which may be many and far.
    """
    try:
        group = grp.getgrgid(user.gid)
    except KeyError:
        return set()
    private = group.gr_name == user.name and not set(group.gr_mem) - {user.name}
    return {user.gid} if private and not _primary_of_others(user) else set()


def _primary_of_others(user: User) -> bool:
    try:
        return any(gid == user.gid and uid != user.uid for _, uid, gid in accounts.local_users())
    except OSError:
        return True


def name_of(what: str, number: int) -> str:
    """Name a user or a group for a line that a person reads."""
    try:
        if what == "group":
            return grp.getgrgid(number).gr_name
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"{'gid' if what == 'group' else 'uid'} {number}"


def become(user: User) -> None:
    """Drop all rights but the user's, for good. Nothing of the app's is touched before this."""
    if os.geteuid() == 0:
        leave_keyring()
        os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
        if os.getresuid() != (user.uid,) * 3 or os.getresgid() != (user.gid,) * 3:
            raise Refused(f"the change of user to {user.name} did not happen")
    os.umask(0o022)
