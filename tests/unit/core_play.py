"""A `Play`: one node in a scripted world, with the short words that a test is written in.

A test reads like a story:

    play = Play()
    play.push("web", "r1")
    assert play.rest() == ["install web r1", "start web r1", "check web r1"]

Several nodes see one share and live by one time where they are given one world:

    world = World()
    one, two = Play(world), Play(world)
    world.push("web", "r1")
    world.rest()
    assert one.ran() == two.ran()
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from appagent.core.state import App
from appagent.core.summary import View, view
from appagent.model.applied import Hold
from appagent.model.commands import Answer
from appagent.model.events import (
    Cancel,
    Configured,
    Ended,
    Forget,
    HoldAsked,
    ResumeAsked,
    Trigger,
)
from appagent.model.settings import AppSettings, RootSettings, Settings
from appagent.model.words import Event, Layout, Outcome, Target
from appagent.report import messages
from tests.unit.core_machine import Machine
from tests.unit.core_shims import Doing
from tests.unit.core_world import HOUR, ROOT, SECOND, World

__all__ = ["HOUR", "ROOT", "SECOND", "Play", "World", "deployed"]


class Play(Machine):
    """One node, alone in its world if it is not given one."""

    def __init__(
        self,
        world: World | None = None,
        *,
        roots: Iterable[RootSettings] = (),
        **changes: Any,  # noqa: ANN401 - fields of Settings, and of its defaults
    ) -> None:
        of_defaults = AppSettings.__dataclass_fields__.keys() & changes.keys()
        defaults = AppSettings(**{key: changes.pop(key) for key in of_defaults})
        roots = tuple(roots) or (RootSettings(ROOT),)
        super().__init__(Settings(roots=roots, defaults=defaults, **changes), world or World())

    # --- time ------------------------------------------------------------------------------------

    def after(self, seconds: float) -> list[str]:
        """Let so much time pass; the runs in it."""
        self.until(self.mono + seconds)
        return self.ran()

    def until(self, when: float) -> None:
        """Let time pass until then."""
        self.world.until(when, by=self)

    def rest(self, most: float = 2 * HOUR) -> list[str]:
        """Let time pass until nothing is to happen any more; the runs until then."""
        self.world.rest(most)
        return self.ran()

    def happen(self) -> None:
        """Let the next thing happen."""
        self.world.happen()

    def ran(self) -> list[str]:
        """The runs since this was asked last."""
        done, self.shims.log = self.shims.log, []
        return done

    # --- what happens on the share ---------------------------------------------------------------

    def push(
        self,
        app: str,
        release: str,
        layout: Layout | None = None,
        root: str = "",
        **changes: Any,  # noqa: ANN401 - as for World.push()
    ) -> None:
        """Somebody deploys a release."""
        known = any(name == app for _, name in self.world.share.files)
        first = "" if known else self.settings.roots[0].path
        self.world.push(app, release, layout, root or first, **changes)

    def remove(self, *apps: str, root: str = "") -> None:
        """Apps are removed, all at once."""
        self.world.remove(*apps, root=root)

    def app_trouble(self, app: str, why: str) -> None:
        """An app cannot be polled; or, with "", it can."""
        self.world.app_trouble(app, why)

    def env(self, path: str, value: str = "", state: str = "present") -> None:
        """An env file has these values; or it is missing, broken or unknown."""
        self.world.env(path, value, state)

    def root_trouble(self, why: str, root: str = ROOT) -> None:
        """The node cannot read a root any more; or, with "", it can."""
        self.watcher.trouble(root, why)

    def unmount(self) -> None:
        """The share is not mounted here: what is there is an empty directory."""
        self.watcher.empty = True
        for root in self.watcher.roots:
            self.watcher.push_root(root)

    def mount(self) -> None:
        """It is mounted again."""
        self.watcher.empty = False
        self.watcher.push_all()

    # --- what runs do ----------------------------------------------------------------------------

    def will(self, app: str, target: str, *outcomes: Outcome, **doing: Any) -> None:  # noqa: ANN401 - fields of Doing
        """The next runs of a target end like this."""
        for outcome in outcomes or (Outcome.OK,):
            self.shims.next[app, Target(target)].append(Doing(outcome, **doing))

    def always(self, app: str, target: str, outcome: Outcome = Outcome.OK, **doing: Any) -> None:  # noqa: ANN401 - fields of Doing
        """Every run of a target ends like this."""
        self.shims.next.pop((app, Target(target)), None)
        self.shims.usual[app, Target(target)] = Doing(outcome, **doing)

    def makefile(self, *targets: str) -> None:
        """Every Makefile has just these targets."""
        self.shims.targets = {Target(target) for target in targets}

    def not_started(self, app: str, why: str) -> None:
        """The shim that was to begin could not be started."""
        run = self.app(app).starting
        assert run is not None
        del self.shims.shims[run.id]
        self.feed(Ended(app, run.id, Outcome.FAILED, line=why))

    def permit(self, app: str) -> None:
        """What an app asks for is granted."""
        asked = self.app(app).attempt.asking
        assert asked is not None
        self.grant(app, asked.step, asked.version)

    def permit_all(self) -> None:
        """Everything that is asked for is granted."""
        for name, app in self.node.apps.items():
            if asked := app.attempt.asking:
                self.grant(name, asked.step, asked.version)

    # --- what people ask -------------------------------------------------------------------------

    def ask(self, event: Event) -> Answer:
        """Send a request; the answer."""
        before = len(self.commands)
        self.feed(event)
        answers = [c for c in self.commands[before:] if isinstance(c, Answer)]
        if not self.alive and not answers:
            return Answer(69, "cannot reach the agent")
        assert len(answers) == 1, f"not one answer to {event}"
        return answers[0]

    def trigger(self, app: str, target: str = "") -> int:
        """`appagent trigger APP [TARGET]`; the exit code."""
        self.rules.start_asked |= {app} if target == "start" else set()
        return self.ask(Trigger(app, Target(target) if target else None, "ann")).code

    def cancel(self, app: str) -> int:
        """`appagent cancel APP`."""
        return self.ask(Cancel(app, "ann")).code

    def hold(self, app: str | None = None, seconds: float | None = None) -> int:
        """`appagent hold [APP] --why W [--for S]`."""
        until = None if seconds is None else self.now().wall + seconds
        return self.ask(HoldAsked(app, Hold("a freeze", until, "ann"))).code

    def resume(self, app: str | None = None) -> int:
        """`appagent resume [APP]`."""
        return self.ask(ResumeAsked(app, "ann")).code

    def forget(self, app: str) -> int:
        """`appagent forget APP`."""
        self.rules.start_asked.add(app)
        self.rules.forgotten.add(app)
        return self.ask(Forget(app, "ann")).code

    def configure(self, **changes: Any) -> None:  # noqa: ANN401 - as for Play()
        """Another configuration is in force."""
        of_defaults = AppSettings.__dataclass_fields__.keys() & changes.keys()
        defaults = replace(self.settings.defaults, **{k: changes.pop(k) for k in of_defaults})
        self.settings = replace(self.settings, defaults=defaults, **changes)
        for root in self.settings.roots:
            self.watcher.roots.setdefault(root.path, "")
        self.feed(Configured(self.settings))

    def times_of(self, target: str, seconds: float, app: str = "web") -> list[float]:
        """Let time pass; when runs of a target were let go in it."""
        start = len(self.shims.gone)
        self.after(seconds)
        word = f"{target} {app}"
        return [at for at, what in self.shims.gone[start:] if what == word]

    # --- what can be seen ------------------------------------------------------------------------

    def app(self, name: str = "web") -> App:
        """An app, as the core has it."""
        return self.node.apps[name]

    def view(self, app: str = "web") -> View:
        """What status shows of an app."""
        return view(self.node, self.app(app), self.now())

    def word(self, app: str = "web") -> str:
        """What status calls an app."""
        return self.view(app).word

    def last_ended(self) -> Ended:
        """The newest result that a shim left."""
        return [s.ended for s in self.shims.shims.values() if s.ended is not None][-1]

    def notices(self, prefix: str = "", app: str = "") -> list[str]:
        """The kinds of the notices so far."""
        mine = (f for f in self.reported if not app or f.app == app)
        return [f.kind for f in mine if f.kind.startswith(prefix)]

    def text(self, kind: str) -> str:
        """The newest notice of this kind, as it is logged."""
        return next((messages.text(f) for f in reversed(self.reported) if f.kind == kind), "")


def deployed(release: str = "r1", layout: Layout = Layout.SYMLINK, **changes: Any) -> Play:  # noqa: ANN401 - as for Play()
    """A play in which web runs a release."""
    play = Play(**changes)
    play.push("web", release, layout)
    assert play.rest() == [f"{step} web {release}" for step in ("install", "start", "check")]
    return play


def steps(release: str, *targets: str, app: str = "web") -> list[str]:
    """These runs of a release, as a play logs them."""
    return [f"{target} {app} {release}" for target in targets]
