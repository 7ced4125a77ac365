"""What goes over the socket comes out as it went in."""

from __future__ import annotations

import os

import pytest

from appagent.model.seen import AppSeen, Beat, EnvSeen, RootSeen, Slow
from appagent.model.words import Layout
from appagent.share import protocol
from appagent.share.watcher import Outbox
from appagent.share.watchlist import Also, AppSpec, RootSpec, Watchlist, from_body, to_body

ODD = os.fsdecode(b"\xff\n\t\xe2")


def over(kind: str, body: protocol.Body) -> protocol.Body:
    line = protocol.line(kind, body)
    assert line.count(b"\n") == 1
    heard, body = protocol.read(line)
    assert heard == kind
    return body


def test_looks() -> None:
    app = AppSeen(
        root="/r",
        app="web",
        known=True,
        layout=Layout.GIT,
        release="git.1:a",
        release_dir=f"/r/{ODD}",
        owner=0,
        since=1.5,
        looked=2.25,
        incomplete=".deploying",
        changing=("a", ODD),
        settings="text: ü\n",
        how="poll",
    )
    assert protocol.app_seen(over("app", protocol.seen_body(app))) == app
    unknown = AppSeen("/r", "web", known=False, why="no")
    assert protocol.app_seen(over("app", protocol.seen_body(unknown))) == unknown
    root = RootSeen(
        root="/r",
        known=True,
        names=("a", "b"),
        refused={ODD: "odd"},
        mounted=True,
        fstype="nfs4",
        looked=3.5,
    )
    assert protocol.root_seen(over("root", protocol.seen_body(root))) == root
    env = EnvSeen("/e", "broken", "", "/e:3: no =", 4.5)
    assert protocol.env_seen(over("env", protocol.seen_body(env))) == env
    beat = Beat(1.0, 2.0, 3.0, "listing /r", 0.25, "why", (Slow("/r", "web", 30.0, 3.0),))
    assert protocol.beat(over("beat", protocol.seen_body(beat))) == beat


def test_a_field_that_a_newer_watcher_has_is_left_out() -> None:
    assert protocol.env_seen({"path": "/e", "state": "missing", "new": 1}) == EnvSeen(
        "/e", "missing"
    )


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
        looks_per_second=50.0,
    )
    assert from_body(over("watch", to_body(watch))) == watch
    assert watch.paths == ("/r", "/s", "/e")
    assert "xff" not in repr(watch)


def test_of_two_looks_at_one_thing_only_the_newest_waits() -> None:
    outbox = Outbox()
    for known in (False, True):
        outbox.put("app", {"root": "/r", "app": "web", "known": known})
        outbox.put("app", {"root": "/r", "app": "api", "known": known})
        outbox.put("root", {"root": "/r", "known": known})
    for number in range(5000):
        outbox.put("log", {"level": "info", "text": str(number)})
    lines = outbox.take().splitlines()
    assert len(lines) == 3 + 1000
    assert [protocol.read(line)[1]["known"] for line in lines[:3]] == [True] * 3
    assert outbox.take() == b""
