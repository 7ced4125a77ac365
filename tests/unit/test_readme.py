"""The README names every key, command and variable, and its examples are right."""

import argparse
import re
from pathlib import Path

import pytest

from appagent import config
from appagent.cli import parser
from appagent.config.schema import OWN, rows
from appagent.core.settings import settings_for
from appagent.shim.environment import AGENTS_OWN

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


def cell(text: str) -> str:
    """Return a text as it stands in a cell of a table."""
    return text.replace("|", "\\|")


def test_every_key_is_in_the_table_as_the_code_has_it() -> None:
    expected = [
        f"| `{row.path}` | {cell(row.wants)} | "
        + (f"`{cell(row.default)}` " if row.default else "")
        + f"| {cell(row.what)} |"
        for row in rows()
    ]
    missing = [line for line in expected if line not in README.splitlines()]
    assert missing == []


def commands() -> dict[str, argparse.ArgumentParser]:
    for action in parser()._actions:  # noqa: SLF001 - argparse has no other way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return dict(action.choices)
    return {}


def test_every_command_is_named_and_no_other() -> None:
    named = set(re.findall(r"^\| `appagent ([a-z-]+)", README, re.MULTILINE))
    assert named == set(commands())


@pytest.mark.parametrize("command", commands())
def test_the_options_that_are_shown_exist(command: str) -> None:
    (line,) = re.findall(rf"^\| `(appagent {command}\b[^`]*)`", README, re.MULTILINE)
    known = {
        option
        for action in commands()[command]._actions  # noqa: SLF001
        for option in action.option_strings
    }
    assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", line)) <= known


def test_every_word_of_status_is_explained() -> None:
    core = REPOSITORY / "appagent/core"
    used = re.findall(r'wait\("([a-z-]+)"', (core / "want.py").read_text())
    used += re.findall(r'return "([a-z-]+)", ', (core / "summary.py").read_text())
    (table,) = re.findall(r"^The words of `status`:\n\n(.*?)\n\n", README, re.MULTILINE | re.DOTALL)
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert len(set(used)) > 10
    assert set(used) <= {word.strip() for row in rows for word in row.split(",")}


def test_every_variable_of_a_target_is_named() -> None:
    named = set(re.findall(r"^\| `(APP_[A-Z_]+)` \|", README, re.MULTILINE))
    assert named == AGENTS_OWN


def test_the_example_configuration_loads(tmp_path: Path) -> None:
    (example,) = [block for block in BLOCKS if "roots:" in block]
    path = tmp_path / "appagent.yaml"
    path.write_text(example)
    settings = config.load(str(path)).settings
    assert [root.path for root in settings.roots] == ["/files/production", "/srv/tools"]
    assert settings_for(settings, "web", {}).rollout.parallel_count == 1


def test_the_apps_own_example_is_right_and_has_every_key() -> None:
    (example,) = [block for block in BLOCKS if "roots:" not in block]
    assert set(config.parse_own(example, "appagent.yaml")) == set(OWN.keys)


@pytest.mark.parametrize("name", ["examples/appagent.yaml"])
def test_the_configurations_of_the_examples_load(name: str) -> None:
    loaded = config.load(str(REPOSITORY / name))
    assert [Path(file).name for file in loaded.files] == ["appagent.yaml", "10-web.yaml"]
    assert loaded.settings.roots


def test_what_make_run_runs_with_loads(tmp_path: Path) -> None:
    text = (REPOSITORY / "examples" / "try.yaml").read_text()
    for word, value in (("HERE", str(tmp_path)), ("RUNTIME", str(tmp_path)), ("RUN_AS", "root")):
        text = text.replace(f"@{word}@", value)
    path = tmp_path / "appagent.yaml"
    path.write_text(text)
    assert config.load(str(path)).settings.roots[0].run_as == "root"


def test_its_links_lead_somewhere() -> None:
    headings = re.findall(r"^## (.*)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", it.lower()).replace(" ", "-") for it in headings}
    assert set(re.findall(r"\]\(#(.*?)\)", README)) <= anchors
    for name in re.findall(r"`((?:examples|systemd|tools)/[\w./-]+)`", README):
        assert (REPOSITORY / name).exists(), name
