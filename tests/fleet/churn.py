"""A team that does something new every few seconds, by chance, and remembers what the share showed.

What it does follows from a seed alone: the same seed does the same things in the same order. How
many of them fit into a run follows from the machine.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .developer import app_files
from .fleet import ROOT, Fleet
from .stream import push_until_taken

ENVS = "/files/config"
CONFIG = f"""\
environment: production
roots:
  - path: {ROOT}
    run_as: www-data
    trusted_owners: [deploy]
    env_files: ["-{ENVS}/{{app}}.env"]
defaults:
  gone_after: 5s
log: {{level: debug}}
"""
LAYOUTS = {"linked-a": "symlink", "linked-b": "symlink", "pushed-a": "git", "pushed-b": "git"}
LAYOUTS |= {"synced-a": "tree", "synced-b": "tree"}
PAUSE = (0.5, 5.0)  # s between two changes
GO, ENV, BACK = 0.1, 0.28, 0.45  # how often: each up to the next one; the rest are new releases


@dataclass(frozen=True)
class Shown:
    """What the share shows of an app from a moment on."""

    since: float  # when the change began
    until: float  # when it was made
    release: str  # a commit, a link's last word, or for a tree the version; "" when it is gone
    env: int  # the number of its environment


@dataclass
class Live:
    """An app of the team."""

    name: str
    layout: str
    shown: list[Shown] = field(default_factory=list)
    kept: list[str] = field(
        default_factory=list
    )  # releases that it can go back to, the newest last
    env: int = 0

    @property
    def release(self) -> str:
        """What the share shows of it now."""
        return self.shown[-1].release if self.shown else ""


class Team:
    """Changes one app after the other."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        """Put a first release of each app on the share."""
        self.chance = random.Random(f"team {seed}")  # noqa: S311 - it is to be repeated
        self.developer = fleet.developer
        self.story: list[str] = []
        self.versions = 0
        self.apps = [Live(name, layout) for name, layout in LAYOUTS.items()]
        self.went: list[Live] = []  # gone, and another has their place
        fleet.of("file")[0].run(["install", "-d", "-o", "deploy", "-g", "deploy", ENVS])
        for app in self.apps:
            self.come(app)

    def pause(self) -> float:
        """Return how long to wait before the next change."""
        return self.chance.uniform(*PAUSE)

    def change(self) -> None:
        """Do one thing."""
        app, what, again = self.chance.choice(self.apps), self.chance.random(), self.chance.random()
        if not app.release:
            self.come(app if again < 0.5 else self.successor(app))
        elif what < GO and all(one.release for one in self.apps):
            # One at a time: where more than half of them go, nobody believes it.
            self.do(app, "goes", lambda: self.go(app))
        elif what < ENV:
            app.env += 1
            self.do(app, f"environment {app.env}", lambda: self.set_env(app))
        elif what < BACK and len(app.kept) > 1:
            older = self.chance.choice(app.kept[:-1])
            self.do(app, f"back to {older}", lambda: self.back(app, older))
        else:
            self.release(app)

    def successor(self, app: Live) -> Live:
        """Return a new app, of another name, in the place of one that is gone."""
        name, _, count = app.name.partition(".")
        new = Live(f"{name}.{int(count or 1) + 1}", app.layout)
        self.apps = [new if one is app else one for one in self.apps]
        self.went.append(app)
        return new

    def do(self, app: Live, what: str, make: Callable[[], str]) -> None:
        """Make one change, and note what the share shows from when on."""
        since = time.time()
        self.story.append(f"{since:.3f} {app.name}: {what}")
        release = make()
        app.shown.append(Shown(since, time.time(), release, app.env))
        self.story.append(f"{time.time():.3f} {app.name}: {what}: shows {release or 'nothing'}")

    def come(self, app: Live) -> None:
        """Put an app on the share that is not there."""
        if app.layout == "git":
            self.developer.new_git(app.name)
        self.release(app)

    def release(self, app: Live) -> None:
        """Make a new release of an app."""
        self.versions += 1
        version = f"v{self.versions}"
        self.do(app, f"release {version}", lambda: self.bring(app, version))

    def bring(self, app: Live, version: str) -> str:
        """Bring a version to the share, as its layout has it."""
        files = app_files(version)
        release = version
        if app.layout == "symlink":
            self.developer.swap(app.name, version, files)
        elif app.layout == "tree":
            self.developer.rsync(app.name, files)
        else:
            self.developer.put(app.name, files)
            self.developer.here(f"cd ~/{app.name} && git add -A && git commit -q -m {version}")
            push_until_taken(self.developer, app.name)
            release = self.developer.here(f"git -C ~/{app.name} rev-parse HEAD")
        app.kept.append(release)
        return release

    def back(self, app: Live, release: str) -> str:
        """Go back to an older release, which is the newest then."""
        if app.layout == "symlink":
            self.developer.point(app.name, release)
        elif app.layout == "tree":
            self.developer.rsync(app.name, app_files(release))
        else:
            self.developer.here(f"cd ~/{app.name} && git reset -q --hard {release}")
            push_until_taken(self.developer, app.name, "--force")
        app.kept.remove(release)
        app.kept.append(release)
        return release

    def go(self, app: Live) -> str:
        """Take an app away."""
        self.developer.remove(app.name)
        app.kept.clear()
        return ""

    def set_env(self, app: Live) -> str:
        """Give an app another environment."""
        path = f"{ENVS}/{app.name}.env"
        self.developer.ssh(f"echo CHURN={app.env} > {path}.new && mv {path}.new {path}")
        return app.release
