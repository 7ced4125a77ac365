"""What a watcher is to watch: made by the daemon, sent as one line, replaced as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from appagent.model.words import Layout


@dataclass(frozen=True, slots=True)
class Also:
    """A second id that is asked for: the one under which the release was applied."""

    scheme: str  # "tree.1", "git.1", "symlink.1"
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AppSpec:
    """How one app is looked at. `layout` None: told by what is there."""

    layout: Layout | None = None
    settle: float = 2.0
    ignore: tuple[str, ...] = ()
    also: Also | None = None


@dataclass(frozen=True, slots=True)
class RootSpec:
    """One root, how it is looked at, and what is known of its apps.

    `must_mount`: it must lie on a share, or on a filesystem that is mounted just there; with
    `was_share`, because it was seen on a share before, only the former will do.
    `known` are the apps that the node has a record of: without a Makefile they are unknown, while
    another directory without one is simply no app.
    """

    path: str
    watch: str = "auto"  # auto | inotify | poll
    interval: float = 0.25
    scan_interval: float = 2.0
    must_mount: bool = False
    was_share: bool = False
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    release_dirs: tuple[str, ...] = ()
    defaults: AppSpec = AppSpec()
    apps: Mapping[str, AppSpec] = field(default_factory=dict)  # only those that differ
    known: tuple[str, ...] = ()

    def spec(self, app: str) -> AppSpec:
        """How this app is looked at."""
        return self.apps.get(app, self.defaults)


@dataclass(frozen=True, slots=True)
class Watchlist:
    """All that one watcher watches.

    `share` is the mount point that the watcher is for, "" for local paths, None where nobody cares:
    what lies on another filesystem than that is left alone, so that a watcher for local paths
    cannot hang because something was mounted over one of them.
    """

    roots: tuple[RootSpec, ...] = ()
    env: tuple[str, ...] = ()
    secret: bytes = field(default=b"", repr=False)
    manifests: str = ""  # directory on the local disk; "": none are kept
    share: str | None = None
    looks_per_second: float = 0.0  # over all markers; 0: no bound

    @property
    def paths(self) -> tuple[str, ...]:
        """The roots and env files by their paths."""
        return (*(root.path for root in self.roots), *self.env)


def to_body(watch: Watchlist) -> dict[str, Any]:
    """Make the body of the `watch` line."""
    return {
        "roots": [_root_body(root) for root in watch.roots],
        "env": list(watch.env),
        "secret": watch.secret.hex(),
        "manifests": watch.manifests,
        "share": watch.share,
        "budget": {"looks_per_second": watch.looks_per_second},
    }


def _root_body(root: RootSpec) -> dict[str, Any]:
    return {
        "path": root.path,
        "watch": root.watch,
        "interval": root.interval,
        "scan_interval": root.scan_interval,
        "must_mount": root.must_mount,
        "was_share": root.was_share,
        "include": list(root.include),
        "exclude": list(root.exclude),
        "release_dirs": list(root.release_dirs),
        **_app_body(root.defaults),
        "apps": {name: _app_body(spec) for name, spec in root.apps.items()},
        "known": list(root.known),
    }


def _app_body(spec: AppSpec) -> dict[str, Any]:
    also = spec.also
    return {
        "layout": spec.layout,
        "settle": spec.settle,
        "ignore": list(spec.ignore),
        "also": also and {"scheme": also.scheme, "ignore": list(also.ignore)},
    }


def from_body(body: Mapping[str, Any]) -> Watchlist:
    """Understand the body of a `watch` line."""
    return Watchlist(
        roots=tuple(_root(root) for root in body["roots"]),
        env=tuple(body["env"]),
        secret=bytes.fromhex(body["secret"]),
        manifests=body["manifests"],
        share=body.get("share"),
        looks_per_second=body.get("budget", {}).get("looks_per_second", 0.0),
    )


def _root(body: Mapping[str, Any]) -> RootSpec:
    return RootSpec(
        path=body["path"],
        watch=body["watch"],
        interval=body["interval"],
        scan_interval=body["scan_interval"],
        must_mount=body["must_mount"],
        was_share=body.get("was_share", False),
        include=tuple(body["include"]),
        exclude=tuple(body["exclude"]),
        release_dirs=tuple(body.get("release_dirs", ())),
        defaults=_app(body),
        apps={name: _app(spec) for name, spec in body["apps"].items()},
        known=tuple(body.get("known", ())),
    )


def _app(body: Mapping[str, Any]) -> AppSpec:
    also = body.get("also")
    return AppSpec(
        layout=Layout(body["layout"]) if body["layout"] else None,
        settle=body["settle"],
        ignore=tuple(body["ignore"]),
        also=Also(also["scheme"], tuple(also["ignore"])) if also else None,
    )
