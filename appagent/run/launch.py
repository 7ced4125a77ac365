"""The message that a shim gets: a run, and the settings that apply to it now."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appagent.core.release import short
from appagent.core.state import Node
from appagent.model.applied import Run
from appagent.model.settings import RootSettings
from appagent.run.lockfile import run_line
from appagent.shim import environment, output

if TYPE_CHECKING:  # it is a type and nothing else: see spec.py
    from appagent.shim.spec import Spec

FAILPOINTS = "APPAGENT_FAILPOINT"  # in the environment of the agent: see shim/failpoint.py
NAMES_WITHIN = 10.0  # s for a name service to answer
SHARE_WITHIN = 30.0  # s for the share to answer, before anything runs


@dataclass(frozen=True, slots=True)
class Paths:
    """Where on the local disk the runs of one agent keep their files."""

    state_dir: str
    runtime_dir: str

    @property
    def runs(self) -> str:
        """The directory of the results."""
        return f"{self.state_dir}/runs"

    @property
    def logs(self) -> str:
        """The directory of the output, where there is no journal."""
        return f"{self.state_dir}/log"

    def result(self, run_id: str) -> str:
        """The result of a run."""
        return f"{self.runs}/{run_id}.json"

    @property
    def locks(self) -> str:
        """The directory of the locks of all apps."""
        return f"{self.runtime_dir}/runs"

    def lock(self, app: str) -> str:
        """The lock that the run of an app holds."""
        return f"{self.locks}/{app}.lock"

    def errors(self, run_id: str) -> str:
        """The stderr of the shim itself."""
        return f"{self.runs}/{run_id}.err"

    @property
    def stops(self) -> str:
        """The parent of the working directories for stops of removed apps."""
        return f"{self.runtime_dir}/stops"

    def stop_dir(self, run_id: str) -> str:
        """The working directory for the stop of a removed app."""
        return f"{self.stops}/{run_id}"

    def log(self, app: str) -> str:
        """The output of an app."""
        return f"{self.logs}/{app}.log"

    def kept(self, app: str) -> str:
        """The directory for the app's copy of its Makefile; the store keeps its record there."""
        return f"{self.state_dir}/apps/{app}"


def spec_for(run: Run, node: Node, paths: Paths, secret: bytes) -> Spec:
    """Build the message for a run from the node as it is now.

    The spawner adds what it alone knows: journal, unit, processes, targets.
    """
    app, root = node.apps.get(run.app), node.roots.get(run.root)
    root_settings = node.root_settings(run.root) or RootSettings(path=run.root)
    latest = app.seen.latest if app is not None else None
    mount = root.seen if root is not None else None
    return {
        "run_id": run.id,
        "app": run.app,
        "target": str(run.target),
        "then": [(str(step), float(timeout)) for step, timeout in run.then],
        "release": run.version.release,
        "conf": run.version.conf,
        "layout": str(run.layout),
        "release_dir": run.release_dir,
        "seen": latest is not None and latest.known and latest.release == run.version.release,
        "timeout": float(run.timeout),
        "grace": float(run.grace),
        "patience": {"names": NAMES_WITHIN, "share": SHARE_WITHIN},
        "root": run.root,
        "fstype": mount.fstype if mount is not None and mount.mounted else "",
        "run_as": root_settings.run_as,
        "trusted": list(root_settings.trusted_owners),
        "release_dirs": list(root_settings.release_dirs),
        "env_files": [path.replace("{app}", run.app) for path in root_settings.env_files],
        "secret": secret,
        "variables": {
            "APP_NAME": run.app,
            "APP_ENV": node.settings.environment,
            "APP_DIR": f"{run.root.rstrip('/')}/{run.app}",
            "APP_RELEASE": _name(run.version.release),
            "APP_PREVIOUS_RELEASE": _name(run.previous),
            "APP_NODE": node.settings.node,
            "APP_REASON": run.reason,
            "APP_TARGET": str(run.target),
        },
        "search": _search(),
        "lang": os.environ.get("LANG", "C.UTF-8"),
        "targets": None,
        "unit": "",
        "processes": [],
        "journal": False,
        "log": paths.log(run.app),
        "log_limit": output.LIMIT,
        "result": paths.result(run.id),
        "lock": paths.lock(run.app),
        "run": run_line(run),
        "boot": node.boot,
        "may_run": app is not None
        and node.boot in (app.record.applied.may_run, app.record.applied.up),
        "kept": paths.kept(run.app),
        "stop_dir": paths.stop_dir(run.id),
        "failpoints": os.environ.get(FAILPOINTS, ""),
    }


def _name(release: str) -> str:
    """The release as a target sees it: a directory's name, the whole commit, the whole hash."""
    if release.startswith("symlink"):
        return short(release)
    return release.rpartition(":")[2]


def _search() -> str:
    """PATH for the shim and make. A user who tries the agent out has his tools in his own PATH."""
    if os.geteuid() == 0:
        return environment.SEARCH
    return os.environ.get("PATH", environment.SEARCH)
