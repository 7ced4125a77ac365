"""The .PHONY trap, from the text of a Makefile."""

import pytest

from appagent.doctor.makefile import rules, trapped, without_targets

PLAIN = "install:\n\ttouch x\nstart: install\n\t./start\n"


@pytest.mark.parametrize(
    ("text", "names", "caught"),
    [
        (PLAIN, ["Makefile", "x"], ()),
        (PLAIN, ["install"], ("install",)),
        (PLAIN, ["start", "install"], ("install", "start")),
        (".PHONY: install\n" + PLAIN, ["install"], ()),
        (".PHONY: start\n" + PLAIN, ["install"], ("install",)),
        (PLAIN + ".PHONY: a \\\n  install \\\n  start\n", ["install", "start"], ()),
        (".PHONY : install # and start\n" + PLAIN, ["start"], ("start",)),
        ("install start: dep\n\techo\n", ["start"], ("start",)),
        ("install:: one\n\techo\n", ["install"], ("install",)),
        ("install:\r\n\techo\r\n", ["install"], ("install",)),
        ("install := yes\nstart = no\nstop ?= x\nother:\n", ["install", "start", "stop"], ()),
        ("define x\ninstall: y\nendef\n", ["install"], ()),
        ("\tinstall: in a recipe\n", ["install"], ()),
        ("# install:\n", ["install"], ()),
        ("restart:\n\techo start:\n", ["start"], ()),
    ],
)
def test_targets_that_make_takes_for_files(
    text: str, names: list[str], caught: tuple[str, ...]
) -> None:
    assert trapped(text, names) == (caught, True)


@pytest.mark.parametrize(
    "line",
    [
        "include common.mk",
        "-include .env",
        "sinclude x",
        ".PHONY: $(TARGETS)",
        "$(TARGETS): dep",
        "%: %.sh",
        "$(eval $(call rule,install))",
    ],
)
def test_what_is_computed_or_included_is_only_a_perhaps(line: str) -> None:
    caught, sure = trapped(f"{line}\n{PLAIN}", ["install"])
    assert caught == ("install",)
    assert not sure


def test_a_makefile_without_any_of_the_targets_is_told_only_when_that_is_sure() -> None:
    assert without_targets("all:\n\techo\n")
    assert without_targets("")
    assert not without_targets(PLAIN)
    assert not without_targets("include rules.mk\nall:\n")
    assert not without_targets(".DEFAULT:\n\techo\n")


def test_prerequisites_are_no_rules() -> None:
    assert rules("all: install start\n").named == {"all"}


def test_any_text_at_all_is_read() -> None:
    for text in ("\0", ":", "::", ":::=", "\\\n", "define", "a:" * 10_000, "\ud800:"):
        trapped(text, ["install"])
