"""Users that are not known are a warning, and a name service that hangs costs a moment."""

from __future__ import annotations

import grp
import os
import pwd
import sys
import time
from pathlib import Path

import pytest

from appagent.config import lookup_warnings, users
from appagent.model.settings import RootSettings, Settings

NOBODY_HAS_IT = "no-such-name-here"


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
    monkeypatch.setattr(users, "_ASKED", "/nowhere")
    assert lookup_warnings(node(word), deadline=30) == ()


def test_unknown_names_are_told_with_their_line() -> None:
    """A name that has no answer is not a reason to refuse the configuration."""
    places = {"roots[/f].run_as": "appagent.yaml:3"}
    first, second = lookup_warnings(node(NOBODY_HAS_IT, NOBODY_HAS_IT), 30, places)
    assert first.startswith(f"appagent.yaml:3: roots[/f].run_as: no user {NOBODY_HAS_IT}")
    assert second.startswith(f"roots[/f].trusted_owners: no user or group {NOBODY_HAS_IT}")


def test_a_name_service_that_hangs_is_left_after_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it said before counts; who did not come up is named; the child is gone."""
    pid_file = tmp_path / "pid"
    child = tmp_path / "hanging.py"
    child.write_text(
        "import os, pathlib, sys, time\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))\n"
        "print('[\"a\", 5, false]', flush=True)\n"
        "print('[\"b\", 5, fal', end='', flush=True)\n"
        "time.sleep(600)\n"
    )
    monkeypatch.setattr(users, "_ASKED", str(child))
    begun = time.monotonic()
    warnings = lookup_warnings(node("a", "b"), deadline=2)
    assert time.monotonic() - begun < 60  # and not for ever
    assert warnings == (
        "roots[/f].trusted_owners: the name service did not say within 2 s who b is",
    )
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_a_child_that_cannot_ask_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a missing interpreter nor a crash of it is more than that."""
    monkeypatch.setattr(users, "_ASKED", "/nowhere/at/all.py")
    assert lookup_warnings(node("a"), 30) == ("roots[/f].run_as: a could not be looked up",)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert lookup_warnings(node("a"), 30) == ("roots[/f].run_as: a could not be looked up",)


def test_root_by_another_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root is taken by its own name alone."""
    monkeypatch.setattr(users, "_ask", lambda *_: {"toor": (0, False)})
    (warning,) = lookup_warnings(node("toor"), 1)
    assert "root by another name" in warning
