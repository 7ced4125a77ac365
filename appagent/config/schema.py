"""Every key of the configuration, in the order in which a person would write them.

This table is the one place that says which keys there are, what each may hold, what holds without
it, and what it is for; reading, the nearest known name and the README's table all come from it.
The text of a default is read by the same kind as a person's value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from appagent.config import values
from appagent.config.values import Kind, choice, count, duration
from appagent.core.names import why_no_app


class Many(NamedTuple):
    """A list, each item of which is of one kind."""

    of: Kind | Table
    empty: bool = True  # may be empty
    most: int = 0  # items; 0: no bound


class Named(NamedTuple):
    """A map whose keys are names that a person chooses."""

    key: Kind
    of: Table


class Key(NamedTuple):
    """One key: its name, what it may hold, the text of its default, and what it is for."""

    name: str
    of: Kind | Many | Named | Table
    default: str = ""
    what: str = ""
    required: bool = False


class Table:
    """A map with known keys."""

    def __init__(self, *keys: Key) -> None:
        self.keys = {key.name: key for key in keys}


def _app_name(text: str) -> str:
    if why := why_no_app(text):
        raise values.BadValueError(why)
    return text


_TARGET = duration("100ms", "7d")

TIMEOUT = Table(
    Key("build", _TARGET, "30m", "the longest a build may take"),
    Key("install", _TARGET, "10m", "the longest an install may take"),
    Key("start", _TARGET, "60s", "the longest a start may take"),
    Key("restart", _TARGET, "60s", "the longest a restart may take"),
    Key("stop", _TARGET, "30s", "the longest a stop may take"),
    Key("check", _TARGET, "30s", "how long check is repeated until it succeeds"),
)

RETRY = Table(
    Key("first", duration("100ms", "1d"), "2s", "the wait after the first failure"),
    Key("max", duration("100ms", "7d"), "5m", "the longest wait between two tries"),
)

ROLLOUT = Table(
    Key("first", count(0, 1000), "1", "so many nodes prove a version before the others begin"),
    Key("parallel", values.PARALLEL, "100%", "how many live nodes restart or check at once"),
    Key("pause", duration("0s", "1d"), "0s", "the wait between a node and the next"),
    Key("halt_after", count(1, 1000), "1", "failures on so many nodes halt a version"),
)

LIMITS = Table(
    Key("memory", values.MEMORY, "", "the most memory of the app's slice"),
    Key("cpu", values.CPU, "", "the most processor time of the app's slice"),
    Key("tasks", values.TASKS, "", "the most processes and threads of the app's slice"),
)

# What an app may say of itself, in its own appagent.yaml.
_SETTLE = Key("settle", duration("0s", "1h"), "2s", "how long a release must stand still")
_IGNORE = Key("ignore", Many(values.PATTERN), "[]", "gitignore-style, beside the built-in ones")
_TIMEOUT = Key("timeout", TIMEOUT, "", "")
_GRACE = Key("grace", duration("0s", "10m"), "5s", "between TERM and KILL")
_INSTALL = Key(
    "install", choice("serial", "parallel"), "serial", "one node at a time, or all at once"
)
# Whoever can push writes these, and every path of a scan is held against each.
_OWN_IGNORE = _IGNORE._replace(of=Many(values.OWN_PATTERN, most=100))
OWN = Table(_SETTLE, _OWN_IGNORE, _TIMEOUT, _GRACE, _INSTALL)

APP = Table(
    Key("layout", choice("auto", "symlink", "git", "tree"), "auto", "how the app's files lie"),
    _SETTLE,
    Key("max_wait", duration("1s", "7d"), "10m", "not settled for so long: said aloud"),
    Key("unsettled", choice("wait", "deploy"), "wait", "what then happens"),
    Key("gone_after", duration("0s", "7d"), "60s", "an absent app counts as gone after so long"),
    _IGNORE,
    _TIMEOUT,
    _GRACE,
    Key("retry", RETRY, "", ""),
    Key(
        "on_failure",
        choice("previous", "leave"),
        "previous",
        "after a failed restart or check: back to the last good release, or leave it",
    ),
    _INSTALL,
    Key("rollout", ROLLOUT, "", ""),
    Key("on_shutdown", choice("leave", "stop"), "leave", "the app when the machine shuts down"),
    Key(
        "on_exit",
        choice("report", "start"),
        "report",
        "when the app's processes have all ended by themselves",
    ),
    Key("limits", LIMITS, "", ""),
)

ROOT = Table(
    Key("path", values.DIRECTORY, "", "the directory whose children are apps", required=True),
    Key("include", Many(values.APP_GLOB), '["*"]', "globs: which apps this node runs"),
    Key("exclude", Many(values.APP_GLOB), "[]", "globs: which apps it does not run after all"),
    Key(
        "mount",
        choice("required", "optional"),
        "",
        "must a share be mounted there; without it: once one ever was",
    ),
    Key(
        "watch",
        choice("auto", "inotify", "poll"),
        "auto",
        "how changes are seen; auto: by the filesystem",
    ),
    Key(
        "interval",
        duration("50ms", "1h"),
        "250ms",
        "between looks at the markers (symlink, git)",
    ),
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
        "who the targets run as; as root it must be given, and root only by name."
        " owner: of the app's directory, which then nobody else may write",
    ),
    Key(
        "trusted_owners",
        Many(values.TRUSTED),
        "[]",
        "users and groups whose files may be run, beside root and the run-as user",
    ),
    Key(
        "release_dirs",
        Many(values.DIRECTORY),
        "[]",
        "other directories that releases may lie in; else only inside the root",
    ),
    Key(
        "env_files",
        Many(values.ENV_FILE),
        "[]",
        "the environment of the targets; {app} is the app's name, with a - before it a file may"
        " be missing",
    ),
    Key("fleet", values.SWITCH, "on", "whether nodes agree through `.appagent/` in the root"),
)

LOG = Table(
    Key("level", choice("debug", "info", "warning", "error"), "info", "the least that is told"),
    Key(
        "format",
        choice("auto", "journal", "json", "console"),
        "auto",
        "auto: the journal under systemd, else the console on a terminal, else JSON",
    ),
)

METRICS = Table(Key("listen", values.LISTEN, "off", "127.0.0.1:9464 serves /metrics and /ready"))

NOTIFY = Table(
    Key("url", values.URL, "", "where facts are posted", required=True),
    Key(
        "on",
        Many(choice("failed", "deployed", "halted"), empty=False),
        "",
        "which facts",
        required=True,
    ),
    Key("format", choice("json", "slack"), "json", "how they are written"),
)

NODE = Table(
    Key("environment", values.NAME, "", "APP_ENV of every target"),
    Key("node", values.NAME, "", "the name of this node; without it the host's name"),
    Key("roots", Many(ROOT), "", ""),
    Key("defaults", APP, "", "the settings of every app"),
    Key(
        "apps",
        Named(Kind("an app's name", _app_name), APP),
        "{}",
        "for one app any key of defaults",
    ),
    Key(
        "parallel_apps",
        values.COUNT_OR_AUTO,
        "auto",
        "apps of this node deploying at once; auto: twice the number of cores, 4 at least",
    ),
    Key("state_dir", values.DIRECTORY, "/var/lib/appagent", "what the agent remembers; local"),
    Key(
        "runtime_dir",
        values.DIRECTORY,
        "/run/appagent",
        "the control socket, the locks of runs; local",
    ),
    Key("log", LOG, "", ""),
    Key("metrics", METRICS, "", ""),
    Key("notify", Many(NOTIFY), "[]", ""),
)


class Row(NamedTuple):
    """One key as documentation shows it."""

    path: str
    wants: str
    default: str
    what: str


def rows(table: Table = NODE, under: str = "") -> Iterator[Row]:
    """Give every key that holds a value, in order, once; `apps.<name>` only as a whole."""
    for key in table.keys.values():
        path = f"{under}.{key.name}" if under else key.name
        match key.of:
            case Table():
                yield from rows(key.of, path)
            case Many(of=Table() as items):
                yield from rows(items, f"{path}[]")
            case Many(of=Kind() as kind):
                yield Row(path, f"a list; each {kind.wants}", key.default, key.what)
            case Named():
                yield Row(f"{path}.<name>", "a map", key.default, key.what)
            case Kind():
                yield Row(path, key.of.wants, key.default, key.what)


def homes(name: str) -> tuple[str, ...]:
    """Say where a key of this name belongs, for one that stands elsewhere."""
    places = (
        (NODE, "the top level"),
        (ROOT, "an item of roots"),
        (APP, "defaults or apps.<name>"),
        (TIMEOUT, "timeout"),
        (RETRY, "retry"),
        (ROLLOUT, "rollout"),
        (LIMITS, "limits"),
        (LOG, "log"),
        (METRICS, "metrics"),
        (NOTIFY, "an item of notify"),
    )
    return tuple(where for table, where in places if name in table.keys)
