"""The directories of the agent, also where the configuration is wrong elsewhere.

An agent that runs keeps the configuration that it has loaded, so a file that was broken since must
not hide it. Of such a file only the two keys of its directories are read: from its tree, or line by
line where it is not even YAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from appagent.config import files
from appagent.config.load import LIMITS, load
from appagent.config.problems import ParseError
from appagent.config.validate import ConfigErrors
from appagent.config.values import BadValueError, directory
from appagent.config.yaml_tree import UNPRINTABLE, Scalar, parse
from appagent.model.settings import Settings

_KEYS = ("state_dir", "runtime_dir")
_LINE = re.compile(
    r"""(?m)(?:^|[{,])[ \t]*["']?(state_dir|runtime_dir)["']?[ \t]*:[ \t]*["']?(/[^"'#,}\n]*)"""
)


class Located(NamedTuple):
    """The directories of the agent, and the lines that say what is wrong with the configuration."""

    state_dir: str
    runtime_dir: str
    errors: tuple[str, ...] = ()

    @property
    def socket(self) -> str:
        """The path of the control socket."""
        return f"{self.runtime_dir}/control.sock"


def locate(path: str | None = None) -> Located:
    """Find the agent's directories. `path` as for `load`; nothing is raised."""
    try:
        settings = load(path).settings
    except ConfigErrors as wrong:
        main = files.main_file(path)
        found = dict(_written([main, *files.conf_d(main)[0]]))
        defaults = {key: getattr(Settings(), key) for key in _KEYS}
        return Located(**{**defaults, **found}, errors=wrong.errors)
    return Located(settings.state_dir, settings.runtime_dir)


def _written(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the keys and their values in the order of the files; an invalid one is skipped."""
    for name in names:
        try:
            text = files.content(name)[0].decode("utf-8", "replace")
        except ParseError:
            continue
        for key, value in _pairs(text, name):
            if UNPRINTABLE.search(value):
                continue
            try:
                yield key, directory(value.strip())
            except BadValueError:
                continue


def _pairs(text: str, name: str) -> list[tuple[str, str]]:
    try:
        tree, _ = parse(text, name, LIMITS)
    except ParseError:
        return _LINE.findall(text)
    scalars = ((key, tree.entries.get(key)) for key in _KEYS)
    return [(key, node.text) for key, node in scalars if isinstance(node, Scalar)]
