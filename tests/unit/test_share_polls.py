"""Both workers of a watcher, turned by hand: what is told of a root and its apps, on any day.

The watcher as a process, with its threads, is in integration/test_watcher.py.
"""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from appagent.model.seen import AppSeen, RootSeen
from appagent.model.words import Layout
from appagent.share.state import Limits
from appagent.share.watchlist import Watchlist
from tests.share_disk import Faults
from tests.share_watcher import (
    EVERY,
    HASTY,
    LAYOUTS,
    Driven,
    SymlinkApp,
    driven,
    known,
    names,
    put,
    swap,
    world,
)

PATIENT = Limits(confirm=60.0)  # longer than a slow machine makes of a moment
REPORTS_SOON = replace(HASTY, unusable=0.1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


# --- which apps there are ------------------------------------------------------------------------


def test_a_listing_is_told_before_what_it_names(root: Path) -> None:
    seen = world(root)
    kinds = [type(one) for one in seen.messages]
    assert kinds[0] is RootSeen
    assert names(seen) == ("git", "symlink", "tree")


def test_dot_directories_bare_repositories_and_files_are_no_apps(root: Path) -> None:
    for name in (".hidden", "web.git", ".appagent"):
        put(root / name / "Makefile")
    put(root / "Makefile")
    put(root / "docs" / "README")
    put(root / "web" / "Makefile")
    seen = driven(root)
    seen.until(lambda: seen.release("web") != "")
    look = seen.roots[seen.root]
    assert look.names == ("web",)
    assert look.refused == {}
    assert not look.empty


def test_an_odd_name_is_refused_clearly(root: Path) -> None:
    put(root / "a b" / "Makefile")
    put(root / os.fsdecode(b"\xff") / "Makefile")
    seen = driven(root)
    seen.until(lambda: known(seen))
    refused = seen.roots[seen.root].refused
    assert "has ' ' in it" in refused["a b"]
    assert len(refused) == 2
    assert not seen.apps


def test_what_is_left_out_is_named_and_not_looked_at(root: Path) -> None:
    put(root / "web" / "Makefile")
    put(root / "api" / "Makefile")
    seen = driven(root, include=("w*", "x"), exclude=("x",))
    seen.until(lambda: seen.release("web") != "")
    seen.until_looked_again()
    assert names(seen) == ("api", "web")
    assert [*seen.apps] == ["web"]


def test_a_directory_becomes_an_app_with_its_makefile(root: Path) -> None:
    put(root / "web" / "code")
    seen = driven(root)
    seen.until(lambda: known(seen))
    seen.until_looked_again()
    assert not names(seen)
    put(root / "web" / "Makefile")
    seen.until(lambda: seen.release("web") != "")
    assert names(seen) == ("web",)


@pytest.mark.parametrize("layout", EVERY)
def test_an_app_without_its_makefile_is_unknown_and_not_gone(root: Path, layout: str) -> None:
    app = LAYOUTS[layout](root / "web")
    app.deploy("one")
    seen = driven(root)
    seen.until(lambda: seen.settled("web"))
    release = seen.release("web")
    makefile = next(root.glob("web/releases/one/Makefile"), root / "web" / "Makefile")
    makefile.rename(root.parent / "kept")
    seen.until(lambda: not seen.apps["web"].known)
    assert "no Makefile" in seen.apps["web"].why
    assert names(seen) == ("web",)
    (root.parent / "kept").rename(makefile)
    seen.until(lambda: seen.release("web") != "")
    assert layout == "tree" or seen.release("web") == release


def test_so_is_one_that_the_node_has_a_record_of(root: Path) -> None:
    put(root / "web" / "half-done")
    put(root / "other" / "README")
    seen = driven(root, known=("web", "gone"))
    seen.until(lambda: "web" in seen.apps)
    assert not seen.apps["web"].known
    assert names(seen) == ("web",)


def test_a_file_that_vanishes_for_a_moment_is_no_news(root: Path) -> None:
    put(root / "web" / "Makefile")
    seen = driven(root, limits=PATIENT)
    seen.until(lambda: seen.settled("web"))
    count = len(seen.messages)
    faults = seen.faults
    seen.faults = Faults.at(("names",), str(root / "web"), errno.ENOENT)
    seen.until_looked_again(10)
    seen.faults = faults
    seen.until_looked_again()
    assert len(seen.messages) == count


def test_directories_without_a_makefile_are_told_apart_from_apps_that_lack_one(root: Path) -> None:
    for number in range(25):
        put(root / f"docs-{number:02}" / "README")
    put(root / "work" / ".git" / "HEAD", "ref: refs/heads/main")
    put(root / "web" / "releases" / "1" / "code")
    swap(root / "web" / "current", "releases/1")
    seen = driven(root, limits=REPORTS_SOON)
    seen.until(lambda: known(seen) and seen.roots[seen.root].plain_count == 25)
    seen.until(lambda: len(seen.roots[seen.root].refused) == 2)
    look = seen.roots[seen.root]
    assert 1 < len(look.plain) < 25
    assert all(name.startswith("docs-") for name in look.plain)
    assert all("no Makefile" in look.refused[name] for name in ("web", "work"))
    put(root / "docs-00" / "Makefile")
    seen.until(lambda: seen.roots[seen.root].plain_count == 24)
    assert names(seen) == ("docs-00",)


def test_what_keeps_a_directory_from_being_an_app_is_told_in_the_end(root: Path) -> None:
    (root / "web").mkdir()
    swap(root / "web" / "current", "releases/9")
    seen = driven(root, limits=REPORTS_SOON)
    seen.until(lambda: known(seen) and "web" in seen.roots[seen.root].refused)
    assert "releases" in seen.roots[seen.root].refused["web"]
    assert names(seen) == ()
    put(root / "web" / "releases" / "9" / "Makefile")
    seen.until(lambda: seen.release("web") != "")
    seen.until(lambda: not seen.roots[seen.root].refused)


def test_an_empty_root_says_so(root: Path) -> None:
    seen = driven(root)
    seen.until(lambda: known(seen))
    assert seen.roots[seen.root].empty


# --- swapping ------------------------------------------------------------------------------------


def test_a_swapped_link_is_told_with_the_look_that_sees_it(root: Path) -> None:
    app = SymlinkApp(root / "web")
    app.deploy("one")
    seen = driven(root, settle=60.0)
    seen.until(lambda: seen.release("web") != "")
    app.deploy("two")
    seen.until(lambda: ":releases/two:" in seen.release("web"))
    assert seen.apps["web"].since == seen.apps["web"].at


def test_a_link_that_looks_like_a_file_for_a_moment_is_no_news(root: Path) -> None:
    app = SymlinkApp(root / "web")
    app.deploy("one")
    seen = driven(root, limits=PATIENT)
    seen.until(lambda: seen.settled("web"))
    link = root / "web" / "current"
    link.rename(root.parent / "readlink")
    put(link)
    put(root / "web" / "Makefile")  # worse: as a tree it would be a good one
    seen.until_looked_again(3)
    link.unlink()
    (root.parent / "readlink").rename(link)
    seen.until_looked_again()
    # That it stood for a while may be told once more; it is the same release.
    apps = [one for one in seen.messages if isinstance(one, AppSeen)]
    assert {(app.known, app.release) for app in apps} == {(True, seen.release("web"))}


def test_an_app_that_stays_of_another_layout_is_believed(root: Path) -> None:
    app = SymlinkApp(root / "web")
    app.deploy("one")
    seen = driven(root)
    seen.until(lambda: seen.release("web") != "")
    (root / "web" / "current").unlink()
    put(root / "web" / "Makefile")
    seen.until(lambda: seen.apps["web"].layout is Layout.TREE and seen.settled("web"))
    app.deploy("two")
    seen.until(lambda: seen.apps["web"].layout is Layout.SYMLINK and seen.settled("web"))


# --- asking, and other lists ---------------------------------------------------------------------


@pytest.mark.parametrize("layout", EVERY)
def test_who_asks_is_told_also_when_nothing_is_new(root: Path, layout: str) -> None:
    seen = world(root)
    count = len(seen.messages)
    seen.poll_now(layout)
    seen.until(lambda: len(seen.messages) > count)
    assert [getattr(one, "app", "") for one in seen.messages[count:]] == [layout]


def test_a_whole_root_can_be_asked_for(root: Path) -> None:
    seen = world(root)
    count = len(seen.messages)
    seen.poll_now()
    seen.until(lambda: len(seen.messages) >= count + 4)
    assert sorted(getattr(one, "app", "") for one in seen.messages[count:]) == ["", *EVERY]


def test_the_same_list_again_is_no_news(root: Path) -> None:
    seen = world(root)
    seen.until(lambda: len(seen.messages) == 1 + 2 * len(EVERY))  # each app once more when it stood
    count = len(seen.messages)
    seen.watch()
    seen.until_looked_again()
    assert len(seen.messages) == count


def test_a_root_that_is_watched_no_more_is_not_looked_at(root: Path) -> None:
    seen = world(root)
    seen.poller.post(lambda: seen.poller.set_watchlist(Watchlist()))
    seen.until_looked_again(5)
    seen.faults.seen.clear()
    seen.until_looked_again(20)
    assert not seen.faults.seen


def test_the_interval_stretches_to_the_budget(root: Path) -> None:
    for number in range(10):
        SymlinkApp(root / f"app{number}").deploy("one")
    seen = driven(root)
    seen.until(lambda: len(seen.apps) == 10)
    assert seen.poller.interval < 0.1
    watch = Watchlist((seen.spec,), polls_per_second=20.0)
    seen.poller.post(lambda: seen.poller.set_watchlist(watch))
    seen.until(lambda: seen.poller.interval == 0.5)
    assert seen.poller.why == "10 apps are polled, with at most 20 polls per second"


def test_plain_directories_neither_slow_the_apps_nor_are_looked_at_all_the_time(
    root: Path,
) -> None:
    SymlinkApp(root / "web").deploy("one")
    for number in range(300):
        (root / f"data{number:03}").mkdir()
    seen = Driven(root, interval=0.1)
    watch = Watchlist((seen.spec,), polls_per_second=50.0)
    seen.poller.post(lambda: seen.poller.set_watchlist(watch))
    seen.until(lambda: seen.poller.interval > 0)
    assert seen.poller.interval == 0.1
    assert not seen.poller.why
    seen.until_looked_again(400)
    seen.faults.seen.clear()
    seen.until(lambda: seen.faults.seen.count("readlink") >= 30)
    assert seen.faults.seen.count("names") < 30 * 12  # the root is listed as often as the link
