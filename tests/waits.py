"""Whether `wait` tells the truth: many deploys of one app, and `wait` right after each.

It serves a node of this machine and a fleet alike: who uses it says how a release gets there, how
to wait, and how to read what really runs.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

THERE, CANNOT = 0, 1  # what `wait` answers
MENDED, ENVIRONMENT, RELEASE = "mended", "environment", "release"


def rounds(default: int = 6) -> int:
    """How many changes of each app; WAIT_DEPLOYS says another number."""
    return int(os.environ.get("WAIT_DEPLOYS", default))


@dataclass(frozen=True)
class Waited:
    """One app. Its `runs` tells "VERSION GREETING" of what was started last and serves now."""

    name: str
    deploy: Callable[[str, bool], None]  # a version; whether its restart fails
    greet: Callable[[str], None]  # change its environment
    wait: Callable[[], int]  # the exit code
    runs: Callable[[], str]
    # Before each change: a tree that deploys again and again is slowed down but for a trigger.
    calm: Callable[[], object] = lambda: None
    pause: float = 1.0  # s: the longest between two changes, so that looks are met in any phase


def keep_waiting(app: Waited, count: int, seed: int = 1) -> int:
    """Change it `count` times; each time `wait` answers 0, and then just that change runs.

    Every fourth release comes after one that fails: what mends it never yields 1. Returns how many
    changes there were.
    """
    dice = random.Random(f"{seed} {app.name}")  # noqa: S311 - no secret
    version, greeting = "0", "hello"
    app.greet(greeting)
    app.deploy(version, False)
    expect(app, version, greeting, "first")
    for number in range(1, count + 1):
        app.calm()
        time.sleep(dice.uniform(0.0, app.pause))
        what = (RELEASE, ENVIRONMENT, RELEASE, MENDED)[number % 4]
        if what == ENVIRONMENT:
            greeting = f"hello-{number}"
            app.greet(greeting)
        else:
            if what == MENDED:
                app.deploy(f"{number}-bad", True)
                code = app.wait()
                assert code == CANNOT, f"{app.name} {number}: {code} for one that fails"
            version = str(number)
            app.deploy(version, False)
        expect(app, version, greeting, f"{number} ({what})")
    return count


def expect(app: Waited, version: str, greeting: str, change: str) -> None:
    """Wait, and then just this runs."""
    code = app.wait()
    runs = app.runs()
    assert code == THERE, f"{app.name}: change {change}: wait answered {code}; {runs!r} runs"
    assert runs == f"{version} {greeting}", f"{app.name}: change {change}: {runs!r} runs at 0"
