"""Where an agent lives is found also in a configuration that is wrong elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from appagent.config import locate
from appagent.model.settings import Settings
from tests.config_texts import GOOD, written

HERE = "state_dir: /srv/state\nruntime_dir: /srv/run\n"


@pytest.mark.parametrize(
    "text",
    [
        HERE + "setle: 2s\n",
        HERE + "roots: 5\n",
        HERE + "roots: [\n",
        HERE + 'node: "a\n\tb: {\n',
        HERE + "state_dir: /elsewhere # set twice, and the first stands\n",
        '{"state_dir": "/srv/state",\n "runtime_dir": "/srv/run", "roots": [}\n',
        "state_dir: '/srv/state'  # ours\nruntime_dir: /srv/run # too\nroots: - - -: [\n",
        HERE.encode() + b"node: \xff\xfe\n",
    ],
    ids=["key", "value", "list", "tabs", "twice", "json", "quotes", "bytes"],
)
def test_a_file_that_is_wrong_elsewhere_still_says_where_the_agent_is(
    text: str | bytes, tmp_path: Path
) -> None:
    found = locate(str(written(tmp_path, text)))
    assert found[:2] == ("/srv/state", "/srv/run")
    assert found.socket == "/srv/run/control.sock"
    assert found.errors


def test_a_right_file_has_nothing_wrong(tmp_path: Path) -> None:
    text = (GOOD + HERE).replace("run_as: www-data", "run_as: daemon")
    assert locate(str(written(tmp_path, text))) == ("/srv/state", "/srv/run", ())


def test_a_later_file_wins_and_a_broken_one_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    main = written(tmp_path, GOOD + HERE)
    written(tmp_path, "runtime_dir: /srv/other\nroots: [\n", "conf.d/10-broken.yaml")
    written(tmp_path, "roots: [\n", "conf.d/20-more.yaml")
    assert locate(str(main))[:2] == ("/srv/state", "/srv/other")


@pytest.mark.parametrize("value", ["run", "/srv/../etc", "[/srv]", "", '"/srv\\0"'])
def test_a_place_that_is_wrong_itself_is_not_taken(value: str, tmp_path: Path) -> None:
    found = locate(str(written(tmp_path, GOOD + f"runtime_dir: {value}\n")))
    assert found.runtime_dir == Settings().runtime_dir
    assert found.errors


def test_without_any_file_it_is_where_agents_are(tmp_path: Path) -> None:
    found = locate(str(tmp_path / "none.yaml"))
    assert found[:2] == (Settings().state_dir, Settings().runtime_dir)
    assert "no such file" in found.errors[0]
