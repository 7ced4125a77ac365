"""What goes over the socket comes out as it went in."""

from __future__ import annotations

import errno
import os

import pytest

from appagent.model.seen import AppSeen, Beat, EnvSeen, RootSeen, Slow
from appagent.model.words import Layout
from appagent.share import protocol
from appagent.share.protocol import LogLine, Message, PollNow, Recheck, WatcherCommand
from appagent.share.requests import Answer, Failure, Operation, Problem, Request
from appagent.share.watcher import Outbox
from appagent.share.watchlist import Also, AppSpec, RootSpec, Watchlist

ODD = os.fsdecode(b"\xff\n\t\xe2")


def over(message: WatcherCommand | Message) -> WatcherCommand | Message:
    line = protocol.line(message)
    assert line.count(b"\n") == 1
    return protocol.read(line)


def test_what_is_seen() -> None:
    app = AppSeen(
        root="/r",
        app="web",
        known=True,
        layout=Layout.GIT,
        release="git.1:a",
        release_dir=f"/r/{ODD}",
        owner=0,
        since=1.5,
        at=2.25,
        incomplete=".deploying",
        changing=("a", ODD),
        settings="text: ü\n",
        how="poll",
    )
    assert over(app) == app
    unknown = AppSeen("/r", "web", known=False, why="no")
    assert over(unknown) == unknown
    root = RootSeen(
        root="/r",
        known=True,
        names=("a", "b"),
        refused={ODD: "odd"},
        mounted=True,
        fstype="nfs4",
        at=3.5,
    )
    assert over(root) == root
    env = EnvSeen("/e", "broken", "", "/e:3: no =", 4.5)
    assert over(env) == env
    beat = Beat(1.0, 2.0, 3.0, "listing /r", 0.25, "why", (Slow("/r", "web", 30.0, 3.0),))
    assert over(beat) == beat


def test_a_field_that_a_newer_watcher_has_is_ignored() -> None:
    line = b'{"EnvSeen": {"path": "/e", "state": "missing", "new": 1}}'
    assert protocol.read(line) == EnvSeen("/e", "missing")


def test_requests_and_answers() -> None:
    operation = Operation("write", f"/r/{ODD}", "a/b", content=b"\0\xff")
    assert over(Request(7, 12.5, operation)) == Request(7, 12.5, operation)
    for answer in (
        Answer(7, b"\0\xff"),
        Answer(8, names={ODD: "d"}),
        Answer(9, failure=Failure(Problem.OS, "No space left", errno.ENOSPC, f"/r/{ODD}")),
    ):
        assert over(answer) == answer
    recheck = Recheck(3, ("/r",), (("/r", "web"),), ("/e",))
    assert over(recheck) == recheck
    assert over(PollNow("/r", "web")) == PollNow("/r", "web")
    assert over(LogLine("info", ODD)) == LogLine("info", ODD)


@pytest.mark.parametrize("line", [b"", b"x", b"[]", b"{}", b'{"a":1}', b'{"a":{},"b":{}}', b"\xff"])
def test_anything_else_is_an_error(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of json, or ours
        protocol.read(line)


def test_watch_lists() -> None:
    watch = Watchlist(
        roots=(
            RootSpec("/r"),
            RootSpec(
                "/s",
                watch="poll",
                interval=0.5,
                scan_interval=4.0,
                must_mount=True,
                include=("a*",),
                exclude=("b",),
                defaults=AppSpec(Layout.TREE, 1.0, ("x",)),
                apps={"web": AppSpec(None, 3.0, ("y", "z"), Also("tree.1", ("w",)))},
                known=("web", "api"),
            ),
        ),
        env=("/e",),
        secret=b"\0\xff",
        manifests="/m",
        share="/s",
        polls_per_second=50.0,
    )
    assert over(watch) == watch
    assert watch.paths == ("/r", "/s", "/e")
    assert "xff" not in repr(watch)


def test_of_two_messages_about_one_thing_only_the_newest_waits() -> None:
    outbox = Outbox()
    for known in (False, True):
        outbox.put(AppSeen("/r", "web", known))
        outbox.put(AppSeen("/r", "api", known))
        outbox.put(RootSeen("/r", known))
    for number in range(5000):
        outbox.put(LogLine("info", str(number)))
    lines = outbox.take().splitlines()
    assert len(lines) == 3 + 1000
    seen = [protocol.read(line) for line in lines[:3]]
    assert seen == [AppSeen("/r", "web", True), AppSeen("/r", "api", True), RootSeen("/r", True)]
    assert outbox.take() == b""


def test_answers_are_never_merged() -> None:
    outbox = Outbox()
    for number in range(3000):
        outbox.put(Answer(number))
    assert [protocol.read(line) for line in outbox.take().splitlines()] == [
        Answer(number) for number in range(3000)
    ]
