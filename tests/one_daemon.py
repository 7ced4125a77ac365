"""An agent of one run in a process of its own, as a test sees it (begin_one.py)."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Self, Unpack

from appagent.host import boot
from appagent.model.applied import Identity
from tests.running import ME, RunFields, World


class Daemon:
    """An agent of one run in a process of its own."""

    def __init__(self, world: World, target: str, **fields: Unpack[RunFields]) -> None:
        self.run = run = world.plan(target, **fields)
        asked = {
            name: getattr(run, name)
            for name in (
                *("id", "app", "root", "target", "previous", "layout", "release_dir"),
                *("reason", "deploy", "timeout", "grace"),
            )
        }
        asked["version"] = [run.version.release, run.version.conf]
        asked["run_as"] = ME
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.begin_one",
                str(world.state),
                json.dumps(asked),
                str(world.runtime),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.into, self.out = self.process.stdin, self.process.stdout
        word, pid, started = self.out.readline().split()
        assert word == "began"
        self.pid = int(pid)
        world.sessions.append(self.pid)
        self.run = replace(run, identity=Identity(self.pid, int(started), "", boot.boot()))

    def go(self) -> None:
        self.into.write("\n")
        self.into.flush()
        assert self.out.readline() == "gone\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.into.close()
        self.out.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
