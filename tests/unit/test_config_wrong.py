"""Wrong configurations: each is reported with its file, its line and its key."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from appagent.config import yaml_tree
from tests.config_texts import GOOD, errors_of, written


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def _parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both parsers: the one in C is not everywhere."""
    if not hasattr(yaml, request.param):
        pytest.skip("PyYAML is without libyaml here")
    monkeypatch.setattr(yaml_tree, "LOADER", getattr(yaml, request.param))


# Appended to GOOD; line and key; part of the message.
APPENDED = [
    # keys
    ("defautls: {}", "4: defautls", "did you mean defaults?"),
    ("zzz: 1", "4: zzz", "known here: environment, node, roots"),
    ("defaults:\n  settel: 2s", "5: defaults.settel", "did you mean settle?"),
    ("defaults:\n  run_as: root", "5: defaults.run_as", "belongs under an item of roots"),
    ("settle: 2s", "4: settle", "belongs under defaults or apps.<name>"),
    ("rettry: {first: 1s}", "4: rettry", "unknown key; did you mean defaults.retry?"),
    ("rolout: {}", "4: rolout", "did you mean defaults.rollout?"),
    ("logg: {}", "4: logg", "did you mean log?"),
    ("defaults: {timeout: {deploy: 1s}}", "4: defaults.timeout.deploy", "known here: build"),
    ("defaults: {retry: {maximum: 5m}}", "4: defaults.retry.maximum", "did you mean max?"),
    ("defaults: {rollout: {halt-after: 1}}", "4: defaults.rollout.halt-after", "halt_after?"),
    ("log: {Level: info}", "4: log.Level", "did you mean level?"),
    ("metrics: {port: 9464}", "4: metrics.port", "known here: listen"),
    ("    run-as: x", "4: roots[0].run-as", "did you mean run_as?"),
    ("apps:\n  web:\n    path: /x", "6: apps.web.path", "belongs under an item of roots"),
    ("apps: {web: {roll_out: {}}}", "4: apps.web.roll_out", "did you mean rollout?"),
    ("node: a\nnode: b", "5: node", "set twice; the first time in line 4"),
    ("    run_as: deploy", "4: roots[0].run_as", "set twice; the first time in line 3"),
    ("apps:\n  web: {}\n  api: {}\n  web: {}", "7: apps.web", "set twice"),
    ("defaults: {settle: 1s, settle: 2s}", "4: defaults.settle", "set twice"),
    # types
    ("defaults: 5", "4: defaults", "expected a map, got the string '5'"),
    ("defaults:\n  - settle: 2s", "4: defaults", "expected a map, got a list"),
    ("defaults: {settle: [2s]}", "4: defaults.settle", "expected a single value"),
    ("defaults: {timeout: 30s}", "4: defaults.timeout", "expected a map"),
    ("defaults: {ignore: '*.log'}", "4: defaults.ignore", "expected a list"),
    ("defaults: {ignore: [{a: b}]}", "4: defaults.ignore[0]", "expected a single value"),
    ("node: {name: app1}", "4: node", "expected a single value (a name), got a map"),
    ("log: debug", "4: log", "expected a map"),
    ("apps: [web]", "4: apps", "expected a map, got a list"),
    ("apps:\n  web: big", "5: apps.web", "expected a map"),
    ("notify: off", "4: notify", "expected a list"),
    ("notify: [slack]", "4: notify[0]", "expected a map"),
    ("    include: web", "4: roots[0].include", "expected a list"),
    ("  - /files/staging", "4: roots[1]", "expected a map"),
    # values left out
    ("node:", "4: node", "has no value"),
    ("node: ~", "4: node", "has no value"),
    (
        "defaults:\n  settle:\n  grace: 5s",
        "5: defaults.settle",
        "has no value: expected a duration",
    ),
    ("    include:", "4: roots[0].include", "[] is the empty one"),
    # durations
    ("defaults: {settle: 2}", "4: defaults.settle", "'2' has no unit: write 2s"),
    ("defaults: {settle: 0}", "4: defaults.settle", "'0' has no unit: write 0s"),
    ("defaults: {settle: 2.5}", "4: defaults.settle", "has no unit: write 2.5s"),
    ("defaults: {gone_after: 22:30}", "4: defaults.gone_after", "'22:30' is not a valid duration"),
    ("defaults: {grace: -5s}", "4: defaults.grace", "is not a valid duration"),
    ("defaults: {grace: 5 s}", "4: defaults.grace", "is not a valid duration"),
    ("defaults: {grace: 5sec}", "4: defaults.grace", "is not a valid duration"),
    ("defaults: {max_wait: 1h30m}", "4: defaults.max_wait", "one number and its unit"),
    ("defaults: {max_wait: off}", "4: defaults.max_wait", "'off' is not a valid duration"),
    ("defaults: {settle: 3h}", "4: defaults.settle", "out of range: 0s to 1h"),
    ("defaults: {timeout: {stop: 0s}}", "4: defaults.timeout.stop", "out of range"),
    ("defaults: {timeout: {build: 999999999d}}", "4: defaults.timeout.build", "out of range"),
    ("    interval: 10ms", "4: roots[0].interval", "out of range: 50ms to 1h"),
    ("    scan_interval: 0s", "4: roots[0].scan_interval", "out of range"),
    (
        "apps:\n  web:\n    timeout:\n      stop: soon",
        "7: apps.web.timeout.stop",
        "not a valid duration",
    ),
    # numbers and shares
    ("parallel_apps: 0", "4: parallel_apps", "out of range: 1 to 1000"),
    ("parallel_apps: 0755", "4: parallel_apps", "'0755' is not a valid number"),
    ("parallel_apps: 1_000", "4: parallel_apps", "not a valid number"),
    ("parallel_apps: many", "4: parallel_apps", "not a valid number"),
    ("parallel_apps: -1", "4: parallel_apps", "not a valid number"),
    ("defaults: {rollout: {parallel: 0%}}", "4: defaults.rollout.parallel", "1% to 100%"),
    ("defaults: {rollout: {parallel: 101%}}", "4: defaults.rollout.parallel", "1% to 100%"),
    ("defaults: {rollout: {parallel: 0}}", "4: defaults.rollout.parallel", "out of range"),
    ("defaults: {rollout: {parallel: half}}", "4: defaults.rollout.parallel", "as 25%"),
    ("defaults: {rollout: {first: yes}}", "4: defaults.rollout.first", "not a valid number"),
    ("defaults: {rollout: {halt_after: 0}}", "4: defaults.rollout.halt_after", "out of range"),
    ("defaults: {limits: {memory: 512}}", "4: defaults.limits.memory", "write 512M"),
    ("defaults: {limits: {memory: lots}}", "4: defaults.limits.memory", "512M"),
    ("defaults: {limits: {memory: 9K}}", "4: defaults.limits.memory", "too little"),
    ("defaults: {limits: {memory: 101%}}", "4: defaults.limits.memory", "1% to 100%"),
    ("defaults: {limits: {cpu: 2}}", "4: defaults.limits.cpu", "200% for two"),
    ("defaults: {limits: {tasks: 0}}", "4: defaults.limits.tasks", "out of range"),
    ("defaults: {limits: {swap: 1G}}", "4: defaults.limits.swap", "known here: memory"),
    # words
    ("defaults: {layout: simlink}", "4: defaults.layout", "did you mean symlink?"),
    ("defaults: {layout: on}", "4: defaults.layout", "is not one of auto, symlink, git, tree"),
    ("defaults: {unsettled: Deploy}", "4: defaults.unsettled", "did you mean deploy?"),
    ("defaults: {on_failure: rollback}", "4: defaults.on_failure", "is not one of previous, leave"),
    ("log: {level: warn}", "4: log.level", "did you mean warning?"),
    ("    mount: yes", "4: roots[0].mount", "is not one of required, optional"),
    ("    watch: polling", "4: roots[0].watch", "did you mean poll?"),
    ("    fleet: maybe", "4: roots[0].fleet", "neither on nor off"),
    # paths and globs
    ("state_dir: var/lib", "4: state_dir", "must begin with /"),
    ("state_dir: /var/../lib", "4: state_dir", "must not contain `..`"),
    ("state_dir: /", "4: state_dir", "whole filesystem"),
    ('runtime_dir: "/run/a\\nb"', "4: runtime_dir", "line break or a control character"),
    ('runtime_dir: "/run/a\\0b"', "4: runtime_dir", "line break or a control character"),
    (f"runtime_dir: /{'x' * 300}", "4: runtime_dir", "too long"),
    (f"runtime_dir: {'/xxxxxxxxxxx' * 400}", "4: runtime_dir", "too long"),
    ("state_dir: /files/production/state", "4: state_dir", "must be on a local disk"),
    ("    env_files: [common.env]", "4: roots[0].env_files[0]", "must begin with /"),
    ("    env_files: [- /a.env]", "4", "invalid YAML"),
    ("    env_files: ['- /a.env']", "4: roots[0].env_files[0]", "must begin with /"),
    ("    env_files: ['/a/{name}.env']", "4: roots[0].env_files[0]", "only {app} is replaced"),
    ("    env_files: [/a/]", "4: roots[0].env_files[0]", "is a directory"),
    ("    release_dirs:\n      - /ok\n      - ../x", "6: roots[0].release_dirs[1]", "begin with /"),
    ("    include: ['web/*']", "4: roots[0].include[0]", "not for paths"),
    ("    exclude: ['']", "4: roots[0].exclude[0]", "1 to 255 characters"),
    ("    include: [*]", "4", "must be in quotes"),
    ("    include: [*-web]", "4: roots[0].include[0]", "must be in quotes"),
    ("    include: [!web]", "4", "invalid YAML"),
    ("    include: [!web x]", "4: roots[0].include[0]", "put a string with ! in quotes"),
    # names and users
    ("node: ../app1", "4: node", "cannot be used"),
    ("node: .hidden", "4: node", "cannot be used"),
    ("environment: 'a b'", "4: environment", "cannot be used"),
    ("apps: {'a b': {}}", "4: apps.'a b'", "cannot be an app's name"),
    ("apps: {../etc: {}}", "4: apps.'../etc'", "cannot be an app's name"),
    ('apps: {"a\\nb": {}}', "4: apps.'a\\nb'", "cannot be an app's name"),
    ("    trusted_owners: [1000]", "4: roots[0].trusted_owners[0]", "is a number"),
    ("    trusted_owners: [self]", "4: roots[0].trusted_owners[0]", "for run_as only"),
    ("    trusted_owners: ['a:b']", "4: roots[0].trusted_owners[0]", "not a valid user name"),
    ("    trusted_owners: deploy", "4: roots[0].trusted_owners", "expected a list"),
    # notify and metrics
    ("notify: [{url: 'ftp://x', on: [failed]}]", "4: notify[0].url", "https:// or http://"),
    ("notify: [{on: [failed]}]", "4: notify[0].url", "is required: an http or https URL"),
    ("notify:\n  - url: https://x.example", "5: notify[0].on", "is required: which events"),
    ("notify: [{url: 'https://x', on: []}]", "4: notify[0].on", "must not be empty"),
    ("notify: [{url: 'https://x', on: failed}]", "4: notify[0].on", "expected a list"),
    ("notify: [{url: 'https://x', on: [fail]}]", "4: notify[0].on[0]", "did you mean failed?"),
    ("notify: [{url: 'https://x', on: [failed], format: xml}]", "4: notify[0].format", "one of"),
    ("metrics: {listen: on}", "4: metrics.listen", "write off, 127.0.0.1:9464"),
    ("metrics: {listen: 9464}", "4: metrics.listen", "write off, 127.0.0.1:9464"),
    ("metrics: {listen: '127.0.0.1:0'}", "4: metrics.listen", "no port"),
    ("metrics: {listen: '127.0.0.1:70000'}", "4: metrics.listen", "no port"),
    ("metrics: {listen: 'app1.example:9464'}", "4: metrics.listen", "is not a valid address"),
    # rules between two keys
    ("defaults: {retry: {first: 10m}}", "4: defaults.retry", "first (600s) is longer than max"),
    ("defaults: {retry: {max: 1s}}", "4: defaults.retry", "longer than max (1s)"),
    ("apps:\n  web:\n    retry: {first: 6m}", "6: apps.web.retry", "longer than max (300s)"),
    ("defaults: {settle: 20m}", "4: defaults.settle", "longer (1200s) than max_wait (600s)"),
    ("apps: {web: {max_wait: 1s}}", "4: apps.web.settle", "longer (2s) than max_wait (1s)"),
    # roots that meet
    ("  - {path: /files/production, run_as: a}", "4: roots[1].path", "same root as in line 2"),
    ("  - {path: /files//production/, run_as: a}", "4: roots[1].path", "same root as in line 2"),
    ("  - path: /files\n    run_as: a", "4: roots[/files].path", "overlaps the root"),
    (
        "  - path: /files/production/web\n    run_as: a",
        "4: roots[/files/production/web].path",
        "overlaps the root /files/production",
    ),
    ("  - run_as: www-data", "4: roots[1].path", "is required: an absolute path"),
    # YAML itself
    ("defaults:\n\tsettle: 2s", "5", "a tab cannot indent"),
    ("node: 'app1", "4", "invalid YAML"),
    ("defaults: {settle: 2s", "4", "invalid YAML"),
    ("node: a: b", "4", "invalid YAML"),
    ("node: @app1", "4", "begins with @"),
    ("---\nnode: app1", "4", "a second document"),
    ("node: !!python/object/apply:os.system id", "4: node", "a tag has no meaning"),
    ("node: !secret app1", "4: node", "a tag has no meaning"),
    ("apps: &all {web: *all}", "4: apps.web", "stands inside of what it names"),
    ("apps: {web: *nothing}", "4: apps.web", "names no anchor above"),
    ("apps: {web: {<<: 5}}", "4: apps.web.<<", "expected a map, or an alias of one"),
    ("? [a, b]\n: c", "4", "a key must be a single word"),
    ("{a: b}: c", "4", "a key must be a single word"),
    ("node: a\x00b", "4", "a NUL byte"),
    ("node: a\x1b[31m", "4", "U+001B"),
    ("apps: " + "[" * 5000, "4: apps" + 15 * "[0]", "nests deeper than 16 levels"),
    ("apps: " + "{a: " * 5000, "4: apps", "nests deeper than 16 levels"),
]


@pytest.mark.parametrize(("text", "where", "what"), APPENDED, ids=[row[0][:40] for row in APPENDED])
def test_a_wrong_line_is_named(text: str, where: str, what: str, tmp_path: Path) -> None:
    """One mistake gives one line, that begins with the file, the line and the key."""
    (line,) = errors_of(written(tmp_path, GOOD + text + "\n"))
    assert line.startswith((f"appagent.yaml:{where}: ", f"appagent.yaml:{where}."))
    assert what in line


# Whole files.
WHOLE: list[tuple[str | bytes, str, str]] = [
    ("", "1: roots", "is required"),
    ("# nothing yet\n", "1: roots", "is required"),
    ("---\n", "1: roots", "is required"),
    ("node: a\nroots: []\n", "2: roots", "is required"),
    ("roots:\n", "1: roots", "has no value"),
    ("roots: /files/production\n", "1: roots", "expected a list"),
    ("roots: {path: /files/production}\n", "1: roots", "expected a list, got a map"),
    ("just words\n", "1", "expected a map of settings"),
    ("- path: /files\n", "1", "expected a map of settings"),
    ("42", "1", "expected a map of settings"),
    ("roots:\n  - path: /f\n", "2: roots[/f].run_as", "is required, as the agent runs as root"),
    ("roots: [{path: /f, run_as: self}]", "1: roots[/f].run_as", "write root"),
    ("roots: [{path: /f, run_as: 0}]", "1: roots[0].run_as", "is a number"),
    ("roots: [{path: /f, run_as: '+33'}]", "1: roots[0].run_as", "is a number"),
    ("roots: [{path: /f, run_as: -x}]", "1: roots[0].run_as", "not a valid user name"),
    ("roots: [{path: /f, run_as: no/body}]", "1: roots[0].run_as", "not a valid user name"),
    ("roots: [{path: /, run_as: a}]", "1: roots[0].path", "whole filesystem"),
    (b"node: a\n# caf\xe9\n", "2", "is not UTF-8: byte 0xe9"),
    ("node: app1\n".encode("utf-16"), "1", "is not UTF-8"),
    (b"\x00" * 20, "1", "a NUL byte"),
    (b"node: a\n\x7fELF\x01", "2", "U+007F"),
]


@pytest.mark.parametrize(("text", "where", "what"), WHOLE, ids=[repr(row[0])[:40] for row in WHOLE])
def test_a_wrong_file_is_named(text: str | bytes, where: str, what: str, tmp_path: Path) -> None:
    """A file that is wrong as a whole gives one line too."""
    (line,) = errors_of(written(tmp_path, text))
    assert line.startswith(f"appagent.yaml:{where}: ")
    assert what in line


def test_the_tables_are_long_enough() -> None:
    """There are sixty cases at the very least, and no two alike."""
    assert len({text for text, _, _ in APPENDED}) == len(APPENDED) >= 60
