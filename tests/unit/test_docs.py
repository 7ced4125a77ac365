"""README and docs name every key, command, state and variable, and their examples are right."""

import argparse
import re
from pathlib import Path

import pytest

from appagent import config
from appagent.cli import parser
from appagent.config.schema import APP_FILE
from appagent.core.settings import settings_for
from appagent.shim.environment import AGENTS_OWN
from tests import config_table as table

REPOSITORY = Path(__file__).resolve().parents[2]
README, APPS, CONFIGURATION, OPERATIONS = (
    (REPOSITORY / name).read_text()
    for name in ("README.md", "docs/apps.md", "docs/configuration.md", "docs/operations.md")
)
PAGES = [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(
    (REPOSITORY / "docs").glob("*.md")
)
BLOCKS = re.findall(r"```yaml\n(.*?)```", CONFIGURATION, re.DOTALL)


def test_the_table_of_keys_is_the_one_that_the_schema_makes() -> None:
    shown = CONFIGURATION[CONFIGURATION.index("| key | value |") :].split("\n\n")[0] + "\n"
    assert shown == table.markdown(), "put in what `python -m tests.config_table` prints"


def commands() -> dict[str, argparse.ArgumentParser]:
    for action in parser()._actions:  # noqa: SLF001 - argparse has no other way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return dict(action.choices)
    return {}


def test_every_command_is_named_and_no_other() -> None:
    named = set(re.findall(r"^\| `appagent ([a-z-]+)", OPERATIONS, re.MULTILINE))
    assert named == set(commands())


@pytest.mark.parametrize("command", commands())
def test_the_options_that_are_shown_exist(command: str) -> None:
    (line,) = re.findall(rf"^\| `(appagent {command}\b[^`]*)`", OPERATIONS, re.MULTILINE)
    known = {
        option
        for action in commands()[command]._actions  # noqa: SLF001
        for option in action.option_strings
    }
    assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", line)) <= known


def test_every_state_is_explained() -> None:
    core = REPOSITORY / "appagent/core"
    used = re.findall(r'wait\("([a-z-]+)"', (core / "want.py").read_text())
    used += re.findall(r'return "([a-z-]+)", ', (core / "summary.py").read_text())
    (table,) = re.findall(r"^## States\n.*?(^\|.*?)\n\n", OPERATIONS, re.MULTILINE | re.DOTALL)
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert len(set(used)) > 10
    assert set(used) <= {word.strip() for row in rows for word in row.split(",")}


def test_every_variable_of_a_target_is_named() -> None:
    named = set(re.findall(r"^\| `(APP_[A-Z_]+)` \|", APPS, re.MULTILINE))
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
    assert set(config.parse_app_file(example, "appagent.yaml")) == set(APP_FILE.keys)


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


def anchors(page: Path) -> set[str]:
    """The places in a page that a link can name."""
    headings = re.findall(r"^##+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", it.lower()).replace(" ", "-") for it in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]*)\)", page.read_text()):
        name, _, anchor = link.partition("#")
        other = page.parent / name if name else page
        assert other.exists(), link
        assert not anchor or anchor in anchors(other), link
    for name in re.findall(r"`((?:examples|systemd|docs|tests)/[\w./-]+)`", page.read_text()):
        assert (REPOSITORY / name).exists(), name
