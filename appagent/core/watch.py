"""What the eyes are to watch: the roots with each app's settings, and the env files.

Pure, so that the daemon can compare the new list with the one that was sent last.
"""

from __future__ import annotations

from typing import Any

from appagent.core.settings import settings_for
from appagent.core.state import App, Node
from appagent.core.want import env_paths, trouble
from appagent.model import AppSettings, Layout, RootSettings

SCHEME = "tree.1"  # of the signatures that the eye makes now


def root_watch(node: Node, root: RootSettings) -> dict[str, Any]:
    """One root as the eye is told of it; of the apps only what differs from the defaults."""
    defaults = node.settings.defaults
    apps: dict[str, Any] = {}
    mine = {name: app for name, app in node.apps.items() if app.record.root == root.path}
    for name in sorted(mine.keys() | node.settings.apps.keys()):
        app = mine.get(name)
        settings = settings_for(node.settings, name, app.own if app else {})
        entry = watched(settings)
        also = older_id(app, settings) if app else None
        if also or entry != watched(defaults):
            apps[name] = {**entry, "also": also}
    return {
        "path": root.path,
        "watch": root.watch,
        "interval": root.interval,
        "scan_interval": root.scan_interval,
        "must_mount": must_mount(node, root),
        "include": list(root.include),
        "exclude": list(root.exclude),
        **watched(defaults),
        "apps": apps,
        "known": sorted(mine),
    }


def watched(settings: AppSettings) -> dict[str, Any]:
    """The settings of an app that matter to whoever looks at it."""
    return {
        "layout": settings.layout,
        "settle": settings.settle,
        "ignore": list(settings.ignore),
    }


def older_id(app: App, settings: AppSettings) -> dict[str, Any] | None:
    """The scheme and ignore lines of the id that is installed, where they are not today's."""
    record = app.record
    if record.layout is not Layout.TREE or not record.applied.installed.startswith("tree."):
        return None
    scheme = record.applied.installed.partition(":")[0]
    if scheme == SCHEME and record.ignore == settings.ignore:
        return None
    return {"scheme": scheme, "ignore": list(record.ignore)}


def must_mount(node: Node, root: RootSettings) -> bool:
    """A root that is required to be a mounted share, or ever was one, must be one from then on."""
    if root.mount == "optional":
        return False
    return root.mount == "required" or root.path in node.mounted


def env_watch(node: Node) -> list[str]:
    """Every env file that some managed app has."""
    paths: set[str] = set()
    for name, app in node.apps.items():
        root = node.root_settings(app.record.root)
        away = trouble(node, app)
        if root is not None and not (away is not None and away.word == "unmanaged"):
            paths.update(path for path, _ in env_paths(root, name))
    return sorted(paths)
