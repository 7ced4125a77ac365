"""Since when a look stands, what is pushed, and which bad looks are believed."""

from __future__ import annotations

import errno
import os

import pytest

from appagent.model.words import Layout
from appagent.share.debounce import CONFIRM, Debounce, in_words
from appagent.share.layouts import Inspection, NoApp
from appagent.share.markers import NotDeployable

LATER = CONFIRM + 0.1


def found(
    layout: Layout = Layout.TREE, incomplete: str = "", settings: str | None = None
) -> Inspection:
    return Inspection(layout, "/r/web", "", "/r/web", 0, incomplete, settings)


def error(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/r/web")


def debounce(settle: float = 2.0) -> Debounce:
    return Debounce("/r", "web", settle)


def test_a_look_is_pushed_when_it_differs_and_once_more_when_it_stood() -> None:
    it = debounce()
    assert it.saw(found(), "a", 10.0, "poll") is not None
    assert it.saw(found(), "a", 11.0, "poll") is None
    stood = it.saw(found(), "a", 12.0, "poll")
    assert stood is not None
    assert (stood.since, stood.at) == (10.0, 12.0)
    assert it.saw(found(), "a", 13.0, "poll") is None
    changed = it.saw(found(), "b", 14.0, "inotify", changing=("x",))
    assert changed is not None
    assert (changed.since, changed.at, changed.how) == (14.0, 14.0, "inotify")
    assert changed.changing == ("x",)


def test_a_release_that_comes_back_begins_to_stand_anew() -> None:
    it = debounce()
    for at, release in enumerate(["a", "b", "a"]):
        look = it.saw(found(), release, float(at), "poll")
        assert look is not None
        assert look.since == float(at)


def test_the_confirming_look_is_due_when_it_has_stood() -> None:
    it = debounce(settle=0.1)
    for began in (0.1, 1e6 / 3, 7.77777):
        it.saw(found(), f"r{began}", began, "poll")
        due = it.confirm_at
        assert due is not None
        stood = it.saw(found(), f"r{began}", due, "poll")
        assert stood is not None
        assert stood.at - stood.since >= 0.1
        again = it.confirm_at
        assert again is None


def test_what_is_incomplete_and_then_complete_begins_to_stand_anew() -> None:
    it = debounce()
    it.saw(found(incomplete=".deploying"), "a", 0.0, "poll")
    look = it.saw(found(), "a", 9.0, "poll")
    assert look is not None
    assert (look.since, look.incomplete) == (9.0, "")


def test_other_settings_are_pushed_and_stand_as_long_as_the_release() -> None:
    it = debounce()
    it.saw(found(), "a", 0.0, "poll")
    look = it.saw(found(settings="settle: 9s"), "a", 1.0, "poll")
    assert look is not None
    assert look.since == 0.0


def test_who_asks_hears_of_the_next_look_once() -> None:
    it = debounce()
    it.saw(found(), "a", 0.0, "poll")
    it.requested = 0.5
    assert it.saw(found(), "a", 0.5, "asked") is not None
    assert it.saw(found(), "a", 0.6, "poll") is None


def test_a_look_that_had_begun_before_somebody_asked_does_not_answer() -> None:
    it = debounce()
    it.saw(found(), "a", 0.0, "poll")
    it.requested = 0.5
    it.saw(found(), "a", 0.4, "scan")  # it took long; what it saw may be of before
    look = it.saw(found(), "a", 0.9, "asked")
    assert look is not None
    assert look.at == 0.9
    assert it.saw(found(), "a", 1.0, "poll") is None


@pytest.mark.parametrize(
    "number",
    [
        errno.ENOTCONN,
        errno.EIO,
        errno.EACCES,
        errno.ETIMEDOUT,
        errno.ECONNABORTED,
        errno.EHOSTDOWN,
        errno.EMFILE,
    ],
)
def test_an_error_of_the_share_is_unknown_at_once(number: int) -> None:
    it = debounce()
    it.saw(found(), "a", 0.0, "poll")
    look = it.failed(error(number), 1.0, "poll")
    assert look is not None
    assert not look.known
    assert look.why == f"/r/web: {os.strerror(number)}"


@pytest.mark.parametrize(
    "passing",
    [
        error(errno.ESTALE),
        error(errno.ENOENT),
        error(errno.ENOTDIR),
        error(errno.EINVAL),
        NotDeployable("/r/web/current is not a symlink"),
        NoApp("there is no Makefile in /r/web"),
    ],
    ids=in_words,
)
def test_a_bad_look_is_believed_after_another_one_two_seconds_later(
    passing: OSError | NotDeployable,
) -> None:
    it = debounce()
    it.saw(found(), "a", 0.0, "poll")
    assert it.failed(passing, 1.0, "poll") is None
    assert it.doubtful
    assert it.failed(passing, 1.0 + CONFIRM, "poll") is None
    look = it.failed(passing, 1.0 + LATER, "poll")
    assert look is not None
    assert not look.known


def test_a_good_look_between_bad_ones_ends_the_doubt() -> None:
    it = debounce()
    it.saw(found(), "a", 0.0, "poll")
    it.failed(error(errno.ESTALE), 1.0, "poll")
    assert it.saw(found(), "b", 1.1, "poll") is not None
    assert not it.doubtful
    assert it.failed(error(errno.ESTALE), 1.0 + LATER, "poll") is None


def test_unknown_is_pushed_when_it_begins_and_when_its_reason_changes() -> None:
    it = debounce()
    first = it.failed(error(errno.EIO), 0.0, "poll")
    assert first is not None
    assert it.failed(error(errno.EIO), 1.0, "poll") is None
    other = it.failed(error(errno.EACCES), 2.0, "poll")
    assert other is not None
    assert other.since == 0.0
    healed = it.saw(found(), "a", 3.0, "poll")
    assert healed is not None
    assert healed.since == 3.0


def test_another_layout_is_believed_after_two_seconds() -> None:
    it = debounce()
    it.saw(found(Layout.SYMLINK), "symlink.1:a:1", 0.0, "poll")
    assert it.believes(Layout.SYMLINK, 1.0)
    assert not it.believes(Layout.TREE, 2.0)
    assert it.believes(Layout.SYMLINK, 2.5)
    assert not it.believes(Layout.TREE, 3.0)
    assert not it.believes(Layout.GIT, 4.0)
    assert not it.believes(Layout.GIT, 4.0 + CONFIRM)
    assert it.believes(Layout.GIT, 4.0 + LATER)


def test_also_while_it_was_unknown_for_a_while() -> None:
    it = debounce()
    it.saw(found(Layout.SYMLINK), "symlink.1:a:1", 0.0, "poll")
    it.failed(error(errno.EIO), 1.0, "poll")
    assert not it.believes(Layout.TREE, 2.0)
    assert it.believes(Layout.TREE, 2.0 + LATER)


def test_a_link_needs_no_confirming_look() -> None:
    it = debounce()
    it.saw(found(Layout.SYMLINK), "symlink.1:a:1", 0.0, "poll")
    assert it.confirm_at is None


def test_what_is_told_can_be_printed_by_everybody() -> None:
    it = debounce()
    look = it.failed(OSError(errno.EIO, "bad", os.fsdecode(b"/r/\xff")), 0.0, "poll")
    assert look is not None
    look.why.encode("utf-8")
    look = it.saw(found(), "a", 1.0, "poll", changing=(os.fsdecode(b"\xff"),))
    assert look is not None
    look.changing[0].encode("utf-8")
