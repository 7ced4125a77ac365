"""The .PHONY trap, told from the text of a Makefile alone: asking make would run code of the app.

Make takes a target that is not phony for a file. Where a file or directory of that name lies
beside the Makefile, `make install` says that it is up to date, does nothing and succeeds. Only
what stands in the text itself is understood here: with an include or a computed name the answer is
a "perhaps", and so is said as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from appagent.model.words import Target

_RULE = re.compile(r"([^:#=\t][^:#=]*?)\s*::?(?![:=])([^#]*)")
_INCLUDE = re.compile(r"\s*-?s?include\s")


@dataclass(frozen=True, slots=True)
class Rules:
    """The targets that a Makefile's text speaks of."""

    named: frozenset[str]  # they have a rule
    phony: frozenset[str]
    sure: bool  # nothing is computed or lies in another file


def rules(text: str) -> Rules:
    """Read the rules' heads."""
    named: set[str] = set()
    phony: set[str] = set()
    sure = True
    in_define = False
    for line in text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines():
        word = line.split(None, 1)[0] if line.split() else ""
        in_define = (in_define or word == "define") and word != "endef"
        if in_define or not word or line.startswith("\t"):
            continue
        sure = sure and not _INCLUDE.match(line) and not word.startswith("$(eval")
        found = _RULE.match(line)
        if found is None:
            continue
        heads, needs = found[1].split(), found[2].partition(";")[0].split()
        sure = sure and not any("$" in head or "%" in head or head == ".DEFAULT" for head in heads)
        if ".PHONY" in heads:
            phony.update(needs)
            sure = sure and not any("$" in need for need in needs)
        named.update(heads)
    return Rules(frozenset(named), frozenset(phony), sure)


def trapped(text: str, names: Iterable[str]) -> tuple[tuple[str, ...], bool]:
    """Give the targets that make will take for files that are there, and whether that is sure."""
    found = rules(text)
    there = set(names)
    caught = [
        str(target)
        for target in Target
        if target in there and target in found.named and target not in found.phony
    ]
    return tuple(caught), found.sure


def without_targets(text: str) -> bool:
    """Whether it certainly has none of the targets that the agent calls."""
    found = rules(text)
    return found.sure and not found.named & {str(target) for target in Target}
