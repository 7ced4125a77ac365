"""The programs that are needed: GNU make; and git, where apps are git work trees."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence

from appagent import __version__
from appagent.doctor.finding import Finding, Item, Step, note, ok, problem, warning
from appagent.doctor.programs import ask, path_of

SOFTWARE = "software"
_OLDEST_MAKE = (3, 82)  # it can be asked for its targets


def check() -> Iterator[Item]:
    """Python and make."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield ok(SOFTWARE, f"appagent {__version__} on Python {version} ({sys.executable})")
    yield Step("running make --version")
    path = path_of("make")
    answer = ask("make", "--version") if path else None
    yield judge_make(path, answer.stdout if answer else "")


def version_of(text: str) -> tuple[int, ...]:
    """Make a version comparable, as far as it consists of numbers."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def judge_make(path: str | None, text: str) -> Finding:
    """Judge the output of `make --version`."""
    if path is None:
        return problem(SOFTWARE, "make is not installed", "install GNU make")
    found = re.match(r"GNU Make (\d+(?:\.\d+)*)", text)
    if found is None:
        do = "install GNU make and let PATH find it as make"
        return problem(SOFTWARE, f"{path} is not GNU make", do)
    if version_of(found[1]) < _OLDEST_MAKE:
        return problem(SOFTWARE, f"GNU make {found[1]} is too old", "install 3.82 or newer")
    return ok(SOFTWARE, f"GNU make {found[1]} ({path})")


def check_git(apps: Sequence[str]) -> Iterator[Item]:
    """Git for apps that are work trees: the agent reads those by itself, targets may call it."""
    yield Step("running git --version")
    answer = ask("git", "--version") if path_of("git") else None
    if answer is None:
        text = f"git is not installed; the agent does not need it, targets may ({', '.join(apps)})"
        yield note(SOFTWARE, text, "install git if one of them calls it")
    elif answer.code:
        yield warning(SOFTWARE, f"git does not work: {answer.stderr.strip()}", "git --version")
    else:
        yield ok(SOFTWARE, answer.stdout.strip())
