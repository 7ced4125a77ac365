"""An app that is gone leaves nothing behind but, for a while, what it has printed."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

from appagent.daemon.cleanup import OUTPUT_STAYS
from tests.integration.node import Node, TreeApp, node, wait_until
from tests.integration.shown import QUICK


def is_gone(made: Node, name: str) -> bool:
    return not made.app(name)


def test_an_app_for_each_branch_leaves_nothing_that_grows(tmp_path: Path) -> None:
    with node(tmp_path, **QUICK) as made:
        made.defaults["gone_after"] = "0s"
        made.write_config()
        made.start()
        stays = TreeApp(made, "stays")
        stays.deploy("1")
        for name in ("branch-1", "branch-2"):
            app = TreeApp(made, name)
            app.deploy("1")
            made.wait_for(name, "ok")
            wait_until((made.state / "manifests" / name).is_dir, "its scan is kept")
            app.remove()
            made.command("forget", name)
            wait_until(partial(is_gone, made, name), "it is gone")
            assert not (made.state / "manifests" / name).exists()
            assert not (made.state / "apps" / name).exists()
        made.wait_for("stays", "ok")

        logs = made.state / "log"
        old = time.time() - OUTPUT_STAYS - 60
        for name in ("branch-1", "stays"):
            os.utime(logs / f"{name}.log", (old, old))
        made.restart()
        wait_until(lambda: not (logs / "branch-1.log").exists(), "old output is swept")
        assert (logs / "branch-2.log").exists()
        assert (logs / "stays.log").exists()
