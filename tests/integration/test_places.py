"""Apps that hang keep no other app from its deploy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.node import SymlinkApp, node, wait_until
from tests.integration.shown import QUICK, Shown


@pytest.mark.parametrize("target", ["install", "check"])
def test_while_two_apps_hang_a_third_one_is_deployed(target: str, tmp_path: Path) -> None:
    with node(tmp_path, **QUICK) as made:
        made.settings["parallel_apps"] = "auto"
        made.write_config()
        made.start()
        hang = (
            f"\t@if [ $@ = {target} ]; then until test -e {made.base}/go-on; do sleep 0.1; done; fi"
        )
        for name in ("one", "two"):
            SymlinkApp(made, name).deploy("1", made.makefile(hang))

            def hangs(app: str = name) -> bool:
                run = made.app(app).get("run") or {}
                return bool(run.get("target") == target)

            wait_until(hangs, f"{name} hangs in {target}")
        shown = Shown(made)
        SymlinkApp(made, "three").deploy("1")
        shown.ran("three", "install start check")
        assert [made.app(name)["state"] for name in ("one", "two")] == ["deploying", "deploying"]
        (made.base / "go-on").touch()
        made.wait()


def test_who_has_to_wait_is_told_for_whom(tmp_path: Path) -> None:
    with node(tmp_path, **QUICK) as made:
        made.settings["parallel_apps"] = 1
        made.write_config()
        made.start()
        hang = (
            f"\t@if [ $@ = install ]; then until test -e {made.base}/go-on; do sleep 0.1; done; fi"
        )
        SymlinkApp(made, "slow").deploy("1", made.makefile(hang))
        made.wait_for("slow", "deploying")
        SymlinkApp(made, "quick").deploy("1")
        assert "slow" in made.wait_for("quick", "pending")["why"]
        (made.base / "go-on").touch()
        made.wait()
