"""A share that fails: nothing runs, nothing stops, and all is well once it is back."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.node import (
    wait_until,
)
from tests.integration.share_node import (
    ERRNOS,
    ShareNode,
    ask_for_looks,
    share_node,
    small_apps,
)
from tests.share_disk import CALLS

# Which layouts meet a call; all read an appagent.yaml.
MET_BY = {
    "names": ("symlink", "git", "tree"),
    "status": ("symlink", "git", "tree"),
    "readlink": ("symlink",),
    "read": ("symlink", "git", "tree"),
    "open_dir": ("tree",),
    "entries": ("tree",),
    "readlink_at": ("tree",),
    "close": ("tree",),
}


EVERY_CALL = (*CALLS, "close")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[ShareNode]:
    with share_node(tmp_path) as one:
        yield one


def test_every_error_at_every_call_makes_an_app_unknown_and_nothing_else(made: ShareNode) -> None:
    words = {number: errno.errorcode[number].lower() for number in ERRNOS}
    apps = small_apps(made, tuple(words.values()))
    for call in EVERY_CALL:
        made.say(
            faults=[
                {"call": call, "path": f"{made.root}/*-{word}-*", "errno": number}
                for number, word in words.items()
            ]
        )
        hurt = {f"{kind}-{word}-" for kind in MET_BY[call] for word in words.values()}
        ask_for_looks(made, sorted(apps))

        def seen(hurt: set[str] = hurt) -> bool:
            states = made.states()
            return {name for name, state in states.items() if state == "unknown"} == hurt

        wait_until(seen, f"{call} fails, {sorted(hurt)} are unknown: {made.states()}")
        for name in hurt:
            number = next(number for number, word in words.items() if f"-{word}-" in name)
            assert os.strerror(number) in made.app(name)["why"], (call, made.app(name))
            assert made.app(name)["applied"]["up"]
        made.others_go_on()
        made.heals()
        made.wait_well()
        assert made.share_calls() == [], call
    made.others_go_on()
    assert made.share_calls() == []


def test_every_error_of_a_root_makes_it_unknown_and_a_change_meanwhile_is_deployed_after(
    made: ShareNode,
) -> None:
    apps = small_apps(made, ("one", "two"))
    for number in ERRNOS:
        made.fails("names", str(made.root), errno=number)
        made.wait_unknown(os.strerror(number))
        assert set(made.states().values()) == {"unknown"}
        text = made.command("status").stdout
        assert f"{made.root}: unknown for " in text
        assert os.strerror(number) in text
        made.others_go_on()
        assert made.share_calls() == []
        if number != ERRNOS[-1]:
            made.heals()
            made.wait_well()
    apps["symlink-one-"].deploy("2", made.makefile(targets="install start restart"))
    made.others_go_on()
    assert made.share_calls() == []
    made.heals()
    wait_until(lambda: made.calls("symlink-one-", "end")[1:], "the change is deployed")
    made.wait_well()
    assert made.share_calls() == ["symlink-one- install", "symlink-one- restart"]


def test_every_error_of_an_env_file_makes_its_app_unknown(made: ShareNode) -> None:
    small_apps(made, ("one",))
    for call, path in (("read", "symlink-one-.env"), ("names", "")):
        for number in ERRNOS[:2] if call == "read" else ERRNOS[2:3]:
            # A file that cannot be found is looked for in its directory's listing.
            (made.config_dir / "symlink-one-.env").unlink(missing_ok=True)
            if call == "read":
                (made.config_dir / "symlink-one-.env").write_text("GREETING=hello\n")
            made.fails(call, str(made.config_dir / path).rstrip("/"), errno=number)
            state = made.wait_for("symlink-one-", "unknown")
            assert os.strerror(number) in state["why"]
            (made.config_dir / "symlink-one-.env").write_text("GREETING=hello\n")
            made.heals()
            made.wait_well()
    made.others_go_on()
    assert made.share_calls() == []


def test_a_share_on_which_every_eighth_call_fails_is_slow_and_nothing_worse(
    made: ShareNode,
) -> None:
    apps = small_apps(made, ("one", "two"))
    seldom = [
        {"call": "*", "path": f"{made.root}*", "errno": number, "chance": 0.015}
        for number in (*ERRNOS, errno.ENOENT)
    ]
    made.say(faults=[*seldom, {"call": "names", "path": str(made.root), "empty": 1, "chance": 0.1}])
    for version in ("2", "3", "4"):
        for name, app in apps.items():
            if "-one-" in name:
                app.deploy(version, made.makefile(targets="install start restart stop"))

        def there(version: str = version) -> bool:
            last = {call.app: (call.target, call.version) for call in made.calls(what="end")}
            return all(last.get(name) == ("restart", version) for name in apps if "-one-" in name)

        wait_until(there, f"{version} runs")
    made.heals()
    made.wait_well()
    made.others_go_on()
    expected = [(target, version) for version in "234" for target in ("install", "restart")]
    for name in apps:
        calls = [(call.target, call.version) for call in made.calls(name)]
        assert calls == (expected if "-one-" in name else []), name
