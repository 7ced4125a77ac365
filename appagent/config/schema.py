"""Every key of the configuration, in the order in which a person would write them.

This table is the one place that says which keys exist, what each may hold, its default, and what it
does; parsing, spelling hints, `check-config --print` and the table in the documentation all come
from it. The text of a default is parsed like a value in a file.
"""

from __future__ import annotations

from typing import NamedTuple

from appagent.config import values
from appagent.config.values import BadValueError, Kind, choice, count, duration
from appagent.core.names import why_no_app


class ListOf(NamedTuple):
    """A list whose items are all of one type."""

    items: Kind | Table
    may_be_empty: bool = True
    limit: int = 0  # items; 0: no limit


class MapOf(NamedTuple):
    """A map whose keys are names that a person chooses."""

    names: Kind
    values: Table


class Key(NamedTuple):
    """One key: its name, what it may hold, the text of its default, and what it does."""

    name: str
    type: Kind | ListOf | MapOf | Table
    default: str = ""
    description: str = ""
    required: bool = False
    planned: bool = False  # checked, and without effect until its feature comes
    secret: bool = False  # never printed


class Table:
    """A map with known keys. `where`: what a person calls it."""

    def __init__(self, where: str, *keys: Key) -> None:
        self.where = where
        self.keys = {key.name: key for key in keys}


def _app_name(text: str) -> str:
    if why := why_no_app(text):
        raise BadValueError(why)
    return text


_APP_NAME = Kind("an app's name", _app_name)
_RUN = duration("100ms", "7d")

TIMEOUT = Table(
    "timeout",
    Key("build", _RUN, "30m", "time limit of a build"),
    Key("install", _RUN, "10m", "time limit of an install"),
    Key("start", _RUN, "60s", "time limit of a start"),
    Key("restart", _RUN, "60s", "time limit of a restart"),
    Key("stop", _RUN, "30s", "time limit of a stop"),
    Key("check", _RUN, "30s", "how long check is repeated until it succeeds"),
)

RETRY = Table(
    "retry",
    Key("first", duration("100ms", "1d"), "2s", "delay after the first failure; then it doubles"),
    Key("max", duration("100ms", "7d"), "5m", "maximum delay between two attempts"),
)

ROLLOUT = Table(
    "rollout",
    Key("first", count(0, 1000), "1", "number of canary nodes"),
    Key("parallel", values.PARALLEL, "100%", "how many live nodes restart or check at once"),
    Key("pause", duration("0s", "1d"), "0s", "delay between one node and the next"),
    Key("halt_after", count(1, 1000), "1", "number of failed nodes that halts a version"),
)

LIMITS = Table(
    "limits",
    Key("memory", values.MEMORY, "", "maximum memory of the app's slice"),
    Key("cpu", values.CPU, "", "maximum CPU time of the app's slice"),
    Key("tasks", values.TASKS, "", "maximum number of processes and threads of the app's slice"),
)

# What an app may set for itself, in its own appagent.yaml.
_SETTLE = Key("settle", duration("0s", "1h"), "2s", "how long a release must be unchanged")
_IGNORE = Key("ignore", ListOf(values.PATTERN), "[]", "gitignore patterns beside the built-in ones")
_TIMEOUT = Key("timeout", TIMEOUT)
_GRACE = Key("grace", duration("0s", "10m"), "5s", "time between TERM and KILL")
_INSTALL = Key(
    "install", choice("serial | parallel"), "serial", "one node at a time, or all", planned=True
)
# Whoever can push writes these, and every path of a scan is matched against each.
_APP_IGNORE = _IGNORE._replace(type=ListOf(values.APP_PATTERN, limit=100))
APP_FILE = Table("the app's own file", _SETTLE, _APP_IGNORE, _TIMEOUT, _GRACE, _INSTALL)

APP = Table(
    "defaults or apps.<name>",
    Key("layout", choice("auto | symlink | git | tree"), "auto", "how its files are laid out"),
    _SETTLE,
    Key("max_wait", duration("1s", "7d"), "10m", "a release not settled for so long is reported"),
    Key("unsettled", choice("wait | deploy"), "wait", "what happens then: wait, or deploy it"),
    Key("gone_after", duration("0s", "7d"), "60s", "an absent app counts as removed after so long"),
    _IGNORE,
    _TIMEOUT,
    _GRACE,
    Key("retry", RETRY),
    Key(
        "on_failure",
        choice("previous | leave"),
        "previous",
        "after a failed restart or check: roll back to the last good release, or leave it",
    ),
    _INSTALL,
    Key("rollout", ROLLOUT, planned=True),
    Key("on_shutdown", choice("leave | stop"), "leave", "the app when the machine shuts down"),
    Key("on_exit", choice("report | start"), "report", "when all its processes have exited"),
    Key("limits", LIMITS),
)

ROOT = Table(
    "an item of roots",
    Key("path", values.DIRECTORY, "", "the directory whose children are apps", required=True),
    Key("include", ListOf(values.APP_GLOB), '["*"]', "globs: which apps this node runs"),
    Key("exclude", ListOf(values.APP_GLOB), "[]", "globs: exceptions from include"),
    Key(
        "mount",
        choice("required | optional"),
        "",
        "whether a share must be mounted there; default: required once one ever was",
    ),
    Key(
        "watch",
        choice("auto | inotify | poll"),
        "auto",
        "how changes are detected; auto: by the filesystem",
    ),
    Key("interval", duration("50ms", "1h"), "250ms", "between polls of the markers (symlink, git)"),
    Key(
        "scan_interval",
        duration("100ms", "1d"),
        "2s",
        "between scans of a tree; on a share stretched so that all of them read at most "
        "50 directories a second and take a quarter of the time, elsewhere a tenth of a core",
    ),
    Key(
        "run_as",
        values.RUN_AS,
        "",
        "who the targets run as; required if the agent is root, and root only by name."
        " owner: of the app's directory, which then nobody else may write",
    ),
    Key(
        "trusted_owners",
        ListOf(values.TRUSTED),
        "[]",
        "users and groups whose files may be run, beside root and the run-as user",
    ),
    Key(
        "release_dirs",
        ListOf(values.DIRECTORY),
        "[]",
        "other directories that may hold releases; default: only inside the root",
    ),
    Key(
        "env_files",
        ListOf(values.ENV_FILE),
        "[]",
        "environment of the targets; {app} is the app's name; with a leading - it may be missing",
    ),
    Key("fleet", values.SWITCH, "on", "nodes coordinate through `.appagent/`", planned=True),
)

LOG = Table(
    "log",
    Key("level", choice("debug | info | warning | error"), "info", "minimum log level"),
    Key(
        "format",
        choice("auto | journal | json | console"),
        "auto",
        "auto: the journal under systemd, else the console on a terminal, else JSON",
    ),
)

METRICS = Table(
    "metrics", Key("listen", values.LISTEN, "off", "127.0.0.1:9464 serves /metrics and /ready")
)

NOTIFY = Table(
    "an item of notify",
    Key("url", values.URL, "", "where events are posted", required=True, secret=True),
    Key(
        "on",
        ListOf(choice("failed | deployed | halted"), may_be_empty=False),
        "",
        "which events",
        required=True,
    ),
    Key("format", choice("json | slack"), "json", "their format"),
)

NODE = Table(
    "the top level",
    Key("environment", values.NAME, "", "APP_ENV of every target"),
    Key("node", values.NAME, "", "the name of this node; default: the host name"),
    Key("roots", ListOf(ROOT)),
    Key("defaults", APP, "", "the settings of every app"),
    Key("apps", MapOf(_APP_NAME, APP), "{}", "any key of defaults, for one app"),
    Key(
        "parallel_apps",
        values.COUNT_OR_AUTO,
        "auto",
        "how many apps of this node deploy at once; auto: twice the number of cores, at least 4",
    ),
    Key("state_dir", values.DIRECTORY, "/var/lib/appagent", "the agent's memory; a local disk"),
    Key("runtime_dir", values.DIRECTORY, "/run/appagent", "socket and locks of runs; a local disk"),
    Key("log", LOG),
    Key("metrics", METRICS, planned=True),
    Key("notify", ListOf(NOTIFY), "[]", planned=True),
)


def locations(name: str) -> tuple[str, ...]:
    """Name the tables that a key belongs in, for one that stands elsewhere."""
    tables = (NODE, ROOT, APP, TIMEOUT, RETRY, ROLLOUT, LIMITS, LOG, METRICS, NOTIFY)
    return tuple(table.where for table in tables if name in table.keys)
