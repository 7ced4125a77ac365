"""Ids: the environment that targets get."""

from __future__ import annotations

from appagent.core.ids import NO_FILE, conf_id, inode, user_text


def test_the_id_carries_its_scheme_and_nothing_of_the_values() -> None:
    made = conf_id("www-data", ["d1", "d2"])
    scheme, _, rest = made.partition(":")
    assert scheme == "env.1"
    assert len(rest) == 16
    assert set(rest) <= set("0123456789abcdef")


def test_it_changes_with_the_user_each_file_and_their_order() -> None:
    ids = [
        conf_id("a", []),
        conf_id("b", []),
        conf_id("a", ["x"]),
        conf_id("a", ["x", "y"]),
        conf_id("a", ["y", "x"]),
        conf_id("a", [NO_FILE]),
        conf_id("a", [NO_FILE, "x"]),
    ]
    assert len(set(ids)) == len(ids)


def test_only_run_as_owner_depends_on_the_owner() -> None:
    assert user_text("www-data", 33) == "www-data"
    assert user_text("self", 33) == "self"
    assert user_text("owner", 33) == "owner:33"


def test_a_release_that_was_seen_in_a_directory_of_its_own_tells_which() -> None:
    assert inode("symlink.1:releases/2026-01-02:1234") == 1234
    assert inode("symlink.1:a:b/c%20:77") == 77
    for other in ("", "git.1:12345", "tree.1:aa:1234", "symlink.1:releases/1", "symlink.1:1:x"):
        assert inode(other) is None
