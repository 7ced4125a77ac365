"""What a shim must know beside the run itself; and both together as what is sent to it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appagent.core.release import short
from appagent.model.applied import Run
from appagent.model.settings import AppSettings, RootSettings
from appagent.shim import environment, output

if TYPE_CHECKING:  # it is a type and nothing else: see spec.py
    from appagent.shim.spec import Spec


@dataclass(frozen=True, slots=True)
class Order:
    """The part of an order that the configuration and the looks give.

    `seen`: the release is what the app's entry leads to now; if it leads elsewhere when the run
    begins, that is MOVED. False for going back to an earlier release. A stop never asks.
    `fstype`: the filesystem the root was seen on, so that the empty directory below a share that
    is not mounted is not taken for it; "" where that does not matter.
    """

    run_as: str = "self"
    trusted_owners: tuple[str, ...] = ()
    release_dirs: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()  # {app} is filled in; a leading "-": it may be missing
    secret: bytes = b""
    environment: str = ""
    node: str = ""
    seen: bool = True
    fstype: str = ""
    limits: Mapping[str, str] = field(default_factory=dict)  # memory, cpu, tasks
    account: str = ""  # the run as one line, for an agent that has no record of it
    names_within: float = 10.0  # seconds for a name service to answer
    share_within: float = 30.0  # … and for the share, before anything runs


def order_for(  # noqa: PLR0913 - all named, and all needed
    run: Run,
    *,
    root: RootSettings,
    app: AppSettings,
    environment: str,
    node: str,
    secret: bytes,
    seen: bool = True,
    fstype: str = "",
    account: str = "",
) -> Order:
    """Make the order for a run from the settings that apply to it."""
    return Order(
        run_as=root.run_as,
        trusted_owners=root.trusted_owners,
        release_dirs=root.release_dirs,
        env_files=tuple(path.replace("{app}", run.app) for path in root.env_files),
        secret=secret,
        environment=environment,
        node=node,
        seen=seen,
        fstype=fstype,
        limits=app.limits,
        account=account,
    )


@dataclass(frozen=True, slots=True)
class Places:
    """Where on the local disk the runs of one agent keep what they leave."""

    state_dir: str
    runtime_dir: str

    @property
    def runs(self) -> str:
        """The directory of the results."""
        return f"{self.state_dir}/runs"

    @property
    def logs(self) -> str:
        """The directory of the output, where the journal does not take it."""
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

    def complaints(self, run_id: str) -> str:
        """What the shim itself had to say, if it broke."""
        return f"{self.runs}/{run_id}.err"

    @property
    def stops(self) -> str:
        """The directory of those that the stops of apps that are gone run in."""
        return f"{self.runtime_dir}/stops"

    def bare(self, run_id: str) -> str:
        """A directory of its own for the stop of an app that is gone."""
        return f"{self.stops}/{run_id}"

    def log(self, app: str) -> str:
        """The output of an app."""
        return f"{self.logs}/{app}.log"

    def kept(self, app: str) -> str:
        """What is kept about an app; the store keeps its record there too."""
        return f"{self.state_dir}/apps/{app}"

    def left(self, app: str) -> str:
        """The processes that runs of an app have left, where there are no scopes."""
        return f"{self.kept(app)}/left.json"


def spec_of(  # noqa: PLR0913 - all named, and all needed
    run: Run,
    order: Order,
    places: Places,
    *,
    journal: bool,
    targets: dict[str, str] | None = None,
    unit: str = "",
    left: list[list[int]] | None = None,
    boot: str = "",
    failpoints: str = "",
) -> Spec:
    """Put together what the shim is told."""
    root_agent = os.geteuid() == 0
    return {
        "run_id": run.id,
        "app": run.app,
        "target": str(run.target),
        "then": [(str(step), float(timeout)) for step, timeout in run.then],
        "release": run.version.release,
        "release_name": _name(run.version.release),
        "previous_name": _name(run.previous),
        "conf": run.version.conf,
        "layout": str(run.layout),
        "release_dir": run.release_dir,
        "seen": order.seen,
        "reason": run.reason,
        "timeout": float(run.timeout),
        "grace": float(run.grace),
        "patience": {"names": order.names_within, "share": order.share_within},
        "root": run.root,
        "fstype": order.fstype,
        "run_as": order.run_as,
        "trusted": list(order.trusted_owners),
        "release_dirs": list(order.release_dirs),
        "env_files": list(order.env_files),
        "secret": order.secret,
        "environment": order.environment,
        "node": order.node,
        # Who tries the agent out as himself has make and his tools where his PATH says.
        "search": environment.SEARCH if root_agent else os.environ.get("PATH", environment.SEARCH),
        "lang": os.environ.get("LANG", "C.UTF-8"),
        "targets": targets,
        "unit": unit,
        "left": left or [],
        "journal": journal,
        "log": places.log(run.app),
        "log_limit": output.LIMIT,
        "result": places.result(run.id),
        "lock": places.lock(run.app),
        "account": order.account,
        "boot": boot,
        "kept": places.kept(run.app),
        "bare": places.bare(run.id),
        "failpoints": failpoints,
    }


def _name(release: str) -> str:
    """The release as a target is told it: a directory's name, the whole commit, the whole hash."""
    if release.startswith("symlink"):
        return short(release)
    return release.rpartition(":")[2]
