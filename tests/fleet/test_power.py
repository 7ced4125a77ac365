"""Nodes come and go: one that is new, one that lost its power, one made from another's image.

What a node has to do after that it finds by comparing what it has with what the share has; nobody
tells it.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from .asking import LATER, history, outcomes, status, wait_settled
from .developer import MAKEFILE, app_files, noted
from .fleet import Fleet
from .host import NOTES, Host
from .steps import AGAIN, FIRST, PATIENCE, at, held, wait_at, wait_begun
from .wait import wait_until


def deploy_all(fleet: Fleet, kind: str) -> list[str]:
    """Put an app of each layout on the share, and return their names."""
    linked, pushed, synced = apps = [f"{kind}-{name}" for name in ("linked", "pushed", "synced")]
    fleet.developer.swap(linked, "1", app_files("1"))
    fleet.developer.new_git(pushed)
    fleet.developer.push(pushed, app_files("1"))
    fleet.developer.rsync(synced, app_files("1"))
    for app in apps:
        wait_at(fleet.apps, app, "1")
    return apps


def test_a_new_node_runs_all_apps_and_wait_says_when(fleet: Fleet) -> None:
    """It boots into a fleet that runs; `appagent wait` ends with 0 after all is up, not before."""
    apps = deploy_all(fleet, "new")
    before = {host.name: [noted(host, app) for app in apps] for host in fleet.apps}
    new = fleet.add(fleet.next_name(), "app", fleet.apps[0].layers)
    fleet.raise_host(new)
    try:
        with ThreadPoolExecutor(1) as pool:
            with held(new, "new-synced", "check"):
                fleet.join(new)
                waiting = pool.submit(wait_settled, new)
                wait_begun(new, "new-synced", "1", "check")
                for app in apps:
                    wait_at([new], app, "1")
                done = new.run(["appagent", "wait", "--timeout", "2s"], check=False)
                assert done.status == LATER, done
                assert "new-synced" in done.err
                assert not waiting.done()
            waiting.result()
        for app in apps:
            assert tuple(run.target for run in noted(new, app)) == FIRST
            assert {(run.version, run.foreign) for run in noted(new, app)} == {("1", 0)}
            assert outcomes(new, app) == ["done"]
        for host in fleet.apps[:3]:  # for the others nothing has changed
            assert [noted(host, app) for app in apps] == before[host.name]
    finally:
        fleet.remove(new)
    for app in apps:
        fleet.developer.remove(app)


def test_a_node_that_lost_its_power_during_deploys_ends_at_the_current_releases(
    fleet: Fleet,
) -> None:
    """Off during an install and during a restart; one gets a newer release while it is off."""
    host, *others = fleet.apps
    developer = fleet.developer
    for app in ("off-newer", "off-same", "off-quiet"):
        developer.new_git(app)
        developer.push(app, app_files("1"))
    for app in ("off-newer", "off-same", "off-quiet"):
        wait_at(fleet.apps, app, "1")
    with ExitStack() as under_way:
        under_way.enter_context(held(host, "off-newer", "install"))
        under_way.enter_context(held(host, "off-same", "restart"))
        developer.push("off-newer", app_files("2"))
        developer.push("off-same", app_files("2"))
        wait_begun(host, "off-newer", "2", "install")
        wait_begun(host, "off-same", "2", "restart")
        host.power_off()
    developer.push("off-newer", app_files("3"))
    wait_at(others, "off-newer", "3")
    host.power_on()
    wait_at([host], "off-newer", "3")
    for app, version in (("off-same", "2"), ("off-quiet", "1")):
        wait_until(lambda app=app: new_start(host, app), PATIENCE, f"{app} starts")  # type: ignore[misc]
        wait_at([host], app, version)
    wait_settled(host, "off-newer", "off-same", "off-quiet")

    targets = {
        app: [(run.target, run.version) for run in noted(host, app)]
        for app in ("off-newer", "off-same", "off-quiet")
    }
    first = [(target, "1") for target in FIRST]
    again = [("install", "3"), ("start", "3"), ("check", "3")]
    assert targets["off-newer"] == [*first, ("install", "2"), *again]
    cut = [("install", "2"), ("restart", "2"), ("start", "2"), ("check", "2")]
    assert targets["off-same"] == [*first, *cut]
    assert targets["off-quiet"] == [*first, ("start", "1"), ("check", "1")]
    for app in ("off-newer", "off-same"):
        newest, interrupted, oldest = history(host, app)
        assert (newest["outcome"], oldest["outcome"]) == ("done", "done")
        assert interrupted["outcome"] == "interrupted"
        assert interrupted["runs"][-1]["outcome"] in ("lost", "interrupted")
        assert "interrupted" in host.out(["appagent", "history", app])
        developer.remove(app)
    developer.remove("off-quiet")


def new_start(host: Host, app: str) -> bool:
    """Whether an app was started once more after its first start."""
    return [run.target for run in noted(host, app)].count("start") > 1


def test_a_node_from_the_image_of_a_running_one_comes_up_right(fleet: Fleet) -> None:
    """State included, taken while it deploys: the copy starts what is there and goes on with it."""
    source = fleet.apps[0]
    developer = fleet.developer
    apps = deploy_all(fleet, "copied")
    own = {"Makefile": MAKEFILE.replace("install:", "install: # as it was before")}
    with held(source, "copied-pushed", "install"):
        developer.push("copied-pushed", app_files("2") | own)
        wait_begun(source, "copied-pushed", "2", "install")
        clone = fleet.clone(source)
        (clone.root / NOTES / "copied-pushed.hold-install").unlink()
    try:
        count = {app: len(noted(source, app)) for app in ("copied-linked", "copied-synced")}
        for app, version in (
            ("copied-linked", "1"),
            ("copied-pushed", "2"),
            ("copied-synced", "1"),
        ):
            wait_until(lambda app=app: new_start(clone, app), PATIENCE, f"{app} starts")  # type: ignore[misc]
            wait_at([*fleet.apps, clone], app, version)
        wait_settled(clone, *apps)
        for app, before in count.items():
            runs = [run.target for run in noted(clone, app)]
            assert runs == [*FIRST, "start", "check"]
            assert len(noted(source, app)) == before == len(FIRST)
        runs = [run.target for run in noted(clone, "copied-pushed")]
        assert runs == [*FIRST, "install", "install", "start", "check"]
        assert [run.target for run in noted(source, "copied-pushed")] == [*FIRST, *AGAIN]
        assert status(clone)["node"] == clone.name
        assert all(at(host, "copied-pushed", "2") for host in fleet.apps)
    finally:
        fleet.remove(clone)
    for app in apps:
        developer.remove(app)
