"""Random lives of a node: whatever happens, in whatever order, the rules of the design hold.

A life is a row of deeds: people push, remove, hold and trigger; the share fails and heals; runs
end in every way; the agent dies between any two commands and machines reboot. While it lasts each
command is judged (tests/unit/core_rules.py). At its end everything heals, and then what is on the
share must be what runs, or the reason why not must be reported.

More of them, for hours if need be: HYPOTHESIS_PROFILE=long (or hunt).
"""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from appagent.model.settings import RootSettings
from appagent.model.words import Layout, Outcome, Target
from tests.property.core_end import (
    ENV,
    a_boot_starts_what_ran,
    a_new_agent_runs_nothing,
    all_is_well,
    everything_heals,
)
from tests.unit.core_play import ROOT, SECOND, Play

COMMON = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
# To make a failing life short takes many minutes: that is for whoever hunts it.
WITHOUT_SHRINKING = [phase for phase in Phase if phase not in (Phase.shrink, Phase.explain)]
# The same lives each time: what fails there was broken by the change at hand. Others find a hunt.
CI = settings(COMMON, derandomize=True, database=None)
settings.register_profile(
    "core-ci", CI, max_examples=60, stateful_step_count=40, phases=WITHOUT_SHRINKING
)
settings.register_profile("core-long", COMMON, max_examples=2_000, stateful_step_count=60)
settings.register_profile("core-hunt", COMMON, max_examples=50_000, stateful_step_count=80)
PROFILE = settings.get_profile("core-" + os.environ.get("HYPOTHESIS_PROFILE", "ci"))

OPTIONAL = "/files/config/web.env"
LAYOUTS = {
    "web": Layout.SYMLINK,
    "git": Layout.GIT,
    "tree": Layout.TREE,
    "shop": Layout.SYMLINK,
    "blog": Layout.TREE,
}


apps = st.sampled_from(sorted(LAYOUTS))
releases = st.sampled_from(["r1", "r2", "r3", "r4"])
targets = st.sampled_from(list(Target))
outcomes = st.sampled_from(list(Outcome))
spans = st.sampled_from([0.05, 0.3, 1.0, 3.0, 10.0, 61.0, 400.0, 4000.0])
lengths = st.sampled_from([0.0, 0.5, 5.0, 45.0, 500.0])


class Life(RuleBasedStateMachine):
    """One node, and all that may happen to it."""

    def __init__(self) -> None:
        super().__init__()
        roots = (RootSettings(ROOT, env_files=(ENV, "-/files/config/{app}.env")),)
        self.play = Play(roots=(*roots, RootSettings(SECOND)), max_wait=30.0)
        self.play.env(ENV, "a=1")
        for app in LAYOUTS:
            self.play.env(f"/files/config/{app}.env", state="missing")
        self.writes = 0
        self.lacked: set[Target] = set()  # what a Makefile did not have at some time

    def root_of(self, app: str) -> str:
        """Where an app is, or would be."""
        here = [root for root, name in self.play.share.files if name == app]
        return here[0] if here else SECOND if app == "shop" else ROOT

    @initialize(
        count=st.integers(0, len(LAYOUTS)),
        places=st.integers(1, 3),
        lacks=st.dictionaries(releases, st.sets(targets)),
    )
    def begin(self, count: int, places: int, lacks: dict[str, set[Target]]) -> None:
        self.play.configure(parallel_apps=places)
        self.play.shims.makefiles = {one: set(Target) - lacks[one] for one in lacks}
        for app in sorted(LAYOUTS)[:count]:
            self.push(app, "r1")
        if count:
            self.play.rest()

    # --- the share -------------------------------------------------------------------------------

    @rule(app=apps, release=releases)
    def push(self, app: str, release: str) -> None:
        self.play.push(app, release, LAYOUTS[app], self.root_of(app), incomplete="")

    @rule(app=apps, release=releases)
    def push_half(self, app: str, release: str) -> None:
        self.play.push(app, release, LAYOUTS[app], self.root_of(app), incomplete=".deploying")

    @rule(app=apps, spans=st.lists(spans, min_size=2, max_size=8))
    def push_one_after_another(self, app: str, spans: list[float]) -> None:
        for number, span in enumerate(spans):
            self.push(app, f"n{number}")
            self.play.after(span)

    @rule(app=apps)
    def remove(self, app: str) -> None:
        self.play.remove(app)

    @rule(gone=st.sets(apps, min_size=2))
    def remove_many(self, gone: set[str]) -> None:
        self.play.remove(*sorted(gone))

    @rule(app=apps)
    def move(self, app: str) -> None:
        if (files := self.play.share.files.get((self.root_of(app), app))) is not None:
            other = SECOND if files.root == ROOT else ROOT
            self.play.push(app, files.release, files.layout, other)
            self.play.remove(app, root=files.root)

    @rule(root=st.sampled_from([ROOT, SECOND]), why=st.sampled_from(["ENOTCONN", ""]))
    def root_trouble(self, root: str, why: str) -> None:
        self.play.root_trouble(why, root)

    @rule(app=apps, why=st.sampled_from(["EIO", ""]))
    def app_trouble(self, app: str, why: str) -> None:
        self.play.app_trouble(app, why)

    @rule(hangs=st.booleans())
    def watcher(self, hangs: bool) -> None:
        if hangs:
            self.play.watcher.hang()
        elif self.play.watcher.hangs:
            self.play.watcher.come_back()

    @rule(mounted=st.booleans())
    def mount(self, mounted: bool) -> None:
        if mounted:
            self.play.mount()
        else:
            self.play.unmount()

    @rule(value=st.sampled_from(["a=1", "a=2"]))
    def env(self, value: str) -> None:
        self.play.env(ENV, value)

    @rule(state=st.sampled_from(["missing", "broken", "unknown"]))
    def env_trouble(self, state: str) -> None:
        self.play.env(ENV, "no", state=state)

    @rule(app=apps, state=st.sampled_from(["present", "missing", "unknown"]))
    def own_env(self, app: str, state: str) -> None:
        self.play.env(f"/files/config/{app}.env", "b=1", state=state)

    @rule()
    def polls_again(self) -> None:
        self.play.watcher.push_all()

    # --- runs ------------------------------------------------------------------------------------

    @rule(app=apps, step=targets, outcome=outcomes, seconds=lengths)
    def next_run(self, app: str, step: Target, outcome: Outcome, seconds: float) -> None:
        self.lacked |= {step} if outcome is Outcome.MISSING else set()
        self.play.will(app, step, outcome, seconds=seconds)

    @rule(app=apps, step=targets, outcome=outcomes)
    def every_run(self, app: str, step: Target, outcome: Outcome) -> None:
        self.lacked |= {step} if outcome is Outcome.MISSING else set()
        self.play.always(app, step, outcome)

    @rule(app=st.sampled_from(["tree", "blog"]), step=targets, after=lengths)
    def next_run_writes(self, app: str, step: Target, after: float) -> None:
        self.writes += 1
        release = f"w{self.writes}"
        write = lambda: self.push(app, release) if self.is_there(app) else None  # noqa: E731
        self.play.will(app, step, Outcome.OK, seconds=after + 3.0, after=after, then=write)

    @rule(lacks=st.sets(targets))
    def includes(self, lacks: set[Target]) -> None:
        """What a release cannot: targets come and go while it stays the same."""
        self.lacked |= lacks
        self.play.makefile(*(target for target in Target if target not in lacks))

    @rule()
    def a_shim_is_killed(self) -> None:
        for shim in list(self.play.shims.living())[:1]:
            self.play.shims.over(shim.run.id, Outcome.LOST)

    def is_there(self, app: str) -> bool:
        """Whether an app is on the share."""
        return any(name == app for _, name in self.play.share.files)

    # --- the agent and the machine ---------------------------------------------------------------

    @rule(commands=st.integers(0, 30))
    def agent_dies_soon(self, commands: int) -> None:
        self.play.crash_in = commands

    @rule()
    def agent_dies_and_comes_back(self) -> None:
        self.play.restart()

    @rule()
    def agent_comes_back(self) -> None:
        if not self.play.alive:
            self.play.start_agent()

    @rule()
    def machine_boots(self) -> None:
        self.play.reboot()

    @rule(slow=st.sampled_from([0.01, 2.0]))
    def shims_are_slow(self, slow: float) -> None:
        self.play.shims.slow = slow

    @rule(places=st.integers(1, 3))
    def other_places(self, places: int) -> None:
        self.play.configure(parallel_apps=places)

    @rule(exclude=st.sets(apps, max_size=2))
    def other_apps(self, exclude: set[str]) -> None:
        first, *others = self.play.settings.roots
        changed = RootSettings(first.path, env_files=first.env_files, exclude=tuple(exclude))
        self.play.configure(roots=(changed, *others))

    @rule(lines=st.sampled_from([(), ("cache/",), ("tmp/",)]))
    def other_ignore_lines(self, lines: tuple[str, ...]) -> None:
        self.play.configure(ignore=lines)

    @rule(
        unsettled=st.sampled_from(["wait", "deploy"]),
        failing=st.sampled_from(["previous", "leave"]),
    )
    def other_defaults(self, unsettled: str, failing: str) -> None:
        self.play.configure(unsettled=unsettled, on_failure=failing)

    @rule(given=st.booleans())
    def permits(self, given: bool) -> None:
        self.play.permits = given
        if given:
            self.play.permit_all()

    @rule(span=spans)
    def time_passes(self, span: float) -> None:
        self.play.after(span)

    @rule(count=st.integers(1, 15))
    def things_happen(self, count: int) -> None:
        for _ in range(count):
            if self.play.next_time() < float("inf"):
                self.play.happen()

    # --- people ----------------------------------------------------------------------------------

    @rule(app=apps, step=st.none() | targets)
    def trigger(self, app: str, step: Target | None) -> None:
        self.play.trigger(app, step or "")

    @rule(app=apps)
    def cancel(self, app: str) -> None:
        self.play.cancel(app)

    @rule(app=st.none() | apps, seconds=st.sampled_from([None, 5.0, 100.0]))
    def hold(self, app: str | None, seconds: float | None) -> None:
        self.play.hold(app, seconds)

    @rule(app=st.none() | apps)
    def resume(self, app: str | None) -> None:
        self.play.resume(app)

    @rule(app=apps)
    def forget(self, app: str) -> None:
        self.play.forget(app)

    # --- what must hold --------------------------------------------------------------------------

    def teardown(self) -> None:
        if sys.exception() is not None:
            return  # what follows from a broken rule would hide it
        everything_heals(self.play)
        all_is_well(self.play, lacked=bool(self.lacked))
        a_new_agent_runs_nothing(self.play)
        a_boot_starts_what_ran(self.play)


TestLife = pytest.mark.timeout(0)(Life.TestCase)
TestLife.settings = PROFILE
