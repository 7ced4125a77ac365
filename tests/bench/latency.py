"""How quick a deploy is, step by step: change → seen → shim → first target → `restart`.

    python tests/bench/latency.py [--times 10] [--only symlink,git,tree,trees]
    python tests/bench/latency.py --root /files/bench --shell 'ssh app2 bash'
                                  --count 'ssh fs1 gluster volume profile files'

An agent of its own watches apps below a local directory, or below --root, at the settings that a
node has by default (interval 250ms, settle 2s, scan_interval 2s). Each app is changed again and
again, at moments that have nothing to do with its looks. Beside it runs what a person would write
instead: a loop that reads a link 4 times a second and calls make. Machines are noisy, so what
counts are the ratios to that loop, in the same minute.

On a share the change has to come from another node: inotify does not hear of that, and each mount
has caches of its own. --shell is a command that starts bash there; --writer is the root as that
shell sees it, where it is another path (a second mount of the volume on this machine will do).
--count is a command that the file server's operations are counted by: `start` and `info` are put
behind it.
"""

from __future__ import annotations

import argparse
import random
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.integration.node import Node, wait_until

PATIENCE = 180.0  # s, for one deploy on a busy machine
REST = 20.0  # s over which the operations of a node at rest are counted
MAKEFILE = """\
SHELL := /bin/bash
.PHONY: install start restart
install start restart:
\t@echo "$@ $$APP_NAME $$(< version) $$EPOCHREALTIME" >> {calls}
"""
BARE = """\
cd {path}; seen=
while sleep 0.25; do
    now=$(readlink current)
    [ "$now" = "$seen" ] && continue
    echo "seen bare ${{now##*/}} $EPOCHREALTIME" >> {calls}
    seen=$now; APP_NAME=bare make -s -C current install restart
done
"""
QUIET = frozenset({"FORGET", "RELEASE", "RELEASEDIR"})  # no operations: nobody waits for these


@dataclass(frozen=True)
class Steps:
    """Seconds from a change to each step of its deploy."""

    seen: float
    shim: float  # the first run is recorded, and told to proceed
    first: float  # its first target begins
    restart: float


class Writer:
    """The shell that changes things, here or on another node."""

    def __init__(self, shell: str, root: str) -> None:
        self.root = root
        self.process = subprocess.Popen(
            shlex.split(shell), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def run(self, script: str) -> float:
        """Run some lines in the root; when the change began, which `at` in them may set."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        where = shlex.quote(self.root)
        lines = f"mkdir -p {where}; cd {where}\nat=$EPOCHREALTIME\n{script}\necho done $at\n"
        self.process.stdin.write(lines)
        for line in self.process.stdout:
            if line.startswith("done "):
                return float(line.split()[1])
        raise AssertionError("the shell that changes things has ended")

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


class Counter:
    """Operations at the bricks of a GlusterFS volume."""

    def __init__(self, command: str) -> None:
        self.command = shlex.split(command)
        if command:
            subprocess.run([*self.command, "start"], capture_output=True, check=False)

    def count(self) -> int:
        """All so far, over all bricks."""
        if not self.command:
            return 0
        text = subprocess.run(
            [*self.command, "info", "cumulative"], capture_output=True, text=True, check=True
        ).stdout
        found = re.findall(r"[nu]s +(\d+) +([A-Z]+)$", text, re.MULTILINE)
        return sum(int(number) for number, kind in found if kind not in QUIET)


class Bench:
    """A node over a root, and who changes it."""

    def __init__(self, base: Path, options: argparse.Namespace, watch: str) -> None:
        root = Path(options.root) if options.root else base / "apps"
        self.name = f"bench-{watch}-{base.name}"
        self.node = Node(base, watch=watch, path=str(root / self.name))
        self.node.defaults = {}
        self.node.settings.pop("parallel_apps")
        self.node.write_config()
        self.calls = self.node.calls_file
        self.makefile = shlex.quote(MAKEFILE.format(calls=self.calls))
        self.writer = Writer(options.shell, f"{options.writer or root}/{self.name}")
        self.root = root / self.name
        self.versions = 0

    def close(self) -> None:
        """Leave nothing."""
        self.node.clean_up()
        self.writer.run(f'cd / && rm -rf "{self.writer.root}" "{self.writer.root}.bare"')
        self.writer.close()

    def change(self, layout: str, app: str) -> tuple[str, float]:
        """Change an app; its new version, and when."""
        self.versions += 1
        version = f"v{self.versions}"
        return version, self.writer.run(getattr(self, f"_{layout}")(app, version))

    def _symlink(self, app: str, version: str) -> str:
        release = f"{app}/releases/{version}"
        return (
            f"mkdir -p {release}; printf %s {self.makefile} > {release}/Makefile\n"
            f"echo {version} > {release}/version; ln -s releases/{version} {app}/next\n"
            f"at=$EPOCHREALTIME; mv -T {app}/next {app}/current"
        )

    def _git(self, app: str, version: str) -> str:
        who = "-c user.name=b -c user.email=b@example.org -c commit.gpgsign=false"
        ref = f"{app}/.git/refs/heads/main"
        return (
            f"[ -d {app}/.git ] || git init -q -b main {app}\n"
            f"printf %s {self.makefile} > {app}/Makefile; echo {version} > {app}/version\n"
            f"git -C {app} add -A; git -C {app} {who} commit -q -m {version}\n"
            f"at=$(stat -c %.6Y {ref})"  # of the lock that became the ref: just before that
        )

    def _tree(self, app: str, version: str) -> str:
        return (
            f"mkdir -p {app}; [ -e {app}/Makefile ] || printf %s {self.makefile} > {app}/Makefile\n"
            f"at=$EPOCHREALTIME; echo {version} > {app}/version"
        )

    def _bare(self, _: str, version: str) -> str:
        return f"mkdir -p ../{self.name}.bare; cd ../{self.name}.bare; " + self._symlink(
            ".", version
        )

    def fill(self, app: str, files: int) -> None:
        """Give a tree so many files, 50 in a directory."""
        per = 50
        self.writer.run(
            f"mkdir -p {app}; for d in $(seq {files // per}); do mkdir {app}/d$d\n"
            f"for f in $(seq {per}); do echo $f > {app}/d$d/f$f; done; done"
        )

    def steps(self, app: str, version: str, at: float) -> Steps:
        """Wait until a version runs, and say when each step was."""

        def ran() -> dict[str, float]:
            rows = [line.split() for line in self.calls.read_text().splitlines()]
            times = {row[0]: float(row[3]) for row in rows if row[1:3] == [app, version]}
            return times if {"restart", "start"} & times.keys() else {}

        times = wait_until(ran, f"{version} of {app} runs", PATIENCE)
        last = times.get("restart", times.get("start", 0.0))
        first = times.get("install", last)
        if app == "bare":
            return Steps(times["seen"] - at, times["seen"] - at, first - at, last - at)
        notices: dict[str, float] = {}
        for notice in self.node.notices("", app):
            when = datetime.fromisoformat(notice["time"]).timestamp()
            if when > at - 0.02:
                notices.setdefault(notice["kind"], when - at)
        return Steps(notices["deploy.seen"], notices["run.began"], first - at, last - at)

    def measure(self, layout: str, app: str, times: int) -> list[Steps]:
        """Change an app again and again; a tree only twice, as it is throttled then."""
        found = []
        for number in range(times):
            if app == "tree" and number % 2 == 0:
                name = f"tree{number // 2}"
                self.steps(name, *self.change(layout, name))
            elif app != "tree":
                name = app
            time.sleep(1.0 + random.random() * 2.0)  # noqa: S311 - no secret
            version, at = self.change(layout, name)
            found.append(self.steps(name, version, at))
        return found


@contextmanager
def bench(options: argparse.Namespace, watch: str) -> Iterator[Bench]:
    """Make a bench and clear it away."""
    base = Path(tempfile.mkdtemp(prefix="latency-"))
    made = Bench(base, options, watch)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(base)


def show(name: str, found: Sequence[Steps], bare: float = 0.0) -> None:
    """Print a line of the table: median and max of each step, in ms."""
    cells = []
    for step in ("seen", "shim", "first", "restart"):
        values = [getattr(steps, step) * 1000 for steps in found]
        cells.append(f"{statistics.median(values):6.0f} {max(values):6.0f}")
    ratio = (
        f"{statistics.median(steps.first for steps in found) / bare:7.2f}" if bare else "      -"
    )
    print(f"{name:17} {' | '.join(cells)} | {ratio}", flush=True)


def layouts(options: argparse.Namespace, only: Sequence[str]) -> None:
    """Each layout, beside the bare loop."""
    print(f"{'ms: median, max':17} {'seen':>13} | {'shim':>13} | {'first target':>13} | "
          f"{'restart':>13} | to bare")  # fmt: skip
    for watch in ("poll",) if options.root else ("poll", "inotify"):
        with bench(options, watch) as made:
            made.change("bare", "bare")
            script = BARE.format(path=f"{made.root}.bare", calls=made.calls)
            loop = subprocess.Popen(["bash", "-c", script], start_new_session=True)
            try:
                made.node.start()
                for layout in only:
                    if layout != "tree":
                        made.steps(layout, *made.change(layout, layout))
                bare = made.measure("bare", "bare", options.times)
                show("bare loop", bare)
                usual = statistics.median(steps.first for steps in bare)
                for layout in only:
                    found = made.measure(layout, layout, options.times)
                    show(f"{layout}, {watch}", found, usual)
            finally:
                loop.terminate()
                loop.wait()


def trees(options: argparse.Namespace) -> None:
    """Ten trees of 1,000 files each, of which one changes at a time, then all at once."""
    counter = Counter(options.count)
    with bench(options, "poll") as made:
        apps = [f"tree{number}" for number in range(options.trees)]
        for app in apps:
            made.fill(app, options.files)
        changes = {app: made.change("tree", app) for app in apps}
        made.node.start()
        for app, (version, _) in changes.items():
            made.steps(app, version, 0.0)
        before = counter.count()
        time.sleep(REST)
        rest = (counter.count() - before) / REST
        before, began = counter.count(), time.monotonic()
        found = []
        for number in range(options.times):
            found += made.measure("tree", apps[number % len(apps)], 1)
        busy = (counter.count() - before) / (time.monotonic() - began)
        show(f"{len(apps)} x {options.files} files", found)
        changes = {app: made.change("tree", app) for app in apps}
        show("all of them", [made.steps(app, *changes[app]) for app in apps])
        if options.count:
            print(f"operations/s at all bricks: {rest:.0f} at rest, {busy:.0f} while one changes")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How quick a deploy is, step by step")
    parser.add_argument("--root", default="", help="a directory on a share, to make apps in")
    parser.add_argument("--writer", default="", help="the same directory as --shell sees it")
    parser.add_argument("--shell", default="bash", help="the command of the shell that changes it")
    parser.add_argument("--count", default="", help="the command that operations are counted by")
    parser.add_argument("--only", default="symlink,git,tree,trees", help="which of these")
    parser.add_argument("--times", type=int, default=10, help="changes of each app")
    parser.add_argument("--trees", type=int, default=10, help="trees that are watched at once")
    parser.add_argument("--files", type=int, default=1000, help="files in each of them")
    options = parser.parse_args()
    only = options.only.split(",")
    if some := [layout for layout in ("symlink", "git", "tree") if layout in only]:
        layouts(options, some)
    if "trees" in only:
        trees(options)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
