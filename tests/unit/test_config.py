"""What right configurations come to: every key, and its default."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from appagent.config import BadValueError, Machine, load, seconds
from appagent.core.settings import settings_for
from appagent.model.settings import (
    DEFAULT_TIMEOUT,
    AppSettings,
    NotifySettings,
    Rollout,
    RootSettings,
    Settings,
)
from appagent.model.words import Layout, Target
from tests import config_table as table
from tests.config_texts import AS_PERSON, GOOD, loaded, of

# As the documentation has it: every key, each with its default where it has one.
EVERY_KEY = """\
environment: production            # APP_ENV
node: app1                         # default: the host's name
roots:
  - path: /files/production
    include: ["*"]                 # globs over app names; which apps this node runs
    exclude: []
    mount: required                # required | optional
    watch: auto                    # auto | inotify | poll (auto: by the filesystem)
    interval: 250ms                # between polls of the markers (symlink, git)
    scan_interval: 2s              # between scans of a tree
    run_as: www-data               # a user | self | owner
    trusted_owners: [deploy]       # users and groups whose files may be run
    release_dirs: []               # other directories that releases may lie in
    env_files: ["/files/config/common.env", "-/files/config/production/{app}.env"]
    fleet: on                      # on | off: <root>/.appagent/ on the share
defaults:                          # any of these also under apps.<name>
  layout: auto                     # auto | symlink | git | tree
  settle: 2s
  max_wait: 10m
  unsettled: wait                  # wait | deploy
  gone_after: 60s
  ignore: []                       # gitignore-style, beside the built-in ones
  timeout: {build: 30m, install: 10m, start: 60s, restart: 60s, stop: 30s, check: 30s}
  grace: 5s                        # between TERM and KILL
  retry: {first: 2s, max: 5m}
  on_failure: previous             # previous | leave
  install: serial                  # serial (one node at a time) | parallel
  rollout: {first: 1, parallel: 100%, pause: 0s, halt_after: 1}
  on_shutdown: leave               # leave | stop
  on_exit: report                  # report | start: the app's processes have all ended
  limits: {}                       # memory, cpu, tasks: properties of the app's slice
apps:
  web: {rollout: {parallel: 1}}
parallel_apps: auto                # apps of this node deploying at once
state_dir: /var/lib/appagent
runtime_dir: /run/appagent
log: {level: info, format: auto}   # auto | journal | json | console
metrics: {listen: off}             # 127.0.0.1:9464: /metrics, /ready
notify: []                         # [{url: https://…, on: [failed, deployed, halted]}]
"""


def test_the_documented_configuration_means_what_it_says(tmp_path: Path) -> None:
    """Every key is known, and its value is what the model holds."""
    settings = loaded(tmp_path, main=EVERY_KEY).settings
    assert settings == Settings(
        environment="production",
        node="app1",
        roots=(
            RootSettings(
                path="/files/production",
                mount="required",
                run_as="www-data",
                trusted_owners=("deploy",),
                env_files=("/files/config/common.env", "-/files/config/production/{app}.env"),
            ),
        ),
        apps={"web": {"rollout": Rollout(parallel_count=1, parallel_share=None)}},
    )


def test_a_short_configuration_gets_the_documented_defaults(tmp_path: Path) -> None:
    """The defaults of the model are those of the schema."""
    text = "".join(
        line + "\n"
        for line in EVERY_KEY.splitlines()
        if not line.strip().startswith(("environment", "mount", "trusted", "env_files", "web:"))
    )
    assert of(tmp_path, "") == loaded(tmp_path, main=text).settings


def test_the_schema_gives_each_key_the_default_that_is_in_force(tmp_path: Path) -> None:
    """So a table made from the schema is never a lie."""
    defaults = {row.path: row.default for row in table.rows()}
    text = "roots: [{path: /files/production, run_as: www-data, "
    text += ", ".join(
        f"{path.removeprefix('roots[].')}: {default}"
        for path, default in defaults.items()
        if path.startswith("roots[].") and default
    )
    text += "}]\n"
    for path, default in defaults.items():
        if default and "[]" not in path and "<" not in path:
            *above, last = path.split(".")
            line = f"{last}: {default}"
            for name in reversed(above):
                line = f"{name}: {{{line}}}"
            only = "" if path.startswith("roots") else line + "\n"
            assert of(tmp_path, only) == of(tmp_path, ""), line
    assert loaded(tmp_path, main=text).settings == of(tmp_path, "")


def test_the_schema_has_words_for_every_key() -> None:
    """Each key has what it may hold and what it does."""
    rows = list(table.rows())
    assert len(rows) == len({row.path for row in rows})
    assert all(row.expected and row.description for row in rows if row.path != "notify")


APP_KEYS: list[tuple[str, Mapping[str, object]]] = [
    ("layout: auto", {"layout": None}),
    ("layout: symlink", {"layout": Layout.SYMLINK}),
    ("layout: git", {"layout": Layout.GIT}),
    ("layout: 'tree'", {"layout": Layout.TREE}),
    ("settle: 0s", {"settle": 0.0}),
    ("settle: 1.5s", {"settle": 1.5}),
    ('settle: "250ms"', {"settle": 0.25}),
    ("max_wait: 7d", {"max_wait": 604800.0}),
    ("unsettled: deploy", {"unsettled": "deploy"}),
    ("gone_after: 1h", {"gone_after": 3600.0}),
    (
        "ignore: [log/, '*.pid', '!keep.pid', 0755, no]",
        {
            "ignore": ("log/", "*.pid", "!keep.pid", "0755", "no"),
        },
    ),
    ("ignore:\n    - 'tmp/'", {"ignore": ("tmp/",)}),
    ("timeout: {restart: 5m}", {"timeout": {**DEFAULT_TIMEOUT, Target.RESTART: 300.0}}),
    ("timeout:", {}),
    ("grace: 10s", {"grace": 10.0}),
    ("retry: {first: 1s}", {"retry_first": 1.0}),
    ("retry: {first: 6m, max: 1h}", {"retry_first": 360.0, "retry_max": 3600.0}),
    ("on_failure: leave", {"on_failure": "leave"}),
    ("install: parallel", {"install": "parallel"}),
    ("rollout: {parallel: 1}", {"rollout": Rollout(parallel_count=1, parallel_share=None)}),
    ("rollout: {parallel: 25%}", {"rollout": Rollout(parallel_share=0.25)}),
    (
        "rollout: {first: 0, pause: 1m, halt_after: 3}",
        {
            "rollout": Rollout(first=0, pause=60.0, halt_after=3),
        },
    ),
    ("on_shutdown: stop", {"on_shutdown": "stop"}),
    ("on_exit: start", {"on_exit": "start"}),
    (
        "limits: {memory: 512M, cpu: 50%, tasks: 100}",
        {
            "limits": {"memory": "512M", "cpu": "50%", "tasks": "100"},
        },
    ),
    ("limits: {memory: 10%}", {"limits": {"memory": "10%"}}),
]


@pytest.mark.parametrize(("text", "fields"), APP_KEYS, ids=[row[0] for row in APP_KEYS])
def test_each_key_of_an_app(text: str, fields: Mapping[str, object], tmp_path: Path) -> None:
    """Under `defaults` it holds for every app, under `apps.<name>` for that one alone."""
    wanted = dataclasses.replace(AppSettings(), **fields)  # type: ignore[arg-type]
    everywhere = of(tmp_path, f"defaults:\n  {text}\n")
    assert everywhere.defaults == wanted
    assert settings_for(everywhere, "web", {}) == wanted
    indented = text.replace("\n", "\n  ")
    one = of(tmp_path, f"apps:\n  web:\n    {indented}\n")
    assert settings_for(one, "web", {}) == wanted
    assert settings_for(one, "api", {}) == AppSettings()


ROOT_KEYS: list[tuple[str, Mapping[str, object]]] = [
    ("include: [web, 'api-*']", {"include": ("web", "api-*")}),
    ("include: []", {"include": ()}),
    ("exclude: ['*-old']", {"exclude": ("*-old",)}),
    ("mount: optional", {"mount": "optional"}),
    ("watch: poll", {"watch": "poll"}),
    ("interval: 50ms", {"interval": 0.05}),
    ("scan_interval: 1m", {"scan_interval": 60.0}),
    ("trusted_owners: [deploy, domain users]", {"trusted_owners": ("deploy", "domain users")}),
    ("release_dirs: [/files/releases/]", {"release_dirs": ("/files/releases",)}),
    (
        "env_files: ['-/a/{app}.env', //b//c.env]",
        {"env_files": ("-/a/{app}.env", "/b/c.env")},
    ),
    ("fleet: on", {"fleet": True}),
    ("fleet: off", {"fleet": False}),
    ("fleet: no", {"fleet": False}),
    ("fleet: 'True'", {"fleet": True}),
]


@pytest.mark.parametrize(("text", "fields"), ROOT_KEYS, ids=[row[0] for row in ROOT_KEYS])
def test_each_key_of_a_root(text: str, fields: Mapping[str, object], tmp_path: Path) -> None:
    """Words that YAML takes for something else are taken as they are written."""
    root = RootSettings(path="/files/production", run_as="www-data")
    wanted = dataclasses.replace(root, **fields)  # type: ignore[arg-type]
    assert of(tmp_path, f"    {text}\n").roots == (wanted,)


NODE_KEYS: list[tuple[str, Mapping[str, object]]] = [
    ("environment: staging", {"environment": "staging"}),
    ("environment: on", {"environment": "on"}),
    ("node: 0755", {"node": "0755"}),
    ("node: 1.10", {"node": "1.10"}),
    ("node: app1.example.com", {"node": "app1.example.com"}),
    ("parallel_apps: auto", {"parallel_apps": 4}),
    ("parallel_apps: 8", {"parallel_apps": 8}),
    ("state_dir: /srv//state/", {"state_dir": "/srv/state"}),
    ("runtime_dir: /run/./other", {"runtime_dir": "/run/other"}),
    ("log: {level: debug, format: json}", {"log_level": "debug", "log_format": "json"}),
    ("log:", {}),
    ("apps:", {}),
    ("apps: {web: }", {"apps": {"web": {}}}),
    ("apps: {on: {settle: 1s}, 007: {}}", {"apps": {"on": {"settle": 1.0}, "007": {}}}),
    ("metrics: {listen: off}", {"metrics_listen": None}),
    ("metrics: {listen: 127.0.0.1:9464}", {"metrics_listen": "127.0.0.1:9464"}),
    ("metrics: {listen: 'localhost:9464'}", {"metrics_listen": "127.0.0.1:9464"}),
    ("metrics: {listen: '[::1]:9464'}", {"metrics_listen": "[::1]:9464"}),
    (
        "notify: [{url: 'https://chat.example/x', on: [failed, halted]}]",
        {
            "notify": (NotifySettings("https://chat.example/x", ("failed", "halted")),),
        },
    ),
    (
        "notify:\n  - url: http://127.0.0.1:1/x\n    on: [deployed]\n    format: slack",
        {
            "notify": (NotifySettings("http://127.0.0.1:1/x", ("deployed",), "slack"),),
        },
    ),
]


@pytest.mark.parametrize(("text", "fields"), NODE_KEYS, ids=[row[0] for row in NODE_KEYS])
def test_each_key_of_the_node(text: str, fields: Mapping[str, object], tmp_path: Path) -> None:
    """Most of all `on:` in notify, which YAML itself reads as the boolean."""
    wanted = dataclasses.replace(of(tmp_path, ""), **fields)  # type: ignore[arg-type]
    assert of(tmp_path, text + "\n") == wanted


@pytest.mark.parametrize("user", ["www-data", "root", "owner", "svc.app@ad.example", "DOM\\svc"])
def test_who_an_app_may_run_as(user: str, tmp_path: Path) -> None:
    """A name is taken as it is; whether it is known is a question for later."""
    text = f"roots: [{{path: /f, run_as: '{user}'}}]"
    assert loaded(tmp_path, main=text).settings.roots[0].run_as == user


def test_an_agent_that_is_not_root_needs_no_run_as(tmp_path: Path) -> None:
    """It runs everything as itself; a warning names another user that was asked for."""
    alone = loaded(tmp_path, AS_PERSON, main="roots: [{path: /f}]")
    assert alone.settings.roots[0].run_as == "self"
    assert alone.warnings == ()
    other = loaded(tmp_path, AS_PERSON, main="roots:\n- path: /f\n  run_as: www-data\n")
    (warning,) = other.warnings
    assert warning.startswith(
        f"{tmp_path}/appagent.yaml:3: roots[/f].run_as: the agent is not root"
    )


def test_the_node_is_called_after_its_host(tmp_path: Path) -> None:
    """A host that is called as every other one is a warning: two nodes would be one."""
    assert loaded(tmp_path, main=GOOD).settings.node == "app1"
    every = loaded(tmp_path, Machine("localhost.localdomain", 1, root=True), main=GOOD)
    assert every.settings.node == "localhost.localdomain"
    assert "give each node its own name" in every.warnings[0]


def test_this_machine_is_asked_where_none_is_given(tmp_path: Path) -> None:
    """Cores, host and user are there without a name service."""
    (tmp_path / "x.yaml").write_text("node: n\nroots: [{path: /f, run_as: owner}]\n")
    assert load(str(tmp_path / "x.yaml")).settings.parallel_apps >= 1


def test_durations_are_read_for_the_command_too() -> None:
    """`--for 1h` and `--timeout 60s` mean what they mean in the file."""
    assert [seconds(text) for text in ("250ms", "0s", "2s", "10m", "1h", "7d")] == [
        0.25,
        0.0,
        2.0,
        600.0,
        3600.0,
        604800.0,
    ]
    with pytest.raises(BadValueError, match="has no unit: write 60s"):
        seconds("60")
