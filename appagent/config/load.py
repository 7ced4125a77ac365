"""The node's configuration: files → trees → values → Settings, with every error at once.

Each file is parsed and validated by itself, so that nothing wrong hides behind a later file; then
the trees are merged, and what concerns the whole is checked on that. Nothing here asks a name
service.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from appagent.config import files
from appagent.config.build import Builder, Machine
from appagent.config.merge import duplicate_roots, merge
from appagent.config.problems import ParseError, Position, Problem, printable
from appagent.config.schema import NODE
from appagent.config.validate import ConfigErrors, Validator
from appagent.config.yaml_tree import Limits, Map, parse
from appagent.model.settings import Settings

LIMITS = Limits(characters=files.MAX_BYTES, values=20_000, aliases=True)


class Loaded(NamedTuple):
    """A configuration that can be used."""

    settings: Settings
    warnings: tuple[str, ...]
    files: tuple[str, ...]
    tree: Map  # of all files, with the position of each value
    positions: Mapping[str, str]  # of names that can only be looked up: path → "file:line"


def load(path: str | None = None, machine: Machine | None = None) -> Loaded:
    """Read the configuration, or raise ConfigErrors with everything that is wrong with it.

    It is the file `path`, else $APPAGENT_CONFIG, else the default; then conf.d/*.yaml beside it,
    in lexical order. Maps merge by key, and a later file wins; roots are merged by their path.
    Where the agent is root, none of it may be writable by everybody.
    """
    machine = machine or Machine.local()
    main = files.main_file(path)
    more, warnings, problems = files.conf_d(main)
    if machine.root:
        problems += [_open_to_all(name) for name in files.open_directories(main)]
    trees = []
    for name in [main, *more]:
        try:
            text = files.read(name, main=name is main)
            tree, found = parse(text.text, text.file, LIMITS)
        except ParseError as error:
            problems.append(error.problem)
            continue
        if machine.root and text.writers == files.EVERYBODY:
            problems.append(_open_to_all(text.file))
        elif machine.root and text.writers:
            warnings.append(
                f"{text.file}: {text.writers} can write it, and it decides what root does"
            )
        trees.append(tree)
        problems += found
        problems += _validate(tree)
    if len(trees) <= len(more):
        raise ConfigErrors(problems)  # without one of its files the whole cannot be judged
    builder = Builder(merge(trees), machine)
    settings = builder.build()
    problems += builder.problems
    if problems:
        raise ConfigErrors(problems)
    names = tuple(printable(name) for name in [main, *more])
    return Loaded(settings, (*warnings, *builder.warnings), names, builder.tree, builder.positions)


def _open_to_all(path: str) -> Problem:
    """Refuse what anybody could have written, as sudo and cron do: it decides what root runs."""
    message = f"everybody can write it, and it decides what root does: chmod o-w {path}"
    return Problem(Position(path, 0), "", message)


def _validate(tree: Map) -> list[Problem]:
    """Find what is wrong with one file, whatever the others contain."""
    validator = Validator()
    validator.table(tree, NODE)
    for number, item, first in duplicate_roots(tree):
        message = f"is the same root as in line {first.position.line}"
        validator.wrong(item.keys["path"], f"roots[{number}].path", message)
    return validator.problems
