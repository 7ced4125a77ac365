"""What has to be looked at anew before anything may be said of an app as of a moment.

What the node knows of an app comes from looks at three places: the listing of its root, its files,
its env files. Each look carries the time at which it began, so whether it may have missed a change
that was made before a moment is a comparison. On a share there is one thing more: what another
node wrote *into* a file (and did not put in its place) shows only after a while.
"""

from __future__ import annotations

from typing import NamedTuple

from appagent.core.state import App, Node
from appagent.core.want import env_paths
from appagent.model.words import Layout

STALE = 1.5  # s for which a share may show an older content or status of a file


class Place(NamedTuple):
    """What a look looks at: a root's listing, or (with `app`) an app, or (root "") an env file."""

    root: str
    app: str = ""
    env: str = ""


def unseen(node: Node, app: App, since: float) -> dict[Place, float]:
    """The places that were not looked at from `since` (mono) on: from when a look answers."""
    root = node.root_settings(app.record.root)
    if root is None:
        return {}
    found = unlisted(node, root.path, since)
    state = node.roots.get(root.path)
    shared = state is not None and state.seen is not None and state.seen.mounted
    look = app.seen.latest
    tree = look is None or look.layout in (None, Layout.TREE)
    need = since + STALE if shared and tree else since
    if app.seen.listed is not False and (look is None or look.looked < need):
        found[Place(root.path, app.name)] = need
    for path, _ in env_paths(root, app.name):
        env = node.envs.get(path)
        # That it is missing is what a listing says, and a listing is never old.
        old = env is not None and env.mounted and env.state != "missing"
        need = since + STALE if old else since
        if env is None or env.looked < need:
            found[Place("", env=path)] = need
    return found


def unlisted(node: Node, path: str, since: float) -> dict[Place, float]:
    """The same for the listing of a root."""
    state = node.roots.get(path)
    good = state is not None and state.known and not state.stuck and state.seen is not None
    if good and state is not None and state.seen is not None and state.seen.looked >= since:
        return {}
    return {Place(path): since}
