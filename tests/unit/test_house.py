"""The contracts of imports in pyproject.toml hold, and notice a wrong import in each direction."""

import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FLOORS = [
    *(("cli",), ("commands",), ("doctor",), ("daemon",), ("share", "run", "report"), ("shim",)),
    *(("config", "state"), ("host",), ("core",), ("model",)),
]
IMPURE = ("asyncio", "os", "socket", "subprocess", "threading", "time")
HEAVY = ("asyncio", "dataclasses", "enum", "json", "logging", "pathlib", "subprocess")


def upward() -> list[tuple[str, str]]:
    """Each folder, and one that it must not import: the floor above, and its neighbours."""
    pairs = [(low, high) for above, below in pairwise(FLOORS)
             for low in below for high in above]  # fmt: skip
    beside = [(one, other) for floor in FLOORS for one in floor for other in floor if one != other]
    return pairs + beside


def contracts(at: Path) -> str:
    """What the checker says of the package there."""
    program = "from importlinter.cli import lint_imports_command as c; c()"
    arguments = ["--no-logo", "--no-cache"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=at,
        check=False,
        capture_output=True,
        text=True,
    )
    assert not done.stderr, done.stderr
    return re.sub(r"\s+", " ", done.stdout)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is said of a copy in which every folder imports what it must not."""
    at = tmp_path_factory.mktemp("planted")
    shutil.copy(REPOSITORY / "pyproject.toml", at)
    shutil.copytree(REPOSITORY / "appagent", at / "appagent")
    for low, high in upward():
        name = "cli" if high == "cli" else f"{high}.wrong_target"
        if high != "cli":
            (at / f"appagent/{high}/wrong_target.py").write_text("")
        (at / f"appagent/{low}/wrong_{high}.py").write_text(f"import appagent.{name}\n")
    for name in IMPURE:
        (at / f"appagent/core/wrong_{name}.py").write_text(f"import {name}\n")
        (at / f"appagent/model/wrong_{name}.py").write_text(f"import {name}\n")
    for name in HEAVY:
        (at / f"appagent/shim/wrong_{name}.py").write_text(f"import {name}\n")
    return contracts(at)


def test_the_house_keeps_its_contracts() -> None:
    assert re.search(r"Contracts: \d+ kept, 0 broken", contracts(REPOSITORY))


@pytest.mark.parametrize(("low", "high"), upward())
def test_an_import_upward_or_of_a_neighbour_is_reported(planted: str, low: str, high: str) -> None:
    assert f"appagent.{low} is not allowed to import appagent.{high}" in planted
    assert f"appagent.{low}.wrong_{high} -> appagent.{high}" in planted


@pytest.mark.parametrize("name", IMPURE)
@pytest.mark.parametrize("folder", ["core", "model"])
def test_deciding_must_not_meet_the_world(planted: str, folder: str, name: str) -> None:
    assert f"appagent.{folder}.wrong_{name} -> {name}" in planted


@pytest.mark.parametrize("name", HEAVY)
def test_the_shim_must_not_import_what_is_slow_to_load(planted: str, name: str) -> None:
    assert f"appagent.shim.wrong_{name} -> {name}" in planted


def test_a_circle_is_reported(planted: str) -> None:
    assert "No cycles are allowed in appagent" in planted
