"""Random changes and random faults for a while; then every node's history must make sense.

CHURN_SECONDS says how long (60; a long one: 1800), CHURN_SEED which changes and faults. What was
done lies in .fleet/logs/churn-SEED.log.

What makes sense: the releases that an app ran on a node, in order, are a subsequence of those that
the share showed; none was installed or started again without a cause; the last one is the same on
every node, and the one on the share.
"""

import os
import time
from collections.abc import Sequence
from itertools import groupby, pairwise

from . import machine
from .asking import wait_known, wait_settled
from .churn import CONFIG, Live, Shown, Team
from .conftest import RaiseFleet
from .developer import Noted, noted
from .faults import Fault, Faults
from .fleet import Fleet, Shape
from .host import Host
from .steps import process
from .wait import wait_until

SECONDS = float(os.environ.get("CHURN_SECONDS", "60"))
SEED = int(os.environ.get("CHURN_SEED", "1"))
PATIENCE = 240.0  # s after the healing: a run may have to reach its time limit first
SEEN = (
    4.0  # s after a change until every node has seen it: an env file counts when it is read twice
)
ON_ITS_WAY = 1.5  # s before and after a change in which a run may read files of either release


def test_every_history_makes_sense_after_random_changes_and_faults(raise_fleet: RaiseFleet) -> None:
    """A team works, things break and are healed; then all nodes are where the share is."""
    fleet = raise_fleet(Shape(config=CONFIG))
    team = Team(fleet, SEED)
    faults = Faults(fleet, SEED, team.story)
    try:
        with faults.made_meanwhile():
            end = time.monotonic() + SECONDS
            while time.monotonic() < end and not faults.error:
                time.sleep(team.pause())
                team.change()
        team.story.append(f"{time.time():.3f} all is healed")
        fleet.set_right()
        show_all_are_there(fleet, team)
    finally:
        path = machine.LOGS / f"churn-{SEED}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(team.story) + "\n")
    for app in team.apps + team.went:
        for host in fleet.apps:
            mine = [fault for fault in faults.made if fault.host == host.name and fault.cause]
            show_sense(
                app, noted(host, app.name), mine, f"CHURN_SEED={SEED} {app.name} {host.name}"
            )


def show_all_are_there(fleet: Fleet, team: Team) -> None:
    """Show that every node comes to run just what the share shows."""
    living = [app for app in team.apps if app.release]
    gone = [app.name for app in team.apps + team.went if not app.release]
    for host in fleet.apps:
        wait_known(host)
        for app in living:
            what = f"CHURN_SEED={SEED}: {app.name} of {host.name} comes to {app.release}"
            wait_until(lambda host=host, app=app: is_there(host, app), PATIENCE, what)  # type: ignore[misc]
        wait_settled(host, *(app.name for app in living))
        for name in gone:
            what = f"CHURN_SEED={SEED}: {name} of {host.name} is stopped"
            wait_until(lambda host=host, name=name: not process(host, name), PATIENCE, what)  # type: ignore[misc]


def is_there(host: Host, app: Live) -> bool:
    """Whether an app runs the last release in the last environment on a node."""
    runs = noted(host, app.name)
    if not runs or runs[-1].target != "check" or key(app, runs[-1]) != app.release:
        return False
    starts = [run.time for run in runs if run.target in ("start", "restart")]
    return bool(starts) and starts[-1] > changed_env(app.shown) and bool(process(host, app.name))


def changed_env(shown: Sequence[Shown]) -> float:
    """Return when the environment of an app was last changed."""
    changes = [new.since for old, new in pairwise(shown) if old.env != new.env]
    return max(changes, default=0.0)


def key(app: Live, run: Noted) -> str:
    """Return what release a run was of, by the same name as the share's; "" if it cannot be known.

    A tree is known by its files alone. A run that could not read the share has none.
    """
    return run.version if app.layout == "tree" else run.release


def show_sense(app: Live, noted_runs: list[Noted], causes: list[Fault], what: str) -> None:
    """Show that what an app ran on a node makes sense."""
    runs = [run for run in noted_runs if run.target != "stop" and key(app, run)]
    was = [name for name, _ in groupby(shown.release for shown in app.shown) if name]
    ran = [name for name, _ in groupby(key(app, run) for run in runs)]
    rest = iter(was)
    assert all(name in rest for name in ran), (what, ran, was)
    for _, group in groupby(runs, key=lambda run: run.release):
        show_no_needless_run(app, list(group), causes, what)
    for run in runs:
        changing = any(
            shown.since - ON_ITS_WAY < run.time < shown.until + ON_ITS_WAY for shown in app.shown
        )
        cut = any(fault.began <= run.time <= fault.ended for fault in causes)
        assert run.foreign == 0 or changing or cut, (what, run)


def show_no_needless_run(app: Live, runs: list[Noted], causes: list[Fault], what: str) -> None:
    """Show that of one release nothing was repeated without a cause.

    A cause is a fault of that node, or a change on the share: the way to another release and back
    may have begun and left nothing but a cancelled run. One that was made just before may be seen
    only after the first run has begun: the environment of a release that has just settled, say.
    """
    first, last = runs[0].time, runs[-1].time
    faults = [fault for fault in causes if fault.began < last and fault.ended > first - 5]
    changes = [
        shown for shown in app.shown[1:] if first < shown.until + SEEN and shown.since < last
    ]
    installs = [run for run in runs if run.target == "install"]
    starts = [run for run in runs if run.target in ("start", "restart")]
    most = 1 + len(faults) + len(changes)
    assert len(installs) <= most, (what, runs, faults, changes)
    assert len(starts) <= most, (what, runs, faults, changes)
