"""`check-config --print`: what is in force, where each value comes from, and valid YAML."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from appagent.config import effective, planned
from tests import config_table as table
from tests.config_texts import AS_PERSON, AS_ROOT, GOOD, loaded
from tests.unit.test_config import APP_KEYS, EVERY_KEY, NODE_KEYS, ROOT_KEYS

TEXTS = [
    GOOD,
    EVERY_KEY,
    *(f"{GOOD}    {text}\n" for text, _ in ROOT_KEYS),
    *(f"{GOOD}defaults:\n  {text}\n" for text, _ in APP_KEYS),
    *(GOOD + "apps:\n  web:\n    " + text.replace("\n", "\n  ") + "\n" for text, _ in APP_KEYS),
    *(f"{GOOD}{text}\n" for text, _ in NODE_KEYS),
    GOOD + "node: 'null'\napps: {'a:b': {ignore: ['#x', ' y', '- z', 'a, b', \"é'\\\"\", '*']}}\n",
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_printed_is_the_same_configuration(text: str, tmp_path: Path) -> None:
    before = loaded(tmp_path, main=text)
    shown = effective(before)
    for each in before.settings.notify:
        assert each.url not in shown
        shown = shown.replace("<hidden>", f'"{each.url}"', 1)
    assert loaded(tmp_path, main=shown).settings == before.settings


def test_each_value_has_its_file_and_line_or_is_a_default(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        main=GOOD + "defaults: {settle: 5s}\nlog:\n  level: debug\n",
        web="roots:\n  - path: /files/production\n    include: [web, 'api-*']\n"
        "defaults: {settle: 3s}\napps:\n  web: {timeout: {stop: 5s}}\n  api: {}\n",
    )
    shown = effective(found)
    lines = [line.split() for line in shown.replace(f"{tmp_path}/", "").splitlines()]
    for line in (
        "node: app1 # default: the host name",
        "# environment: # not set",
        "- path: /files/production # conf.d/web.yaml:2",
        'include: [web, "api-*"] # conf.d/web.yaml:3',
        "run_as: www-data # appagent.yaml:3",
        "exclude: [] # default",
        "# mount: # not set",
        "fleet: on # default; planned, no effect yet",
        "settle: 3s # conf.d/web.yaml:4",
        "grace: 5s # default",
        "stop: 30s # default",
        "stop: 5s # conf.d/web.yaml:6",
        "api: {} # conf.d/web.yaml:7",
        "level: debug # appagent.yaml:6",
        "format: auto # default",
        "notify: [] # default; planned, no effect yet",
    ):
        assert line.split() in lines, shown
    assert "settle: 5s" not in shown


def test_every_key_is_printed(tmp_path: Path) -> None:
    shown = effective(loaded(tmp_path, main=EVERY_KEY))
    for row in table.rows():
        name = row.path.removesuffix(".<name>").rpartition(".")[2]
        if not row.path.startswith("notify[]"):
            assert f"{name}:" in shown, row.path


def test_it_is_yaml_for_any_reader(tmp_path: Path) -> None:
    shown = yaml.safe_load(effective(loaded(tmp_path, main=EVERY_KEY)))
    assert shown["roots"][0]["path"] == "/files/production"
    assert shown["defaults"]["timeout"]["build"] == "30m"


def test_an_agent_that_is_not_root_runs_everything_as_itself(tmp_path: Path) -> None:
    found = loaded(tmp_path, AS_PERSON, main="roots: [{path: /f}]\n")
    assert ["run_as:", "self", "#", "default"] in [
        line.split() for line in effective(found).splitlines()
    ]


def test_keys_without_effect_are_found_where_they_were_written(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        AS_ROOT,
        main=GOOD + "    fleet: off\ndefaults: {settle: 1s, install: parallel}\n"
        "apps:\n  web: {rollout: {first: 2}}\nmetrics: {listen: off}\nnotify: []\n",
    )
    assert [(path, position.line) for path, position in planned(found.tree)] == [
        ("roots[0].fleet", 4),
        ("defaults.install", 5),
        ("apps.web.rollout", 7),
        ("metrics", 8),
        ("notify", 9),
    ]
    assert list(planned(loaded(tmp_path, main=GOOD).tree)) == []
