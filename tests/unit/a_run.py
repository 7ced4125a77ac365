"""A run as the core would decide it, for the tests of what is kept of one."""

from __future__ import annotations

from appagent.model.applied import Run
from appagent.model.words import Layout, Now, Target, Version

VERSION = Version("symlink.1:releases/2:9", "env.1:1")


def run_of(number: int = 7, target: Target = Target.RESTART, app: str = "web") -> Run:
    return Run(
        id=f"{number:011x}-1",
        app=app,
        root="/files",
        target=target,
        version=VERSION,
        previous="",
        layout=Layout.SYMLINK,
        release_dir="/files/web/releases/2",
        reason="new release",
        deploy="",
        timeout=10.0,
        grace=1.0,
        began=Now(0.0, 0.0),
    )
