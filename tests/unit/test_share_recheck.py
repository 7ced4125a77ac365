"""A look that somebody waits for: it is taken at once, and told whatever it shows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.share_watcher import EVERY, LAYOUTS, Driven, driven, names, put, releases, world

RARELY: dict[str, Any] = {
    "interval": 1000.0,
    "scan_interval": 1000.0,
}  # s: only who asks hears of anything


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


def requested(seen: Driven, *apps: str) -> float:
    """Somebody asks for looks at the root and these apps; when."""
    now = time.monotonic()
    places = [[seen.root, app] for app in apps]
    seen.poller.post(lambda: seen.poller.recheck([seen.root], places, list(seen.envs)))
    return now


def answered(seen: Driven, since: float) -> bool:
    """Whether looks at everything that is known began since then."""
    looks = [look.at for look in seen.apps.values()]
    looks += [look.at for look in seen.roots.values()]
    return all(looked >= since for looked in looks)


def test_what_is_as_it_was_is_told_to_who_asks(root: Path) -> None:
    seen = world(root)
    before = releases(seen)
    since = requested(seen, *EVERY)
    seen.until(lambda: answered(seen, since))
    assert releases(seen) == before


@pytest.mark.parametrize("layout", EVERY)
def test_a_change_is_seen_by_the_look_that_is_asked_for_after_it(layout: str, root: Path) -> None:
    app = LAYOUTS[layout](root / layout)
    app.deploy("one")
    seen = driven(root, **RARELY)
    seen.until(lambda: seen.settled(layout))
    before = seen.release(layout)
    app.deploy("two")
    since = requested(seen, layout)
    seen.until(lambda: answered(seen, since))
    assert seen.release(layout) != before


def test_a_directory_that_has_become_an_app_is_named_to_who_asks(root: Path) -> None:
    (root / "web").mkdir()
    seen = driven(root, **RARELY)
    seen.until(lambda: bool(seen.roots))
    assert names(seen) == ()
    put(root / "web" / "Makefile")
    since = requested(seen)
    seen.until(lambda: answered(seen, since))
    assert names(seen) == ("web",)
