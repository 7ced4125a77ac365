"""Whose files may be run: the judgement of a stat, as a table."""

from __future__ import annotations

import os
import stat

import pytest

from appagent.shim.trust import Refused, Trust, kind

USER, FRIEND, STRANGER = 1000, 1001, 1002
OURS, THEIRS = 2000, 2001


def status(mode: int, uid: int, gid: int) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))


TRUST = Trust(frozenset({USER, FRIEND}), frozenset({OURS}), "app", lambda _, number: f"<{number}>")


def no_acl() -> bool:
    return False


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "says"),
    [
        (0o100644, USER, THEIRS, ""),
        (0o100644, 0, 0, ""),
        (0o100600, FRIEND, THEIRS, ""),
        (0o100664, FRIEND, OURS, ""),
        (0o042775, FRIEND, OURS, ""),
        (0o100644, STRANGER, OURS, "<1002>, who is not trusted: give it to root or app, or"),
        (0o100444, STRANGER, OURS, "belongs to <1002>"),
        (0o100664, USER, THEIRS, "by group <2001> (mode 0664, owner <1000>): chmod g-w it"),
        (0o100664, 0, 0, "by group <0>"),
        (0o100646, USER, OURS, "by everyone (mode 0646, owner <1000>): chmod o-w it"),
        (0o100602, 0, 0, "by everyone"),
        (0o040777, USER, OURS, "by everyone"),
        (0o041777, 0, OURS, "by everyone"),
        (0o104755, USER, THEIRS, ""),
    ],
)
def test_only_what_the_trusted_alone_can_change_is_trusted(
    mode: int, uid: int, gid: int, says: str
) -> None:
    if not says:
        TRUST.demand(status(mode, uid, gid), "/f", no_acl)
        return
    with pytest.raises(Refused) as refused:
        TRUST.demand(status(mode, uid, gid), "/f", no_acl)
    assert str(refused.value).startswith("/f ")
    assert says in str(refused.value)


def test_where_the_group_may_write_no_acl_may_be() -> None:
    with pytest.raises(Refused, match=r"by those whom its ACL names .*: setfacl -b it"):
        TRUST.demand(status(0o100664, USER, OURS), "/f", lambda: True)


def test_no_acl_lets_anybody_write_where_the_group_may_not() -> None:
    """Its mask is what shows as the group's; and nothing is asked that need not be."""
    TRUST.demand(status(0o100644, USER, OURS), "/f", lambda: pytest.fail("asked"))


def test_a_link_has_an_owner_and_no_mode() -> None:
    TRUST.demand_owner(status(0o120777, FRIEND, THEIRS), "/f")
    with pytest.raises(Refused, match="/f belongs to <1002>, who is not trusted"):
        TRUST.demand_owner(status(0o120777, STRANGER, OURS), "/f")


@pytest.mark.parametrize(
    ("mode", "uid", "fine"),
    [(0o041777, 0, True), (0o041777, USER, False), (0o040777, 0, False), (0o101777, 0, False)],
)
def test_a_base_may_be_like_tmp(mode: int, uid: int, *, fine: bool) -> None:
    try:
        TRUST.demand(status(mode, uid, OURS), "/f", no_acl, base=True)
    except Refused:
        assert not fine
    else:
        assert fine


def test_kinds_of_files_have_names() -> None:
    assert kind(stat.S_IFIFO | 0o600) == "a FIFO"
    assert kind(stat.S_IFBLK) == "a device"
    assert kind(0) == "not a regular file"
