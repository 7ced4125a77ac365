"""The env files of the apps, judged and read as the shim does; no value is ever shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from appagent.core.want import env_paths
from appagent.doctor.apps import refused, trusting
from appagent.doctor.finding import Item, Step, ok, unreadable, warning
from appagent.model.settings import RootSettings
from appagent.shim.environment import read_files
from appagent.shim.trust import Refused
from appagent.shim.walk import Moved

if TYPE_CHECKING:
    from appagent.shim.spec import Spec


def check(root: RootSettings, apps: Sequence[str]) -> Iterator[Item]:
    """Judge every env file of these apps; one that they share only once, with the first of them."""
    done: set[str] = set()
    fine = 0
    for app in apps:
        for path, optional in env_paths(root, app):
            if path in done:
                continue
            if root.run_as != "owner":
                done.add(path)
            yield Step(f"reading {path}")
            findings = list(_judge(root, app, path, optional=optional))
            yield from findings
            fine += not findings
    if fine:
        yield ok(f"env files of {root.path}", f"{fine} read, or missing where they may")


def _judge(root: RootSettings, app: str, path: str, *, optional: bool) -> Iterator[Item]:
    about = f"env file {path}"
    # What reading env files takes of a spec; the secret only keys hashes that are dropped here.
    spec = {"target": "start", "env_files": ["-" * optional + path], "secret": bytes(32)}
    try:
        read = read_files(cast("Spec", spec), trusting(root, app))
    except Refused as error:
        yield refused(about, error)
    except Moved as moved:
        missing = str(moved).endswith(" does not exist")
        do = "create it, or put a - before it in env_files" if missing else "run doctor again"
        yield unreadable(about, str(moved), do)
    else:
        for text in read.warnings:
            yield warning(about, text, "remove it: the agent sets that, or never passes it on")
