"""What has to be rechecked before the state of an app as of a given time is known.

What the node knows of an app comes from three sources: the listing of its root, its files, its env
files. Each of them was read at a known time, so whether that read may have missed a change is a
comparison of times. On a share, what another node wrote *into* a file (instead of replacing it) is
visible only after some time.
"""

from __future__ import annotations

from typing import NamedTuple

from appagent.core.state import App, Node
from appagent.core.want import env_paths
from appagent.model.words import Layout

STALE = 1.5  # s for which a share may show the old content or status of a file


class Subject(NamedTuple):
    """What one read covers: a root's listing, or (with `app`) an app, or (root "") an env file."""

    root: str
    app: str = ""
    env: str = ""


def unseen(node: Node, app: App, since: float) -> dict[Subject, float]:
    """The subjects that were not read since `since` (mono), and since when each has to be."""
    root = node.root_settings(app.record.root)
    if root is None:
        return {}
    found = unlisted(node, root.path, since)
    state = node.roots.get(root.path)
    shared = state is not None and state.seen is not None and state.seen.mounted
    latest = app.seen.latest
    tree = latest is None or latest.layout in (None, Layout.TREE)
    need = since + STALE if shared and tree else since
    if app.seen.listed is not False and (latest is None or latest.at < need):
        found[Subject(root.path, app.name)] = need
    for path, _ in env_paths(root, app.name):
        env = node.envs.get(path)
        # A missing file is seen in a listing, and a listing is never stale.
        old = env is not None and env.mounted and env.state != "missing"
        need = since + STALE if old else since
        if env is None or env.at < need:
            found[Subject("", env=path)] = need
    return found


def unlisted(node: Node, path: str, since: float) -> dict[Subject, float]:
    """The same for the listing of a root."""
    listing = node.listing(path)
    return {} if listing is not None and listing.at >= since else {Subject(path): since}
