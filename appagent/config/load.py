"""The node's configuration: files → trees → values → Settings, with every error at once.

Each file is read and checked by itself, so that nothing wrong hides behind a later file; then the
trees are merged, and what concerns the whole is checked on that. Nothing here asks a name service.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

from appagent.config import files
from appagent.config.merge import merged, root_path, same_root_twice
from appagent.config.schema import NODE, ROOT
from appagent.config.validate import ConfigErrors, Reader, Values
from appagent.config.values import BadValueError, plain_name
from appagent.config.yaml_tree import (
    Limits,
    Listing,
    Map,
    Node,
    Place,
    Problem,
    TreeError,
    grow,
    joined,
    printable,
)
from appagent.core.settings import laid_over
from appagent.model.settings import AppSettings, NotifySettings, Rollout, RootSettings, Settings
from appagent.model.words import Layout, Target

LIMITS = Limits(characters=files.MOST_BYTES, nodes=20_000)


class Machine(NamedTuple):
    """What the configuration depends on beside its text."""

    host: str
    cores: int
    root: bool  # the agent runs as root

    @classmethod
    def here(cls) -> Machine:
        """Ask this machine."""
        return cls(socket.gethostname(), len(os.sched_getaffinity(0)), os.geteuid() == 0)


class Loaded(NamedTuple):
    """A configuration that can be used."""

    settings: Settings
    warnings: tuple[str, ...]
    files: tuple[str, ...]
    places: Mapping[str, str]  # of what can only be checked by asking: path → "file:line"


def load(path: str | None = None, machine: Machine | None = None) -> Loaded:
    """Read the configuration, or raise ConfigErrors with all that is wrong with it.

    It is the file `path`, else $APPAGENT_CONFIG, else the default; then conf.d/*.yaml beside it,
    in lexical order. Maps merge by key, and a later file wins; roots are merged by their path.
    Where the agent is root, none of it may be writable by everybody.
    """
    machine = machine or Machine.here()
    main = files.main_file(path)
    more, warnings, problems = files.conf_d(main)
    if machine.root:
        problems += [_open_to_all(name) for name in files.open_directories(main)]
    trees = []
    for name in [main, *more]:
        try:
            text = files.read(name, main=name is main)
            tree, found = grow(text.text, text.file, LIMITS)
        except TreeError as error:
            problems.append(error.problem)
            continue
        if machine.root and text.open_to == files.EVERYBODY:
            problems.append(_open_to_all(text.file))
        elif machine.root and text.open_to:
            warnings.append(
                f"{text.file}: may be written by {text.open_to}, and decides what root does"
            )
        trees.append(tree)
        problems += found
        problems += _checked_alone(tree)
    if len(trees) <= len(more):
        raise ConfigErrors(problems)  # nothing can be said of the whole without one of its files
    whole = _Whole(merged(trees), machine)
    problems += whole.problems
    if problems:
        raise ConfigErrors(problems)
    names = tuple(printable(name) for name in [main, *more])
    return Loaded(whole.settings, (*warnings, *whole.warnings), names, whole.places)


def _open_to_all(path: str) -> Problem:
    """Refuse what anybody could have written, as sudo and cron do: it decides what root runs."""
    what = f"may be written by everybody, and decides what root does: chmod o-w {path}"
    return Problem(Place(path, 0), "", what)


def _checked_alone(tree: Map) -> list[Problem]:
    """Say what is wrong with one file, whatever the others say."""
    reader = Reader()
    reader.table(tree, NODE)
    for number, item, first in same_root_twice(tree):
        what = f"is the same root as in line {first.place.line}"
        reader.wrong(item.keys["path"], f"roots[{number}].path", what)
    return reader.problems


class _Whole:
    """The merged tree as Settings, and what is wrong with it as a whole."""

    def __init__(self, tree: Map, machine: Machine) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.places: dict[str, str] = {}
        self._tree = tree
        self._machine = machine
        values = cast("dict[str, Any]", Reader().table(tree, NODE))
        roots = self._roots()
        defaults = laid_over(AppSettings(), app_fields(values.get("defaults", {}), Rollout()))
        self._in_order("defaults", ("defaults",), defaults)
        apps = {}
        for name, said in values.get("apps", {}).items():
            apps[name] = app_fields(said, defaults.rollout)
            self._in_order(joined("apps", name), ("apps", name), laid_over(defaults, apps[name]))
        log, metrics = values.get("log", {}), values.get("metrics", {})
        settings = Settings(
            environment=values.get("environment", ""),
            node=self._node(values),
            roots=roots,
            defaults=defaults,
            apps=apps,
            parallel_apps=values.get("parallel_apps") or max(4, 2 * machine.cores),
            log_level=log.get("level", "info"),
            log_format=log.get("format", "auto"),
            metrics_listen=metrics.get("listen"),
            notify=tuple(NotifySettings(**one) for one in values.get("notify", ()) if _whole(one)),
        )
        own = {key: values[key] for key in ("state_dir", "runtime_dir") if key in values}
        self.settings = replace(settings, **own)
        self._own_directories()

    def _wrong(self, node: Node | Place, path: str, what: str) -> None:
        place = node if isinstance(node, Place) else node.place
        self.problems.append(Problem(place, path, what))

    def _place(self, *path: str) -> Place | None:
        """Say where a key was written, or None where it was not."""
        node: Node = self._tree
        place = None
        for step in path:
            if not isinstance(node, Map) or step not in node.entries:
                return None
            place, node = node.keys[step], node.entries[step]
        return place

    def _node(self, values: Values) -> str:
        """Give this node's name; the host's must be fit for it too."""
        if "node" in values or self._place("node"):
            return str(values.get("node", ""))
        try:
            name = plain_name(self._machine.host)
        except BadValueError as wrong:
            what = f"must be given, for the host's name cannot stand for it: {wrong}"
            self._wrong(self._tree, "node", what)
            return ""
        if name.partition(".")[0] == "localhost":
            self.warnings.append(
                f"{self._tree.place.file}: node: the host's name is {name}, as on other hosts;"
                " give each node a name of its own"
            )
        return name

    def _roots(self) -> tuple[RootSettings, ...]:
        """Build the roots one by one: a bad one is left out, and the others are still checked."""
        listing = self._tree.entries.get("roots")
        items = listing.items if isinstance(listing, Listing) else []
        if listing is None or (isinstance(listing, Listing) and not items):
            what = "must be given: the directories whose children are apps (`- path: /files/…`)"
            self._wrong(self._tree.keys.get("roots", self._tree.place), "roots", what)
        roots: list[RootSettings] = []
        for item in items:
            path = root_path(item)
            if path is None or not isinstance(item, Map):
                continue
            for other in roots:
                self._apart(item, path, other.path)
            fields = cast("dict[str, Any]", Reader().table(item, ROOT))
            fields["path"] = path
            self._run_as(item, path, fields)
            roots.append(RootSettings(**fields))
        return tuple(roots)

    def _apart(self, item: Map, path: str, other: str) -> None:
        if path != other and (_inside(path, other) or _inside(other, path)):
            what = f"overlaps the root {other}: an app would be seen twice"
            self._wrong(item.keys["path"], f"roots[{path}].path", what)

    def _run_as(self, item: Map, path: str, fields: dict[str, Any]) -> None:
        where = f"roots[{path}].run_as"
        place = item.keys.get("run_as", item.place)
        for key in ("run_as", "trusted_owners"):
            if key in item.keys:
                at = item.keys[key]
                self.places[f"roots[{path}].{key}"] = f"{at.file}:{at.line}"
        user = fields.get("run_as")
        if self._machine.root:
            if "run_as" not in item.entries:
                what = "must be given, as the agent runs as root: a user, owner, or root"
                self._wrong(place, where, what)
            elif user == "self":
                self._wrong(place, where, "self is root here: write root, if that is meant")
        elif user not in {None, "self"}:
            self.warnings.append(
                f"{place.file}:{place.line}: {where}: the agent is not root and runs everything"
                f" as itself, not as {user}"
            )

    def _in_order(self, path: str, keys: tuple[str, ...], app: AppSettings) -> None:
        """Check what two keys say together, where one of them was written."""
        place = self._place(*keys, "retry", "first") or self._place(*keys, "retry", "max")
        if place and app.retry_first > app.retry_max:
            what = f"first ({app.retry_first:g}s) is longer than max ({app.retry_max:g}s)"
            self._wrong(place, joined(path, "retry"), what)
        place = self._place(*keys, "settle") or self._place(*keys, "max_wait")
        if place and app.settle > app.max_wait:
            what = f"is longer ({app.settle:g}s) than max_wait ({app.max_wait:g}s)"
            self._wrong(place, joined(path, "settle"), what)

    def _own_directories(self) -> None:
        for key in ("state_dir", "runtime_dir"):
            own: str = getattr(self.settings, key)
            for root in self.settings.roots:
                if own == root.path or _inside(own, root.path):
                    place = self._place(key) or self._place("roots") or self._tree.place
                    what = f"{own} lies in the root {root.path}; it must be on the local disk"
                    self._wrong(place, key, what)


def _inside(path: str, directory: str) -> bool:
    return path.startswith(directory + "/")


def _whole(notify: Mapping[str, object]) -> bool:
    return "url" in notify and "on" in notify


def app_fields(values: Mapping[str, Any], rollout: Rollout) -> dict[str, Any]:
    """Turn what a file says of an app into fields of AppSettings; only those it speaks of.

    `rollout` is the one that a partial rollout completes.
    """
    fields = dict(values)
    if "layout" in fields:
        fields["layout"] = None if fields["layout"] == "auto" else Layout(fields["layout"])
    retry = fields.pop("retry", {})
    fields |= {f"retry_{key}": value for key, value in retry.items()}
    if "timeout" in fields:
        fields["timeout"] = {Target(key): value for key, value in fields["timeout"].items()}
    if "rollout" in fields:
        fields["rollout"] = replace(rollout, **_rollout(fields["rollout"]))
    return fields


def _rollout(values: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(values)
    parallel = fields.pop("parallel", None)
    if isinstance(parallel, int):
        fields |= {"parallel_count": parallel, "parallel_share": None}
    elif parallel is not None:
        fields |= {"parallel_count": None, "parallel_share": parallel}
    return fields
