"""The env files of the apps, judged and read as the shim does; no value is ever shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from appagent.core.want import env_paths
from appagent.doctor.apps import not_seen, refused, trusting
from appagent.doctor.finding import Doing, Said, ok, warning
from appagent.model.settings import RootSettings
from appagent.shim.environment import read_files
from appagent.shim.trust import Refused
from appagent.shim.walk import Moved

if TYPE_CHECKING:
    from appagent.shim.spec import Spec


def look(root: RootSettings, apps: Sequence[str]) -> Iterator[Said]:
    """Judge every env file of these apps; one that many share only once, with the first of them."""
    done: set[str] = set()
    good = 0
    for app in apps:
        paths = [pair for pair in env_paths(root, app) if pair[0] not in done]
        for path, optional in paths:
            if root.run_as != "owner":
                done.add(path)
            fine = True
            for said in _judge(root, app, path, optional=optional):
                fine = fine and isinstance(said, Doing)
                yield said
            good += fine
    if good:
        yield ok(f"env files of {root.path}", f"{good} read, or missing where they may")


def _judge(root: RootSettings, app: str, path: str, *, optional: bool) -> Iterator[Said]:
    about = f"env file {path}"
    yield Doing(f"reading {path}")
    # Just what reading env files takes of an order; the secret only keys what is thrown away here.
    order = {"target": "start", "env_files": ["-" * optional + path], "secret": bytes(32)}
    try:
        read = read_files(cast("Spec", order), trusting(root, app))
    except Refused as error:
        yield refused(about, error)
    except Moved as moved:
        missing = str(moved).endswith(" is not there")
        do = "write it, or put a - before it in env_files" if missing else "see why; run it again"
        yield from not_seen(about, str(moved), do)
    else:
        for text in read.warnings:
            yield warning(about, text, "take it out: the agent sets that by itself, or never")
