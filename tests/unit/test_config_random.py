"""Whatever bytes lie there: a configuration or clear lines, and never another exception."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from appagent.config import ConfigErrors, Loaded, load, parse_app_file, yaml_tree
from tests import config_table as table
from tests.config_texts import AS_ROOT

_WORDS = sorted({part for row in table.rows() for part in row.path.replace("[]", "").split(".")})
# Pieces of configurations, so that what is made gets further than the parser.
PIECES = st.sampled_from(
    [
        *(f"{word}: " for word in _WORDS),
        *"{}[],:&*!|>'\"%@`#-?\n\t ~",
        "\n  ", "\n    ", "\n- ", "- ", "&a ", "*a", "<<: *a", "---\n", "...\n", "!!str ", "? ",
        "on", "off", "2s", "100%", "1", "22:30", "0755", "/f", "web", "[failed]", "512M", "null",
        "\ufeff", "\x00", "\x85", "\u2028", "\\0", '"\\ud800"', "é", "😀", "%YAML 1.1\n---\n",
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=40).map("".join)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["2s", "auto", "/f", "on", "1", "50%", "web", "512M"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(_WORDS) | st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


def outcome_of(data: bytes) -> None:
    """Load the bytes as a whole configuration; it must come to one of the two."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "appagent.yaml"
        path.write_bytes(data)
        try:
            assert isinstance(load(str(path), AS_ROOT), Loaded)
        except ConfigErrors as refused:
            assert_clear(refused)


def assert_clear(refused: ConfigErrors) -> None:
    """One printable line for each error, with the file in front."""
    assert refused.errors
    for line in refused.errors:
        assert line.isprintable()
        assert "appagent.yaml" in line or line.startswith("…")


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def _parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both parsers: the one in C is not everywhere."""
    loader = getattr(yaml, request.param, None)
    if loader is None:
        pytest.skip("PyYAML is without libyaml here")
    monkeypatch.setattr(yaml_tree, "LOADER", loader)


BOUNDED = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@BOUNDED
@given(st.binary(max_size=200))
@example(b"\xff\xfe")
@example(b"\x00")
@example(b"\xef\xbb\xbf")
@example(b"a: \xed\xa0\x80")
def test_random_bytes(data: bytes) -> None:
    """As they come from a broken disk."""
    outcome_of(data)


@BOUNDED
@given(TEXTS)
@example("roots: &a [*a]")
@example("? ")
@example("&a : *a")
@example("<<: {<<: [], a: 1}")
@example('"\\0": 1')
@example("roots: [{path: /f, run_as: root, path: /g}]")
def test_random_pieces_of_configurations(text: str) -> None:
    """As they come from a hurried hand."""
    outcome_of(text.encode())


@BOUNDED
@given(VALUES, st.sampled_from(["roots", "defaults", "apps", "notify", "log", ""]))
def test_random_values_under_known_keys(value: object, key: str) -> None:
    """As they come from a program that writes YAML, and does not know the schema."""
    whole = {key: value, "roots": [{"path": "/f", "run_as": "a"}]} if key else value
    with contextlib.suppress(UnicodeEncodeError):
        outcome_of(yaml.dump(whole, allow_unicode=True).encode())


@BOUNDED
@given(TEXTS | st.text(max_size=100))
def test_random_text_in_an_apps_own_file(text: str) -> None:
    """As it comes from whoever may push."""
    with contextlib.suppress(ConfigErrors):
        parse_app_file(text, "web/appagent.yaml")
