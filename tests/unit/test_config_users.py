"""Users that do not exist are a warning, and a name service that hangs costs a moment."""

from __future__ import annotations

import grp
import os
import pwd
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from appagent.config.users import Answer, lookup_warnings
from appagent.model.settings import RootSettings, Settings

NO_NAME = "no-such-name-here"


def node(run_as: str, *trusted: str) -> Settings:
    """A node with one root."""
    return Settings(roots=(RootSettings("/f", run_as=run_as, trusted_owners=trusted),))


def test_known_users_and_groups_give_no_warning() -> None:
    """A trusted owner may be either."""
    group = grp.getgrall()[-1].gr_name
    user = pwd.getpwall()[-1].pw_name
    assert lookup_warnings(node(user, user, group, "root"), deadline=30) == ()


@pytest.mark.parametrize("word", ["self", "owner"])
def test_the_words_of_run_as_are_not_looked_up(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No child is started for them."""
    monkeypatch.setattr(os, "fork", None)
    assert lookup_warnings(node(word), deadline=30) == ()


def test_unknown_names_are_reported_with_their_line() -> None:
    """A name that has no answer is not a reason to refuse the configuration."""
    positions = {"roots[/f].run_as": "appagent.yaml:3"}
    first, second = lookup_warnings(node(NO_NAME, NO_NAME), 30, positions)
    assert first.startswith(f"appagent.yaml:3: roots[/f].run_as: no user {NO_NAME}")
    assert second.startswith(f"roots[/f].trusted_owners: no user or group {NO_NAME}")


def test_a_name_service_that_hangs_is_left_after_the_deadline(tmp_path: Path) -> None:
    """Its answers before count; a name without one is reported; the child is gone."""
    pid_file = tmp_path / "pid"

    def hangs(names: Sequence[str]) -> Iterator[Answer]:
        pid_file.write_text(str(os.getpid()))
        yield names[0], 5, False
        time.sleep(600)

    started = time.monotonic()
    warnings = lookup_warnings(node("a", "b"), deadline=2, look_up=hangs)
    assert time.monotonic() - started < 60  # and not for ever
    late = "the name service did not answer within 2 s"
    assert warnings == (f"roots[/f].trusted_owners: b could not be looked up: {late}",)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_a_child_that_cannot_ask_is_a_warning() -> None:
    """Neither an exception in it nor its death is more than that."""

    def fails(names: Sequence[str]) -> Iterator[Answer]:
        raise RuntimeError(names)

    def dies(names: Sequence[str]) -> Iterator[Answer]:
        os._exit(len(names))

    for look_up in (fails, dies):
        warnings = lookup_warnings(node("a"), 30, look_up=look_up)
        assert warnings == ("roots[/f].run_as: a could not be looked up",)


def test_root_by_another_name_is_reported() -> None:
    """Root is taken by its own name alone."""

    def toor(_: Sequence[str]) -> Iterator[Answer]:
        yield "toor", 0, False

    (warning,) = lookup_warnings(node("toor"), 30, look_up=toor)
    assert "root by another name" in warning
