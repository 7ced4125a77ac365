"""How soon a change of one of ten trees is known to be complete, on a clock that is played.

Each tree has 1,000 files in 20 directories on a share; what a scan of it takes is handed in. Only
the directories are real: on a share each of them costs its servers 5 to 7 operations.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from appagent.model.seen import AppSeen
from appagent.share.protocol import Message
from appagent.share.scanner import Scanner
from appagent.share.state import SCANNER, AppState, RootState, Work
from appagent.share.watches import Watches
from appagent.share.watchlist import AppSpec, RootSpec
from tests.share_disk import Faults, FaultyDisk, mounted
from tests.share_watcher import put

APPS = [f"tree{number}" for number in range(10)]
DIRECTORIES = 21  # of each, with its own
SETTLE = 2.0
SOON = 2.5  # s that a change may take beside that, in the middle of many
STEP = 0.01  # s of the clock
DIRECTORIES_PER_SECOND = 50.0
ROUND = len(APPS) * DIRECTORIES / DIRECTORIES_PER_SECOND  # s between two scans of a tree


class Played:
    """The scanning thread on ten trees, and a clock that scans and waiting move on."""

    def __init__(self, root: Path, takes: float, settle: float = SETTLE) -> None:
        self.now = 1000.0
        self.takes = takes
        self.settle = settle
        self.faults = Faults(mountinfo=mounted(str(root)[1:]))
        self.settled: dict[str, str] = {}
        self.scans: list[tuple[str, float]] = []
        self.work = Work(self.clock)
        self.scanner = Scanner(_Disk(self), self.work, Watches(self.work), clock=self.clock)
        self.root = RootState(RootSpec(str(root), watch="poll", defaults=AppSpec(settle=settle)))
        self.root.known = self.root.on_share = True
        self.apps = {name: AppState(self.root, name, self.root.spec.defaults) for name in APPS}
        for app in self.apps.values():
            app.owner = SCANNER
            self.work.app(app)
        self.until(lambda: self.settled.keys() == set(APPS))

    def clock(self) -> float:
        return self.now

    def emit(self, look: Message) -> None:
        assert isinstance(look, AppSeen)
        if look.at - look.since >= self.settle:
            self.settled[look.app] = look.release
        else:
            self.settled.pop(look.app, None)

    def turn(self) -> None:
        before = self.now
        self.scanner.turn(0.0, self.emit)
        if self.now == before:
            self.now += STEP

    def until(self, so: Callable[[], bool]) -> None:
        while not so():
            self.turn()

    def rest(self, seconds: float) -> None:
        end = self.now + seconds
        self.until(lambda: self.now >= end)

    def until_scanned(self, name: str) -> None:
        """Until a scan of this tree ends."""
        count = len(self.scans)
        self.until(lambda: name in [app for app, _ in self.scans[count:]])

    def change(self, *names: str) -> list[float]:
        """Change some trees; how long each takes until it is known to be complete, in s."""
        began, before = self.now, dict(self.settled)
        for name in names:
            with Path(self.root.path, name, "version").open("a") as file:
                file.write("one more\n")
        took: dict[str, float] = {}

        def all_of_them() -> bool:
            for name in names:
                if self.settled.get(name, before[name]) != before[name]:
                    took.setdefault(name, self.now - began)
            return len(took) == len(names)

        self.until(all_of_them)
        return list(took.values())


class _Disk(FaultyDisk):
    """Its directories take their part of what a scan takes."""

    def __init__(self, played: Played) -> None:
        super().__init__(lambda: played.faults)
        self._played = played

    def open_dir(self, path: str, name: str = "", at: int | None = None) -> int:
        played = self._played
        if Path(path).name in APPS:
            played.scans.append((Path(path).name, played.now))
        played.now += played.takes / DIRECTORIES
        return super().open_dir(path, name, at)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in APPS:
        put(tmp_path / "root" / name / "Makefile")
        for number in range(DIRECTORIES - 1):
            (tmp_path / "root" / name / f"dir{number}").mkdir()
    return tmp_path / "root"


@pytest.mark.parametrize("takes", [0.03, 0.06])
def test_a_change_of_one_of_ten_trees_is_soon_known_to_be_complete(
    root: Path, takes: float
) -> None:
    played = Played(root, takes)
    played.rest(60.0)  # what was saved up for a quick start is spent
    began, scans = played.now, len(played.scans)
    took: list[float] = []
    for number in range(50):
        name = APPS[number % len(APPS)]
        played.until_scanned(name)
        played.rest(number * 0.618 % 1 * ROUND)  # at every moment of a round alike
        took += played.change(name)
    assert statistics.median(took) <= SETTLE + SOON
    assert max(took) <= SETTLE + ROUND + len(APPS) * takes
    read = (len(played.scans) - scans) * DIRECTORIES / (played.now - began)
    assert read <= DIRECTORIES_PER_SECOND * 1.02


@pytest.mark.parametrize("takes", [0.03, 0.06, 0.1])
def test_a_change_of_all_ten_trees_at_once_waits_for_no_more_than_a_round(
    root: Path, takes: float
) -> None:
    played = Played(root, takes)
    for _ in range(6):
        played.rest(30.0)
        assert max(played.change(*APPS)) <= SETTLE + ROUND + len(APPS) * takes


@pytest.mark.parametrize("settle", [1.0, 1.9, 2.0, 5.0])
def test_a_change_is_confirmed_by_one_scan_as_soon_as_it_has_settled(
    root: Path, settle: float
) -> None:
    played = Played(root, 0.1, settle)
    for number in range(8):
        played.rest(5.0)
        name = APPS[number % len(APPS)]
        played.scans.clear()
        (took,) = played.change(name)
        ended = played.now
        confirmed = max(at for app, at in played.scans if app == name)
        seen = max(at for app, at in played.scans if app == name and at <= confirmed - settle)
        assert confirmed == pytest.approx(seen + settle, abs=3 * 0.1)
        assert took >= settle
        too_soon = [at for app, at in played.scans if app == name and seen < at < confirmed]
        assert len(too_soon) <= settle / played.root.spec.scan_interval
        assert ended <= confirmed + 3 * 0.1
