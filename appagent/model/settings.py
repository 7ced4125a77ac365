"""The configuration of a node, checked: what config/ makes and the core reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from appagent.model.words import Layout, Target

DEFAULT_TIMEOUT: Mapping[Target, float] = {
    Target.BUILD: 1800.0,
    Target.INSTALL: 600.0,
    Target.START: 60.0,
    Target.RESTART: 60.0,
    Target.STOP: 30.0,
    Target.CHECK: 30.0,
}


@dataclass(frozen=True, slots=True)
class Rollout:
    """How a version goes over the fleet. `parallel` is a count, or a share of the live nodes."""

    first: int = 1
    parallel_count: int | None = None
    parallel_share: float | None = 1.0
    pause: float = 0.0
    halt_after: int = 1


@dataclass(frozen=True, slots=True)
class AppSettings:
    """The settings of one app, merged: defaults, then the app's own, then `apps.<name>`."""

    layout: Layout | None = None  # None: auto
    settle: float = 2.0
    max_wait: float = 600.0
    unsettled: str = "wait"  # wait | deploy
    gone_after: float = 60.0
    ignore: tuple[str, ...] = ()
    timeout: Mapping[Target, float] = field(default_factory=lambda: dict(DEFAULT_TIMEOUT))
    grace: float = 5.0
    retry_first: float = 2.0
    retry_max: float = 300.0
    on_failure: str = "previous"  # previous | leave
    install: str = "serial"  # serial | parallel
    rollout: Rollout = Rollout()
    on_shutdown: str = "leave"  # leave | stop
    on_exit: str = "report"  # report | start
    limits: Mapping[str, str] = field(default_factory=dict)  # memory, cpu, tasks


@dataclass(frozen=True, slots=True)
class RootSettings:
    """One directory on the share whose children are apps."""

    path: str
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    mount: str | None = None  # required | optional | None: required once it was seen mounted
    watch: str = "auto"  # auto | inotify | poll
    interval: float = 0.25
    scan_interval: float = 2.0
    run_as: str = "self"  # a user | self | owner
    trusted_owners: tuple[str, ...] = ()
    release_dirs: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()  # with {app}; a leading "-": it may be missing
    fleet: bool = True

    def must_mount(self, *, ever_mounted: bool) -> bool:
        """Whether it must be mounted: required, or ever seen mounted; optional never."""
        return self.mount == "required" or (ever_mounted and self.mount != "optional")


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """One URL that gets notices."""

    url: str
    on: tuple[str, ...]  # failed, deployed, halted
    format: str = "json"  # json | slack


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration of a node, checked."""

    environment: str = ""
    node: str = ""
    roots: tuple[RootSettings, ...] = ()
    defaults: AppSettings = AppSettings()
    # Per app only what `apps.<name>` says, as AppSettings fields by name (rollout whole, timeout
    # as a partial mapping); config.settings_for merges.
    apps: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    parallel_apps: int = 4
    state_dir: str = "/var/lib/appagent"
    runtime_dir: str = "/run/appagent"
    log_level: str = "info"  # debug | info | warning | error
    log_format: str = "auto"  # auto | journal | json | console
    metrics_listen: str | None = None
    notify: tuple[NotifySettings, ...] = ()
