"""Each way in which teams deploy reaches every node once: the right release, and all of it.

A team works on a file server. The nodes see only what the share shows them, and none may deploy
twice, or what is half there.
"""

from .developer import app_files, noted
from .fleet import Fleet
from .host import Host
from .steps import AGAIN, FIRST, PATIENCE, marker, ran, wait_at
from .wait import wait_until

INFO = "6"  # PRIORITY
SOME = 100  # files of a release: enough to be seen half-written
MANY = 500
RESTARTED = [
    "deploy.seen",
    "deploy.settled",
    "deploy.began",
    "run.began install",  # the Makefile has no build
    "run.ended install",
    "run.began restart",
    "run.ended restart",
    "run.began check",
    "run.ended check",
    "deploy.done",
]
STARTED = [word.replace("restart", "start") for word in RESTARTED]


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
    first = developer.push("by-push", app_files("one", SOME))
    assert deployed_once(fleet, "by-push", "one", FIRST) == {first}
    second = developer.push("by-push", app_files("two", SOME))
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
    developer.swap("by-swap", "r1", app_files("one", SOME))
    assert deployed_once(fleet, "by-swap", "one", FIRST) == {"r1"}
    developer.swap("by-swap", "r2", app_files("two", SOME))
    assert deployed_once(fleet, "by-swap", "two", AGAIN) == {"r2"}
    developer.point("by-swap", "r1")
    wait_at(fleet.apps, "by-swap", "one")
    assert deployed_once(fleet, "by-swap", "one", FIRST + AGAIN) == {"r1"}
    developer.remove("by-swap")


def test_an_rsync_of_500_files_is_deployed_once_by_every_node(fleet: Fleet) -> None:
    """File by file, in place, over those that are there."""
    developer = fleet.developer
    own = {
        "appagent.yaml": "settle: 5s\n"
    }  # the machine may let rsync stand still for longer than 2 s
    developer.rsync("by-rsync", app_files("one", MANY) | own)
    first = deployed_once(fleet, "by-rsync", "one", FIRST)
    developer.rsync("by-rsync", app_files("two", MANY) | own)
    second = deployed_once(fleet, "by-rsync", "two", AGAIN)
    assert len(first) == len(second) == 1  # all nodes tell the same files by the same name
    assert first != second
    developer.remove("by-rsync")


def test_the_journal_tells_a_deploy_from_seen_to_done_in_order(fleet: Fleet) -> None:
    """`journalctl APP=…`: one deploy after the other, each told by one name, each run by its own.

    A git work tree has its new HEAD before it is settled, so each word has its own moment.
    """
    fleet.developer.new_git("by-story")
    first = fleet.developer.push("by-story", app_files("one"))
    wait_at(fleet.apps, "by-story", "one")
    second = fleet.developer.push("by-story", app_files("two"))
    wait_at(fleet.apps, "by-story", "two")
    for host in fleet.apps:
        wait_until(lambda host=host: done(host, second), PATIENCE, f"the end on {host.name}")  # type: ignore[misc]
        lines = host.journal("APP=by-story")
        assert [words(line) for line in lines] == STARTED + RESTARTED
        for release, story in ((first, lines[:10]), (second, lines[10:])):
            assert len({line["DEPLOY_ID"] for line in story}) == 1
            assert all(release in line["RELEASE"] for line in story), (release, story)
            assert sum(line["PRIORITY"] == INFO for line in story) == 5
            runs = [line["RUN_ID"] for line in story if "TARGET" in line]
            assert runs[::2] == runs[1::2]
            assert len(set(runs)) == 3
            times = [int(line["__REALTIME_TIMESTAMP"]) for line in story]
            assert times == sorted(times)
        ends = [line["OUTCOME"] for line in lines if line["KIND"] == "run.ended"]
        assert ends == ["ok"] * 6
        printed = host.out("journalctl APP=by-story -o cat").splitlines()
        assert printed == [line["MESSAGE"] for line in lines]
    fleet.developer.remove("by-story")


def done(host: Host, release: str) -> bool:
    """Whether a release is deployed, by the journal of a node."""
    found = host.journal("APP=by-story", "KIND=deploy.done")
    return any(release in line["RELEASE"] for line in found)


def words(line: dict[str, str]) -> str:
    """Return what happened by a line of the journal, and to which target."""
    return f"{line['KIND']} {line.get('TARGET', '')}".strip()
