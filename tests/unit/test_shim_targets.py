"""Which targets a Makefile has, by make's own data base; checked against real make too."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from appagent.core import names
from appagent.shim import targets
from appagent.shim.trust import Refused

PHONY, PLAIN = targets.PHONY, targets.PLAIN


@pytest.mark.parametrize(
    ("makefile", "found"),
    [
        ("", {}),
        ("# nothing\nX = 1\n", {}),
        ("install:\n\ttrue\n", {"install": PLAIN}),
        (".PHONY: install\ninstall:\n\ttrue\n", {"install": PHONY}),
        ("install: ; true\n", {"install": PLAIN}),
        ("install:: ; true\ninstall:: ; false\n", {"install": PLAIN}),
        ("install: dep\ndep:\n\ttrue\n", {"install": PLAIN}),
        ("install: | dep\ndep:\n\ttrue\n", {"install": PLAIN}),
        (".PHONY: start stop\n", {}),
        (".PHONY: start\nstart:\n", {}),
        ("start:\n", {}),
        ("start: ;\n", {"start": PLAIN}),
        ("start stop restart:\n\ttrue\n", {"start": PLAIN, "stop": PLAIN, "restart": PLAIN}),
        ("other: install\n", {}),
        ("install: export X = 1\n", {}),
        ("install: export X = 1\ninstall: dep\ndep: ;\n", {"install": PLAIN}),
        ("%:\n\ttrue\n", dict.fromkeys(targets.TARGETS, PLAIN)),
        (".PHONY: stop\n%:\n\ttrue\n", dict.fromkeys(set(targets.TARGETS) - {"stop"}, PLAIN)),
        ("st%:\n\ttrue\n", {"start": PLAIN, "stop": PLAIN}),
        (".DEFAULT:\n\ttrue\n", dict.fromkeys(targets.TARGETS, PLAIN)),
        ("define X\n\n# Files\n\nstart:\n#  recipe to execute\n\ttrue\nendef\nstop: ;\n",
         {"stop": PLAIN}),
        (".RECIPEPREFIX = >\ninstall:\n>echo start: x\n>stop:\n", {"install": PLAIN}),
        (".ONESHELL:\ninstall:\n\tcat <<-X\n\n\tstart: y\n\n\tX\n", {"install": PLAIN}),
        ("$(info start: x)\n$(info )\n$(info # Files)\nstop: ;\n", {"stop": PLAIN}),
        ("include more.mk\nmore.mk:\n\techo 'start: ; true' >$@\n", {"start": PLAIN}),
        ("-include none.mk\nstop: ;\n", {"stop": PLAIN}),
        ("MAKEFLAGS += -n\nstop: ;\n", {"stop": PLAIN}),
        ("T = start stop\n$(T): ; true\n", {"start": PLAIN, "stop": PLAIN}),
        ("ifdef APP_NAME\nstart: ;\nendif\n", {"start": PLAIN}),
        ("install: FORCE\n\ttrue\nFORCE:\n", {"install": PLAIN}),
        ("é: ;\nstop: ;\n", {"stop": PLAIN}),
    ],
)  # fmt: skip
def test_the_targets_are_those_that_make_knows(
    makefile: str, found: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = shutil.which("make")
    assert make is not None
    (tmp_path / "Makefile").write_text(makefile)
    monkeypatch.chdir(tmp_path)
    environment = {"PATH": os.environ["PATH"], "APP_NAME": "web"}
    assert targets.ask(make, environment) == found


def test_what_make_cannot_read_is_reported_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = shutil.which("make")
    assert make is not None
    (tmp_path / "Makefile").write_text("include missing.mk\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(targets.Unreadable) as told:
        targets.ask(make, {"PATH": os.environ["PATH"]})
    assert str(told.value) == "No rule to make target 'missing.mk'.  Stop."
    assert told.value.status == 2


def test_another_make_is_not_taken_for_gnu_make(tmp_path: Path) -> None:
    other = tmp_path / "make"
    other.write_text("#!/bin/sh\necho bmake\n")
    other.chmod(0o755)
    with pytest.raises(Refused, match="install GNU make"):
        targets.ask(str(other), {"PATH": os.environ["PATH"]})


def test_a_makefile_that_prints_without_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "make"
    other.write_text("#!/bin/sh\nexec yes\n")
    other.chmod(0o755)
    monkeypatch.setattr(targets, "_MAX_ANSWER", 100_000)
    with pytest.raises(targets.Unreadable, match="produces endless output"):
        targets.ask(str(other), {"PATH": os.environ["PATH"]})


def test_makefiles_are_called_as_the_looks_know_them() -> None:
    assert targets.MAKEFILES == names.MAKEFILES
