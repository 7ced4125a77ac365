"""Builds Settings from the merged tree, and checks what concerns several values at once."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

from appagent.config.merge import root_path
from appagent.config.problems import Position, Problem, join_path
from appagent.config.schema import NODE, ROOT
from appagent.config.validate import Validator, Values
from appagent.config.values import BadValueError, plain_name
from appagent.config.yaml_tree import List, Map, Node
from appagent.core.settings import laid_over
from appagent.model.settings import AppSettings, NotifySettings, Rollout, RootSettings, Settings
from appagent.model.words import Layout, Target


class Machine(NamedTuple):
    """What the configuration depends on beside its text."""

    host: str
    cores: int
    root: bool  # the agent runs as root

    @classmethod
    def local(cls) -> Machine:
        """Describe this machine."""
        return cls(socket.gethostname(), len(os.sched_getaffinity(0)), os.geteuid() == 0)


class Builder:
    """Builds Settings once. Values that are wrong have been reported, and are left out here."""

    def __init__(self, tree: Map, machine: Machine) -> None:
        self.tree = tree
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.positions: dict[str, str] = {}
        self._machine = machine

    def build(self) -> Settings:
        """Build the settings; they are valid only if `problems` stays empty."""
        values = cast("dict[str, Any]", Validator().table(self.tree, NODE))
        roots = self._roots()
        defaults = laid_over(AppSettings(), app_fields(values.get("defaults", {}), Rollout()))
        self._check_order("defaults", ("defaults",), defaults)
        apps = {}
        for name, of_app in values.get("apps", {}).items():
            apps[name] = app_fields(of_app, defaults.rollout)
            app = laid_over(defaults, apps[name])
            self._check_order(join_path("apps", name), ("apps", name), app)
        log, metrics, notify = (values.get(key, {}) for key in ("log", "metrics", "notify"))
        settings = Settings(
            environment=values.get("environment", ""),
            node=self._node(values),
            roots=roots,
            defaults=defaults,
            apps=apps,
            parallel_apps=values.get("parallel_apps") or max(4, 2 * self._machine.cores),
            log_level=log.get("level", "info"),
            log_format=log.get("format", "auto"),
            metrics_listen=metrics.get("listen"),
            notify=tuple(NotifySettings(**one) for one in notify if {"url", "on"} <= one.keys()),
        )
        given = {key: values[key] for key in ("state_dir", "runtime_dir") if key in values}
        settings = replace(settings, **given)
        self._check_directories(settings)
        return settings

    def _wrong(self, position: Position, path: str, message: str) -> None:
        self.problems.append(Problem(position, path, message))

    def _position(self, *path: str) -> Position | None:
        """Return the position of a key, or None where it was not written."""
        node: Node = self.tree
        position = None
        for step in path:
            if not isinstance(node, Map) or step not in node.entries:
                return None
            position, node = node.keys[step], node.entries[step]
        return position

    def _node(self, values: Values) -> str:
        """Return the node's name; the host name must be fit for it too."""
        if "node" in values or self._position("node"):
            return str(values.get("node", ""))
        try:
            name = plain_name(self._machine.host)
        except BadValueError as wrong:
            message = f"is required, as the host name cannot be used for it: {wrong}"
            self._wrong(self.tree.position, "node", message)
            return ""
        if name.partition(".")[0] == "localhost":
            self.warnings.append(
                f"{self.tree.position.file}: node: the host name is {name}, as on other hosts;"
                " give each node its own name"
            )
        return name

    def _roots(self) -> tuple[RootSettings, ...]:
        """Build the roots one by one: a bad one is left out, and the others are still checked."""
        written = self.tree.entries.get("roots")
        items = written.items if isinstance(written, List) else []
        if written is None or (isinstance(written, List) and not items):
            message = "is required: the directories whose children are apps (`- path: /files/…`)"
            self._wrong(self.tree.keys.get("roots", self.tree.position), "roots", message)
        roots: list[RootSettings] = []
        for item in items:
            path = root_path(item)
            if path is None or not isinstance(item, Map):
                continue
            for other in roots:
                if _inside(path, other.path) or _inside(other.path, path):
                    message = f"overlaps the root {other.path}: an app would be in both"
                    self._wrong(item.keys["path"], f"roots[{path}].path", message)
            fields = cast("dict[str, Any]", Validator().table(item, ROOT)) | {"path": path}
            self._check_run_as(item, path, fields.get("run_as"))
            roots.append(RootSettings(**fields))
        return tuple(roots)

    def _check_run_as(self, root: Map, path: str, user: str | None) -> None:
        where = f"roots[{path}].run_as"
        position = root.keys.get("run_as", root.position)
        for key in {"run_as", "trusted_owners"} & root.keys.keys():
            self.positions[f"roots[{path}].{key}"] = str(root.keys[key])
        if self._machine.root:
            if "run_as" not in root.entries:
                message = "is required, as the agent runs as root: a user, owner, or root"
                self._wrong(position, where, message)
            elif user == "self":
                self._wrong(position, where, "self is root here: write root if you mean it")
        elif user not in {None, "self"}:
            self.warnings.append(
                f"{position}: {where}: the agent is not root and runs everything as itself,"
                f" not as {user}"
            )

    def _check_order(self, path: str, keys: tuple[str, ...], app: AppSettings) -> None:
        """Check rules between two keys, where one of them was written."""
        written = self._position
        retry = written(*keys, "retry", "first") or written(*keys, "retry", "max")
        if retry and app.retry_first > app.retry_max:
            message = f"first ({app.retry_first:g}s) is longer than max ({app.retry_max:g}s)"
            self._wrong(retry, join_path(path, "retry"), message)
        settle = written(*keys, "settle") or written(*keys, "max_wait")
        if settle and app.settle > app.max_wait:
            message = f"is longer ({app.settle:g}s) than max_wait ({app.max_wait:g}s)"
            self._wrong(settle, join_path(path, "settle"), message)

    def _check_directories(self, settings: Settings) -> None:
        for key in ("state_dir", "runtime_dir"):
            path: str = getattr(settings, key)
            for root in settings.roots:
                if path == root.path or _inside(path, root.path):
                    position = self._position(key) or self._position("roots")
                    message = f"{path} is inside the root {root.path}; it must be on a local disk"
                    self._wrong(position or self.tree.position, key, message)


def _inside(path: str, directory: str) -> bool:
    return path.startswith(directory + "/")


def app_fields(values: Mapping[str, Any], rollout: Rollout) -> dict[str, Any]:
    """Turn the values of an app into fields of AppSettings, without what was not written.

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
        given = dict(fields["rollout"])
        if parallel := given.pop("parallel", None):
            number = isinstance(parallel, int)  # else a share of the live nodes
            given["parallel_count"] = parallel if number else None
            given["parallel_share"] = None if number else parallel
        fields["rollout"] = replace(rollout, **given)
    return fields
