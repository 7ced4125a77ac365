"""The end of a random life: everything heals, and then the node must be as the share is."""

from __future__ import annotations

from appagent.core.release import short
from appagent.model.applied import Record
from appagent.model.words import Target
from tests.unit.core_play import HOUR, Play

ENV = "/files/config/common.env"
AT_REST = {"ok", "failed", "rolled-back", "held", "stopped", "cancelled"}
LEFT = {"unknown", "held", "unmanaged"}  # what is not on the share any more and still known


def everything_heals(play: Play) -> None:
    """Nothing is broken any more, and time passes."""
    play.crash_in = float("inf")
    if not play.alive:
        play.start_agent()
    play.permits = True
    play.makefile(*(target for target in Target if target is not Target.BUILD))
    play.shims.next.clear()
    play.shims.usual.clear()
    play.shims.slow = 0.01
    play.watcher.hangs = False
    play.watcher.empty = False
    for root in play.watcher.roots:
        play.watcher.roots[root] = ""
    for files in play.share.files.values():
        files.why = files.incomplete = ""
    for path in play.share.envs:
        play.share.envs[path] = ("present", "a=1") if path == ENV else ("missing", "")
    play.watcher.come_back()
    play.permit_all()
    play.rest(24 * HOUR)


def all_is_well(play: Play, *, lacked: bool) -> None:
    """What is on the share is what runs, or the reason why not is reported."""
    for (root, name), files in play.share.files.items():
        managed = next(r for r in play.settings.roots if r.path == root)
        if name in managed.exclude:
            continue
        app = play.node.apps[name]
        if app.record.root != root:
            held = play.word(name) == "held" or app.record.mass_removal
            assert held or f"{root}/{name}" in play.node.refused
            continue
        word = play.word(name)
        assert word in AT_REST, f"{name}: {word}: {play.view(name).why}"
        applied = app.record.applied
        if word == "ok":
            seen = play.watcher.ids(files)[0]
            assert applied.healthy == applied.running
            assert applied.running is not None
            assert applied.running.release == applied.installed == seen
            assert applied.up == play.node.boot
            starts = {Target.START, Target.RESTART} & play.shims.targets_of(seen)
            if starts and not lacked:
                # Ids of one release may be of two kinds.
                assert short(play.shims.running[name]) == short(seen)
        if word in ("failed", "rolled-back"):
            assert app.record.failures
        if word == "held":
            assert app.record.hold or play.node.hold
        if word == "stopped":
            assert app.record.stopped
            assert name not in play.shims.running, f"{name}: runs, though it was stopped"
    for name in play.node.apps:
        if not any(app == name for _, app in play.share.files):
            stopped = play.word(name) == "stopped" and play.node.apps[name].record.mass_removal
            assert stopped or play.word(name) in LEFT, play.view(name)
    for name in play.shims.running.keys() - play.node.apps.keys():
        assert "app.forgotten" in play.notices(app=name), f"{name}: runs, and nobody knows of it"


def a_new_agent_runs_nothing(play: Play) -> None:
    """Where nothing changed, a new agent has nothing to do."""
    here = {name for (_, name) in play.share.files}
    play.ran()
    play.restart()
    assert [run for run in play.rest(24 * HOUR) if run.split()[1] in here] == []


def a_boot_starts_what_ran(play: Play) -> None:
    """After a boot, what ran is started and nothing is installed."""
    was = {name: play.word(name) for name in play.node.apps}
    has = {name: starts(play, app.record) for name, app in play.node.apps.items()}
    play.ran()
    play.reboot()
    ran = play.rest(24 * HOUR)
    for name, word in was.items():
        mine = [run.split()[0] for run in ran if run.split()[1] == name]
        if word in ("ok", "rolled-back"):
            assert mine == has[name], f"{name}: {mine}"
        if word == "stopped":
            assert mine == []


def starts(play: Play, record: Record) -> list[str]:
    """What a start of an app runs, by the Makefile of what is installed."""
    has = play.shims.targets_of(record.applied.installed)
    start = Target.START if Target.START in has else Target.RESTART
    return [target.value for target in (start, Target.CHECK) if target in has]
