"""The rules that every command of the core is judged by, whatever the story is.

They are checked against the machine itself (shims, processes, disk, share), not against the core's
own idea of it, so a core that fools itself is found out.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from appagent.core import reduce as core
from appagent.core.names import managed
from appagent.core.plan import plan
from appagent.core.release import short
from appagent.core.state import App, Node
from appagent.core.want import Kind, Want, env_paths, hold_of
from appagent.model.applied import Record, Run
from appagent.model.commands import Begin, Command, Drop, End, Proceed, Report
from appagent.model.events import PermitGranted
from appagent.model.notices import Notice
from appagent.model.words import Event, Layout, Now, Target
from tests.unit.core_world import SOON

if TYPE_CHECKING:
    from tests.unit.core_machine import Machine

STAGES = ("deploy.seen", "deploy.settled", "deploy.began", "deploy.done")
MOST_A_SECOND = 12  # runs of one app: more is a loop without a pause


class Rules:
    """What must hold for each command."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.begins: Counter[tuple[str, int, int]] = Counter()
        self.stages: dict[str, int] = {}
        # By a person, of what may run already, until it is done; what was forgotten while it ran is
        # new when it comes back.
        self.start_asked: set[str] = set()
        self.forgotten: set[str] = set()  # by a person, until it is started or stopped
        self.away: set[str] = set()  # could not be seen since its last run
        self.steps = 0

    def stepped(self, before: Node, event: Event, now: Now, commands: list[Command]) -> None:
        """The same input gives the same output, and is left as it was."""
        self.steps += 1
        self.note_away()
        if self.steps % 4:
            return  # one in four: it doubles the time
        again, same = core.step(before, event, now)
        assert (again, same) == (self.machine.node, commands), f"not pure: {event}"

    def saved(self) -> None:
        """What is known of each app is what is on the disk; what permits are held is known."""
        apps = self.machine.node.apps.items()
        held = {(name, app.attempt.permit) for name, app in apps if app.attempt.permit is not None}
        idle = [name for name, _ in held if self.machine.node.apps[name].run is None]
        assert not idle, f"{idle}: a permit is held, and nothing is done under it"
        answers = [event for event in self.machine.queue if isinstance(event, PermitGranted)]
        held |= {(answer.app, answer.permit) for answer in answers}
        assert held == self.machine.giver.held, "a permit was not given back"
        for name, app in self.machine.node.apps.items():
            kept = self.machine.disk.get(name, Record(app=name, root=app.record.root))
            lost = app.record == Record(app=name, root="", applied=app.record.applied)
            assert kept == app.record or lost, f"{name}: the disk has another record"
            if app.run is None:
                self.what_runs(app)

    def note_away(self) -> None:
        """Note which apps cannot be seen now, unless they have a run."""
        share, watcher = self.machine.share, self.machine.watcher
        for name, app in self.machine.node.apps.items():
            files = share.files.get((app.record.root, name))
            hidden = watcher.empty or watcher.blind(app.record.root) or files is None or files.why
            if hidden and app.run is None:
                self.away.add(name)

    def what_runs(self, app: App) -> None:
        """The record of an app without a run describes what really runs.

        What may have processes would be stopped; and what is up has some, unless its Makefile
        starts none or they ended by themselves.
        """
        name, record, boot = app.name, app.record, self.machine.node.boot
        runs = self.machine.shims.running.get(name)
        if runs is not None:
            stopped = plan(record, Want(Kind.STOPPED), boot)
            known = stopped == (Target.STOP,) or name in self.forgotten
            assert known, f"{name}: runs {runs}, and a stop would stop nothing"
        elif record.applied.up == boot and not app.processes.exited:
            known = name in self.machine.shims.bare | self.machine.shims.emptied
            assert known, f"{name}: counts as up, and nothing runs"

    def judge(self, command: Command) -> None:
        """Judge a command just before it is carried out."""
        match command:
            case Begin(run):
                self.may_begin(run)
            case Proceed(app, run_id):
                kept = self.machine.disk[app].run
                assert kept is not None, f"{app}: a go for a run that no record names"
                assert kept.id == run_id, f"{app}: a go for another run than the recorded one"
                assert kept.identity is not None, f"{app}: a go without an identity on the disk"
            case End(app, run_id, _):
                shim = self.machine.shims.shims.get(run_id)
                if shim is not None:
                    target = shim.run.target
                    assert target in (Target.BUILD, Target.INSTALL), f"{app}: {target} was ended"
            case Drop(app):
                assert not list(self.machine.shims.living(app)), f"{app}: dropped during a run"
                assert not self.present(app), f"{app}: dropped though it is there"
                runs = self.machine.shims.running.get(app)
                assert runs is None or self.left_out(app), f"{app}: dropped though {runs} may run"
            case Report(notice):
                self.in_order(notice)
            case _:
                pass

    def may_begin(self, run: Run) -> None:
        """A run begins alone, for an app that is known, and never beside itself."""
        machine, app = self.machine, run.app
        assert not list(machine.shims.living(app)), f"{app}: two runs at once"
        kept = machine.disk.get(app)
        assert kept is None or kept.run is None, f"{app}: a second run beside the one on the disk"
        steps = [shim.step or shim.run.target for shim in machine.shims.living()]
        busy = [step for step in steps if step is not Target.CHECK]
        place = run.target is Target.CHECK or len(busy) < machine.settings.parallel_apps
        assert place, f"{app}: more than parallel_apps at once"
        second = (app, machine.boots, int(machine.mono))
        self.begins[second] += 1
        assert self.begins[second] <= MOST_A_SECOND, f"{app}: again and again without a pause"
        self.in_its_place(run)
        if run.target in (Target.START, Target.RESTART, Target.STOP):
            self.forgotten.discard(app)
        root = next((r for r in machine.settings.roots if r.path == run.root), None)
        assert root is not None, f"{app}: its root is not of the configuration"
        assert managed(app, root.include, root.exclude), f"{app}: touched, though unmanaged"
        by_person = (kept is not None and kept.stopped) or machine.node.shutdown
        if run.target is Target.STOP:
            assert self.may_stop(run, by_person=by_person), f"{app}: stopped for no reason"
        if not (run.target is Target.STOP and by_person):
            assert not machine.watcher.blind(run.root), (
                f"{app}: {run.target} while its root is unknown"
            )
        if self.present(app) and not (run.target is Target.STOP and by_person):
            assert not machine.share.files[run.root, app].why, f"{app}: a run while it is unknown"
        if run.target is not Target.STOP:
            self.complete_again(run)
            self.environment_known(run)
            assert self.present(app), f"{app}: {run.target} of what is not there"
        if run.target is Target.CHECK:
            self.start_asked.discard(app)
        if run.target is Target.START and app not in self.start_asked:
            runs = machine.shims.running.get(app, "?")
            assert runs == "?", f"{app}: started beside itself"

    def in_its_place(self, run: Run) -> None:
        """A run is of one release, and in the directory of that one."""
        release = run.version.release
        if release:
            assert release.startswith(f"{run.layout}."), f"{run.app}: {release} as {run.layout}"
            name = short(release)
            there = run.layout is not Layout.SYMLINK or run.release_dir.endswith(f"/{name}")
            assert there, f"{run.app}: {run.target} of {name} in {run.release_dir}"

    def complete_again(self, run: Run) -> None:
        """After a time in which it could not be seen, files that change in place are whole."""
        machine, app = self.machine, run.app
        files = machine.share.files.get((run.root, app))
        away = app in self.away
        self.away.discard(app)
        kept = machine.node.apps[app]
        settings = machine.settings_of(app, kept.seen.own)
        held = hold_of(machine.node, kept, machine.now()) is not None
        if not away or files is None or run.layout is Layout.SYMLINK or held:
            return
        if run.target is Target.CHECK or settings.unsettled == "deploy":
            return
        _, since = machine.watcher.seen.get((run.root, app), ("", machine.mono))
        same = short(machine.watcher.ids(files)[0]) == short(run.version.release)
        stood = since + settings.settle <= machine.mono + SOON and not files.incomplete
        assert same or stood, f"{app}: {run.target} of what is half there"

    def left_out(self, app: str) -> bool:
        """Whether the configuration leaves the app out: what runs of it is not ours to stop."""
        root = self.machine.node.root_settings(self.machine.disk[app].root)
        return root is None or not managed(app, root.include, root.exclude)

    def present(self, app: str) -> bool:
        """Whether the app is on the share, where its record has it, and can be seen."""
        kept = self.machine.node.apps.get(app)
        root = kept.record.root if kept is not None else ""
        return (root, app) in self.machine.share.files and not self.machine.watcher.empty

    def may_stop(self, run: Run, *, by_person: bool) -> bool:
        """A stop is asked for by a person, or the app is gone."""
        if by_person:
            return True
        if self.present(run.app):
            return False
        forgotten = self.machine.node.apps[run.app].record.forgotten
        return forgotten or not self.machine.watcher.empty

    def environment_known(self, run: Run) -> None:
        """Every env file of the app was read."""
        root = next(r for r in self.machine.settings.roots if r.path == run.root)
        for path, optional in env_paths(root, run.app):
            state, _ = self.machine.share.envs.get(path, ("unread", ""))
            fine = state == "present" or (optional and state == "missing")
            assert fine, f"{run.app}: a run while {path} is {state}"

    def in_order(self, notice: Notice) -> None:
        """The notices of one deploy come in the order in which things happen."""
        deploy = str(notice.fields.get("deploy_id", ""))
        if not deploy:
            return
        if notice.kind in STAGES:
            stage = STAGES.index(notice.kind)
            assert stage == 0 or deploy in self.stages, f"{notice.kind} before deploy.seen"
            assert stage > 0 or deploy not in self.stages, f"{deploy} was seen twice"
            if notice.kind != "deploy.settled":  # what is waited for may change until it begins
                assert stage > self.stages.get(deploy, -1), f"{notice.kind} of {deploy} again"
            self.stages[deploy] = max(stage, self.stages.get(deploy, 0))
        elif notice.kind == "run.began" and notice.fields.get("target") != Target.STOP:
            assert self.stages.get(deploy) == STAGES.index("deploy.began"), (
                "a run before its deploy"
            )
