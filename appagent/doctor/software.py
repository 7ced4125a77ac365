"""What must be installed: Python, its packages, GNU make; and git, where apps come with it."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Callable, Iterator, Sequence

from appagent import __version__
from appagent.doctor.finding import Doing, Finding, Said, note, ok, problem, warning
from appagent.doctor.programs import ask, path_of

SOFTWARE = "software"
_MAKE_WITH_EVAL = (3, 82)


def look() -> Iterator[Said]:
    """Python, the packages, make."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield ok(SOFTWARE, f"appagent {__version__} on Python {version} ({sys.executable})")
    yield from packages(_requires(), importlib.metadata.version)
    yield Doing("asking make for its version")
    path = path_of("make")
    answer = ask("make", "--version") if path else None
    yield judge_make(path, answer.text if answer else "")


def _requires() -> Sequence[str]:
    try:
        return importlib.metadata.requires("appagent") or ()
    except importlib.metadata.PackageNotFoundError:
        return ()


def packages(requires: Sequence[str], version_of: Callable[[str], str]) -> Iterator[Finding]:
    """Judge the packages against what appagent says that it needs."""
    if not requires:
        text = "appagent is not installed as a package, so the versions of others cannot be judged"
        yield note(SOFTWARE, text)
        return
    good = []
    for line in requires:
        need, _, marker = line.partition(";")
        found = re.match(r"\s*([\w.-]+)\s*(?:\[[^]]*\])?\s*(.*)", need)
        if "extra" in marker or found is None:
            continue
        name, bounds = found[1], found[2].strip(" ()")
        do = f"pip install '{need.strip()}' in the venv of appagent"
        try:
            has = version_of(name)
        except importlib.metadata.PackageNotFoundError:
            yield problem(SOFTWARE, f"the package {name} is not installed", do)
            continue
        least = re.search(r">=\s*([\d.]+)", bounds)
        if least and numbers(has) < numbers(least[1]):
            yield problem(SOFTWARE, f"{name} {has} is older than {least[1]}", do)
        else:
            good.append(f"{name} {has}")
    if good:
        yield ok(SOFTWARE, ", ".join(good))


def numbers(version: str) -> tuple[int, ...]:
    """Make a version comparable, as far as it is numbers."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def judge_make(path: str | None, text: str) -> Finding:
    """Judge what `make --version` says."""
    if path is None:
        return problem(SOFTWARE, "there is no make here", "install GNU make")
    found = re.match(r"GNU Make (\d+(?:\.\d+)*)", text)
    if found is None:
        text = f"{path} is not GNU make"
        return problem(SOFTWARE, text, "install GNU make and have it found by PATH as make")
    if numbers(found[1]) < _MAKE_WITH_EVAL:
        text = f"GNU make {found[1]} is too old to be asked for its targets"
        return problem(SOFTWARE, text, "GNU make 3.82 or newer")
    return ok(SOFTWARE, f"GNU make {found[1]} ({path})")


def git(apps: Sequence[str]) -> Iterator[Said]:
    """Whether git is here; the agent reads a work tree without it, targets may need it."""
    if not apps:
        return
    yield Doing("asking git for its version")
    answer = ask("git", "--version") if path_of("git") else None
    if answer is None:
        text = f"there is no git here; the agent needs none, targets may ({', '.join(apps)})"
        yield note(SOFTWARE, text, "install git, if one of them calls it")
    elif answer.code:
        yield warning(SOFTWARE, f"git does not work: {answer.words.strip()}", "git --version")
    else:
        yield ok(SOFTWARE, answer.text.strip())
