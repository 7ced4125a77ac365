"""Each way in which teams deploy reaches every node once: the right release, and all of it.

A team works on a file server. The nodes see only what the share shows them, and none may deploy
twice, or what is half there.
"""

from .developer import app_files, noted
from .fleet import Fleet
from .steps import AGAIN, FIRST, marker, ran, wait_at

MANY = 500  # files of a release


def deployed_once(fleet: Fleet, app: str, version: str, targets: tuple[str, ...]) -> set[str]:
    """Show that every node ran just these targets of a version, and saw nothing half-written.

    Returns the releases that the nodes say it was: one, unless something is wrong.
    """
    wait_at(fleet.apps, app, version)
    marker(fleet)
    for host in fleet.apps:
        runs = ran(host, app, version)
        assert tuple(run.target for run in runs) == targets, (host.name, noted(host, app))
        assert [run.foreign for run in runs] == [0] * len(targets), (host.name, runs)
    return {run.release for host in fleet.apps for run in ran(host, app, version)}


def test_a_push_and_a_push_of_its_revert_are_deployed_once_by_every_node(fleet: Fleet) -> None:
    """Git over ssh to a work tree on the share, with receive.denyCurrentBranch updateInstead."""
    developer = fleet.developer
    developer.new_git("by-push")
    first = developer.push("by-push", app_files("one", MANY))
    assert deployed_once(fleet, "by-push", "one", FIRST) == {first}
    second = developer.push("by-push", app_files("two", MANY))
    assert deployed_once(fleet, "by-push", "two", AGAIN) == {second}

    reverted = developer.push_revert("by-push")  # the files are those of one; the commit is new
    wait_at(fleet.apps, "by-push", "one")
    assert deployed_once(fleet, "by-push", "one", FIRST + AGAIN) == {first, reverted}
    back = developer.push_back("by-push", second)  # HEAD is what it was before
    assert back == second
    assert deployed_once(fleet, "by-push", "two", AGAIN + AGAIN) == {second}
    for host in fleet.apps:
        assert [run.release for run in noted(host, "by-push")][::3] == [
            first,
            second,
            reverted,
            second,
        ]
    developer.remove("by-push")


def test_a_swap_of_a_symlink_and_the_swap_back_are_deployed_once_by_every_node(
    fleet: Fleet,
) -> None:
    """Releases beside each other, and `current` that leads to one."""
    developer = fleet.developer
    developer.swap("by-swap", "r1", app_files("one", MANY))
    assert deployed_once(fleet, "by-swap", "one", FIRST) == {"r1"}
    developer.swap("by-swap", "r2", app_files("two", MANY))
    assert deployed_once(fleet, "by-swap", "two", AGAIN) == {"r2"}
    developer.point("by-swap", "r1")
    wait_at(fleet.apps, "by-swap", "one")
    assert deployed_once(fleet, "by-swap", "one", FIRST + AGAIN) == {"r1"}
    developer.remove("by-swap")


def test_an_rsync_of_500_files_is_deployed_once_by_every_node(fleet: Fleet) -> None:
    """File by file, in place, over those that are there."""
    developer = fleet.developer
    developer.rsync("by-rsync", app_files("one", MANY))
    first = deployed_once(fleet, "by-rsync", "one", FIRST)
    developer.rsync("by-rsync", app_files("two", MANY))
    second = deployed_once(fleet, "by-rsync", "two", AGAIN)
    assert len(first) == len(second) == 1  # all nodes tell the same files by the same name
    assert first != second
    developer.remove("by-rsync")
