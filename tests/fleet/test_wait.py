"""`appagent wait` right after a change is true, of each layout, on the share and on a node's disk.

The share is polled, the disk by one root and by another with inotify. All nodes that have an app
are asked at once. WAIT_DEPLOYS says how many changes each of the nine apps sees (2).
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.waits import Waited, keep_waiting, rounds

from .configured import configured
from .developer import Developer
from .fleet import ROOT, Fleet
from .host import NOTES, Host
from .steps import PATIENCE

POLLED, NOTICED = "/srv/polled", "/srv/noticed"
ENVS = "env"  # beside the root
SHARED = f"""\
roots:
  - {{path: {ROOT}, run_as: www-data, trusted_owners: [deploy],
     env_files: ["-/files/{ENVS}/{{app}}.env"]}}
"""
ALL = (
    SHARED
    + f"""\
  - {{path: {POLLED}, run_as: www-data, trusted_owners: [deploy], watch: poll,
     env_files: ["-/srv/{ENVS}/{{app}}.env"]}}
  - {{path: {NOTICED}, run_as: www-data, trusted_owners: [deploy], watch: inotify,
     env_files: ["-/srv/{ENVS}/{{app}}.env"]}}
"""
)
MAKEFILE = f"""\
.PHONY: install start restart stop
install stop:
	@true
start restart:
	@[ $@ = start ] || [ ! -e broken ] || {{ echo no database >&2; exit 1; }}
	@echo "$$(cat VERSION) $$GREETING" > /{NOTES}/$$APP_NAME.runs
"""


class Deployed:
    """An app of one layout in one root, and the nodes that run it."""

    def __init__(self, developer: Developer, layout: str, hosts: list[Host], fleet: Fleet) -> None:
        """Name it after both."""
        self.developer, self.layout, self.hosts, self.fleet = developer, layout, hosts, fleet
        top, _, root = developer.root.rpartition("/")
        self.name = f"{layout}-{root}"
        self.env = f"{top}/{ENVS}/{self.name}.env"

    def deploy(self, version: str, broken: bool) -> None:
        """Bring a version to the root."""
        files = {"Makefile": MAKEFILE, "VERSION": f"{version}\n"} | (
            {"broken": ""} if broken else {}
        )
        if self.layout == "symlink":
            self.developer.swap(self.name, version, files)
        elif self.layout == "git":
            if version == "0":
                self.developer.new_git(self.name)
            self.developer.push(self.name, files)
        else:
            self.developer.rsync(self.name, files)

    def greet(self, word: str) -> None:
        """Change its environment."""
        line = f"echo GREETING={word} > {self.env}.new && mv {self.env}.new {self.env}"
        self.developer.ssh(line)

    def wait(self) -> int:
        """Ask each node; they answer alike."""
        words = ["appagent", "wait", "--timeout", f"{PATIENCE:g}s", self.name]
        ask = partial(Host.run, command=words, check=False, timeout=2 * PATIENCE)
        answers = self.fleet.each(ask, self.hosts)
        statuses = {answer.status for answer in answers}
        assert len(statuses) == 1, (self.name, self.runs(), answers)
        return statuses.pop()

    def runs(self) -> str:
        """Return what it runs on all nodes; if they differ, all of it."""
        files = [host.root / NOTES / f"{self.name}.runs" for host in self.hosts]
        return " | ".join(sorted({file.read_text().strip() for file in files}))

    def calm(self) -> None:
        """Let a tree that deploys again and again not be slowed down."""
        for host in self.hosts:
            host.run(["appagent", "trigger", self.name])

    def waited(self) -> Waited:
        """Return it as those who wait want it."""
        return Waited(self.name, self.deploy, self.greet, self.wait, self.runs, self.calm)


@pytest.fixture
def deployed(fleet: Fleet) -> Iterator[list[Deployed]]:
    """Give an app of each layout for each root; none is there yet."""
    host, server = fleet.apps[0], fleet.of("file")[0]
    make = ["install", "-d", "-m", "2775", "-o", "deploy", "-g", "deploy"]
    server.run([*make, f"/files/{ENVS}"])
    host.run([*make, f"/srv/{ENVS}", POLLED, NOTICED])
    host.run("systemctl start ssh")  # the developer deploys there as to the share
    local = [Developer(fleet.host("dev"), host, root) for root in (POLLED, NOTICED)]
    with configured(fleet.apps[1:], SHARED), configured([host], ALL):
        apps = [
            Deployed(developer, layout, [host] if developer in local else fleet.apps, fleet)
            for developer in (fleet.developer, *local)
            for layout in ("symlink", "git", "tree")
        ]
        yield apps
        for app in apps:
            app.developer.remove(app.name)
    host.run("systemctl stop ssh")


def test_wait_after_a_change_answers_0_when_just_that_runs_and_never_1(
    deployed: list[Deployed],
) -> None:
    """A release, an environment, a release that fails, and what mends it: all apps at once."""
    with ThreadPoolExecutor(len(deployed)) as pool:
        changes = [pool.submit(keep_waiting, app.waited(), rounds(2)) for app in deployed]
    assert [change.result() for change in changes] == [rounds(2)] * len(deployed)
