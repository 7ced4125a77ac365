"""Which tree is scanned when: one that is large, or broken, slows itself alone."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from appagent.report.status import slow_data
from appagent.share.watchlist import AppSpec
from tests.share_disk import Fault, Faults, mounted
from tests.share_watcher import Driven, put, root_of, watcher_on

SETTLE = 0.1
TENTH = 0.1  # of the time, as in the watcher itself


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    put(path / "small" / "Makefile")
    put(path / "large" / "Makefile")
    for number in range(30):
        put(path / "large" / f"dir{number:02}" / "file")
    return path


def on_share(root: Path, share: float) -> Driven:
    """Both trees on a share that takes its time, each scanned for the first time."""
    seen = Driven(root, share, defaults=AppSpec(settle=SETTLE))
    seen.faults.mountinfo = mounted(str(root)[1:])
    seen.faults.faults = [Fault("open_dir", slow=0.01)]
    seen.watch()
    seen.until(lambda: seen.apps.keys() == {"small", "large"})
    return seen


def scans(seen: Driven, name: str) -> int:
    return seen.faults.opened.count(f"{seen.root}/{name}")


def while_small_is_scanned(seen: Driven, times: int = 20) -> int:
    """How often the large one is scanned while the small one is scanned some times."""
    seen.faults.opened.clear()
    seen.until(lambda: scans(seen, "small") >= times)
    return scans(seen, "large")


def test_a_large_tree_is_scanned_more_seldom_and_a_small_one_is_not(root: Path) -> None:
    seen = on_share(root, TENTH)
    seen.until(lambda: seen.settled("small") and seen.settled("large"))
    assert while_small_is_scanned(seen) <= 4


def test_a_tree_whose_scan_always_fails_pays_for_that_and_others_do_not(root: Path) -> None:
    broken = Faults.at(("entries",), f"{root}/large/dir29", errno.EIO)
    broken.mountinfo = mounted(str(root)[1:])
    broken.faults.append(Fault("open_dir", slow=0.01))
    seen = Driven(root, TENTH, defaults=AppSpec(settle=SETTLE), known=("large",))
    seen.faults = broken
    seen.watch()
    seen.until(lambda: "large" in seen.apps and seen.settled("small"))
    assert not seen.apps["large"].known
    assert while_small_is_scanned(seen) <= 4


def test_a_tree_that_is_scanned_more_seldom_is_told_with_what_its_scans_take(
    root: Path, tmp_path: Path
) -> None:
    async def play() -> None:
        faults = Faults([Fault("open_dir", slow=0.02)], mounted(str(root)[1:]))
        faults.save(tmp_path / "faults.json")
        async with watcher_on(root_of(root, "poll"), faults_in=tmp_path) as seen:
            await seen.until(lambda: seen.watcher.beat and seen.watcher.beat.slow)
            assert seen.watcher.beat is not None
            (slow,) = seen.watcher.beat.slow
            assert (slow.root, slow.app) == (str(root), "large")
            assert slow.every > slow.takes > 30 * 0.02
            text = slow_data(slow)
            assert text is not None
            assert "and all scans together get only a part of the time" in text["why"]

    asyncio.run(play())


def test_a_long_scan_lets_short_ones_in_between(root: Path) -> None:
    seen = on_share(root, 10.0)
    seen.faults.faults = [Fault("open_dir", slow=0.05)]
    put(root / "large" / "new")
    before = seen.release("large")
    seen.faults.opened.clear()
    seen.until(lambda: seen.release("large") != before)
    opened = seen.faults.opened
    first, last = opened.index(f"{root}/large"), opened.index(f"{root}/large/dir29")
    assert f"{root}/small" in opened[first:last]


def test_a_change_that_was_seen_is_confirmed_though_its_tree_is_in_debt(root: Path) -> None:
    seen = on_share(root, 1e-6)  # in debt for longer than any test
    seen.until(lambda: seen.settled("large"))
    before = seen.release("large")
    put(root / "large" / "new")
    seen.poll_now("large")  # somebody triggers it
    seen.until(lambda: seen.release("large") != before)
    seen.until(lambda: seen.settled("large"))
    seen.faults.opened.clear()
    seen.until_looked_again()
    assert scans(seen, "large") == 0


def test_what_changes_all_the_time_is_not_confirmed_all_the_time(root: Path) -> None:
    seen = on_share(root, 1e-6)
    changes = 0
    seen.faults.opened.clear()

    def changed_until_it_is_slow() -> bool:
        nonlocal changes
        changes += 1
        put(root / "large" / "busy", str(changes))
        return "large" in [app.name for app in seen.scanner.slow]

    seen.until(changed_until_it_is_slow)
    assert 1 < scans(seen, "large") < 12
