"""A share that fails in every way: nothing runs, nothing stops, and all is well once it is back."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from appagent import control
from tests.integration.failing_eye import CALLS
from tests.integration.node import (
    APPS,
    PATIENCE,
    Node,
    SymlinkApp,
    TreeApp,
    node,
    wait_until,
    write_files,
)
from tests.integration.shown import QUICK

EYE = "failing_eye.py"
AGENT = Path(__file__).with_name("failing_agent.py")
ERRNOS = (
    errno.ENOTCONN,
    errno.ESTALE,
    errno.EIO,
    errno.EACCES,
    errno.ETIMEDOUT,
    errno.ECONNABORTED,
    errno.EHOSTDOWN,
)
UNSHARE = ["unshare", "--mount", "--propagation", "private"]
# Which layouts meet a call; all read an appagent.yaml.
MET_BY = {
    "names": ("symlink", "git", "tree"),
    "status": ("symlink", "git", "tree"),
    "link": ("symlink",),
    "read": ("symlink", "git", "tree"),
    "open_dir": ("tree",),
    "entries": ("tree",),
    "link_at": ("tree",),
    "close": ("tree",),
}
LOCAL = "local-app"


class ShareNode(Node):
    """A node with one root on a share that fails as it is told, and one on the local disk."""

    def __init__(self, base: Path) -> None:
        self.script: dict[str, Any] = {"mounts": [], "faults": []}
        self.local = base / "local"
        super().__init__(base, interval="50ms", scan_interval="200ms")
        self.local.mkdir()
        self.config_dir = self.root / ".config"
        self.config_dir.mkdir()
        self.defaults["gone_after"] = "200ms"
        self.defaults["settle"] = "200ms"
        self.write_config()
        self.script_file = base / "script.json"
        self.program = [sys.executable, "-P", str(AGENT), str(self.script_file)]
        self.versions = 0
        self.mounted(1)

    def write_config(self) -> None:
        """Both roots."""
        share = {**self.root_settings, "env_files": [f"-{self.root}/.config/{{app}}.env"]}
        local = {**self.root_settings, "path": str(self.local), "env_files": []}
        whole = {
            **self.settings,
            "roots": [share, local],
            "defaults": self.defaults,
            "apps": self.apps,
        }
        self.config.write_text(json.dumps(whole))

    # --- the share -------------------------------------------------------------------------------

    def say(self, **script: object) -> None:
        """Have the share behave like this from now on."""
        self.script.update(script)
        new = self.script_file.with_suffix(".new")
        new.write_text(json.dumps(self.script))
        new.replace(self.script_file)

    def fails(self, call: str, path: str, **how: object) -> None:
        """Let one call fail."""
        self.say(faults=[{"call": call, "path": path, **how}])

    def heals(self) -> None:
        """Let nothing fail."""
        self.say(faults=[])

    def mounted(self, number: int, fstype: str = "fuse.glusterfs") -> None:
        """Have the share mounted; another number is another mount."""
        self.say(mounts=[[number, str(self.root), fstype]])

    # --- what the agent says ---------------------------------------------------------------------

    def share(self) -> dict[str, Any]:
        """What `status` says of the share's root."""
        found: dict[str, Any] = next(
            root for root in self.status()["roots"] if root["path"] == str(self.root)
        )
        return found

    def states(self) -> dict[str, str]:
        """The state of each app on the share."""
        return {
            app["app"]: app["state"]
            for app in self.status()["apps"]
            if app["root"] == str(self.root)
        }

    def wait_unknown(self, *words: str) -> dict[str, Any]:
        """Wait until the root is unknown, and for a reason with these words in it."""

        def found() -> dict[str, Any]:
            root = self.share()
            return {} if root["known"] or not all(word in root["why"] for word in words) else root

        return wait_until(found, f"{self.root} is unknown: {words}")

    def wait_well(self) -> None:
        """Wait until the share is known and every app on it is good."""

        def well() -> bool:
            return self.share()["known"] and set(self.states().values()) == {"good"}

        try:
            wait_until(well, "all is well")
        except AssertionError:
            raise AssertionError(f"{self.share()} {self.states()}\n{self.told()}") from None

    def others_go_on(self) -> None:
        """Deploy something to the local root, through all of its steps."""
        self.versions += 1
        version = str(self.versions)
        app = SymlinkApp(self, LOCAL)
        app.path = self.local / LOCAL
        app.deploy(version)

        def there() -> bool:
            ends = self.calls(LOCAL, "end")
            return bool(ends) and (ends[-1].target, ends[-1].version) == ("check", version)

        wait_until(there, "the app on the local disk is deployed")

    def share_calls(self) -> list[str]:
        """What was called of apps on the share."""
        return [f"{call.app} {call.target}" for call in self.calls() if call.app != LOCAL]


def eyes_of(made: ShareNode) -> list[psutil.Process]:
    """The eye processes of the agent."""
    assert made.process is not None
    found = []
    for child in psutil.Process(made.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # over, and not noticed yet
            if EYE in " ".join(child.cmdline()):
                found.append(child)
    return found


@pytest.fixture
def made(tmp_path: Path) -> Iterator[ShareNode]:
    one = ShareNode(tmp_path)
    try:
        yield one
    finally:
        one.heals()
        one.clean_up()


def small_apps(made: ShareNode, suffixes: tuple[str, ...]) -> dict[str, TreeApp]:
    """An app of each layout for each suffix, running well. They end in a dash, to be globbed."""
    apps = {}
    for suffix in suffixes:
        for kind, make in APPS.items():
            name = f"{kind}-{suffix}-"
            apps[name] = app = make(made, name)
            app.deploy("1", made.makefile(targets="install start restart"))
            where = app.path / "releases/1" if kind == "symlink" else app.path
            write_files(where, {"appagent.yaml": "grace: 1s\n"})
            (where / "link").symlink_to("version")
            (made.config_dir / f"{name}.env").write_text("GREETING=hello\n")
    made.start()
    wait_until(lambda: len(made.states()) == len(apps), "all apps are seen")
    made.wait_well()
    made.others_go_on()
    made.forget_calls()
    return apps


def ask_for_looks(made: ShareNode, names: list[str]) -> None:
    """Have whole looks taken, whatever the marks say."""
    for name in names:
        with contextlib.suppress(control.Refused):  # 75: it is unknown; it is looked at even so
            made.ask("trigger", app=name)


def test_every_error_at_every_call_makes_an_app_unknown_and_nothing_else(made: ShareNode) -> None:
    words = {number: errno.errorcode[number].lower() for number in ERRNOS}
    apps = small_apps(made, tuple(words.values()))
    for call in CALLS:
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
        assert f"{made.root}: UNKNOWN for " in text
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


def test_a_call_that_never_returns_stops_nothing_and_status_answers(made: ShareNode) -> None:
    small_apps(made, ("one",))
    for call in CALLS:
        made.fails(call, f"{made.root}/*", hang=True)
        ask_for_looks(made, list(made.states()))
        made.wait_unknown("does not answer", call)
        assert set(made.states().values()) == {"unknown"}, call
        made.others_go_on()
        made.heals()
        made.wait_well()
        assert made.share_calls() == [], call
    made.others_go_on()
    assert made.share_calls() == []


def test_every_command_answers_while_a_share_hangs(made: ShareNode) -> None:
    small_apps(made, ("one",))
    made.fails("*", f"{made.root}*", hang=True)
    made.wait_unknown("does not answer")
    codes = {
        ("status",): 0,
        ("status", "--check"): 75,
        ("status", "symlink-one-"): 0,
        ("explain", "symlink-one-"): 0,
        ("history",): 0,
        ("logs", "symlink-one-"): 0,
        ("trigger", "symlink-one-"): 75,
        ("cancel", "symlink-one-"): 1,
        ("hold", "symlink-one-", "--why", "x"): 0,
        ("resume", "symlink-one-"): 0,
        ("forget", "symlink-one-"): 1,
        ("wait", "--timeout", "100ms"): 75,
        ("check-config",): 0,
    }
    told = {}
    for command, code in codes.items():
        done = told[command] = made.command(*command)  # each has a bound of its own
        assert done.returncode == code, (command, done.stdout, done.stderr)
    assert f"{made.root}: UNKNOWN for " in told["status",].stdout
    assert "does not answer" in told["status", "symlink-one-"].stdout
    assert "does not answer" in told["explain", "symlink-one-"].stdout
    assert "does not answer" in told["trigger", "symlink-one-"].stderr
    assert made.share_calls() == []


def test_an_eye_that_hangs_for_long_is_killed_and_there_is_never_a_second(
    made: ShareNode,
) -> None:
    made.say(kill=2.0)
    small_apps(made, ("one",))
    eyes = {eye.pid for eye in eyes_of(made)}
    assert len(eyes) == 2
    made.fails("*", f"{made.root}*", hang=True)
    gone: set[int] = set()
    for _ in range(3):  # one is killed, the next hangs as well
        before = {eye.pid for eye in eyes_of(made)}

        def changed(before: set[int] = before) -> bool:
            now = {eye.pid for eye in eyes_of(made)}
            assert len(now) <= 2
            return len(now) == 2 and now != before

        wait_until(changed, "another eye is there")
        gone |= before - {eye.pid for eye in eyes_of(made)}
    assert len(gone) == 3
    made.wait_unknown()
    made.heals()
    made.wait_well()
    made.others_go_on()
    assert made.share_calls() == []


def test_an_eye_that_is_stopped_or_dies_is_told_and_replaced(made: ShareNode) -> None:
    made.say(kill=1.0)
    small_apps(made, ("one",))
    on_share = next(eye for eye in made.status()["eyes"] if eye["eye"] == str(made.root))
    os.kill(on_share["pid"], signal.SIGSTOP)
    made.wait_unknown("does not answer")
    made.wait_well()  # it was killed, and a new one looks
    made.fails("names", str(made.root), die=True)
    made.wait_unknown("ended (3)")
    made.others_go_on()
    made.heals()
    made.wait_well()
    assert made.share_calls() == []


def test_an_empty_root_is_no_reason_to_stop_anything(made: ShareNode) -> None:
    small_apps(made, ("one",))
    made.fails("names", str(made.root), empty=True)
    wait_until(
        lambda: "is empty: is the share mounted" in made.app("git-one-")["why"],
        "the empty root is seen",
    )
    made.others_go_on()  # takes far longer than `gone_after`
    assert set(made.states().values()) == {"unknown"}
    assert "is empty" in made.command("status").stdout
    made.heals()
    made.wait_well()
    made.others_go_on()
    assert made.share_calls() == []


def test_a_share_that_lost_most_of_its_apps_stops_none_of_them(made: ShareNode) -> None:
    small_apps(made, ("one",))
    away = made.base / "away"
    away.mkdir()
    for name in ("git-one-", "tree-one-"):
        (made.root / name).rename(away / name)
    wait_until(
        lambda: "more than half of the apps" in made.app("git-one-")["why"],
        "the apps are missed",
    )
    made.others_go_on()
    for name in ("git-one-", "tree-one-"):
        (away / name).rename(made.root / name)
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


def in_namespace(made: Node, *command: str) -> None:
    """Run a command where the agent's mounts are."""
    assert made.process is not None
    subprocess.run(["nsenter", "-t", str(made.process.pid), "-m", *command], check=True)


@pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run([*UNSHARE, "true"], check=False).returncode != 0,
    reason="only root can mount",
)
def test_a_disk_that_is_really_unmounted_is_unknown_until_it_is_mounted(tmp_path: Path) -> None:
    with node(tmp_path, mount="required", **QUICK) as made:
        made.defaults["gone_after"] = "200ms"
        made.write_config()
        disk = tmp_path / "disk"
        disk.mkdir()
        made.program = [*UNSHARE, *made.program]
        made.start()
        wait_until(lambda: "is not mounted" in root_of(made)["why"], "the root is unknown")
        (tmp_path / "root" / "below").mkdir()  # what is there is not what should be
        made.root = disk
        app = SymlinkApp(made, "web")
        app.deploy("1")
        for _ in range(2):
            in_namespace(made, "mount", "--bind", str(disk), str(tmp_path / "root"))
            made.wait_for("web", "good")
            in_namespace(made, "umount", "--lazy", str(tmp_path / "root"))
            state = made.wait_for("web", "unknown")
            assert "is not mounted" in state["why"]
        assert made.targets() == ["install", "start", "check"]
        app.deploy("2")
        in_namespace(made, "mount", "--bind", str(disk), str(tmp_path / "root"))
        wait_until(lambda: made.targets()[3:] == ["install", "restart", "check"], "2 is deployed")
        made.wait_for("web", "good")


def root_of(made: Node) -> dict[str, Any]:
    """What `status` says of the one root."""
    found: dict[str, Any] = made.status()["roots"][0]
    return found


def unmounted(made: ShareNode) -> None:
    """The share is not mounted, and the directory below is an ordinary empty one."""
    made.say(mounts=[], faults=[{"call": "names", "path": str(made.root), "empty": True}])


def another_disk(made: ShareNode) -> None:
    """Something else is mounted where the share should be."""
    made.mounted(9, "ext4")
    made.fails("names", str(made.root), empty=True)


def only_an_automounter(made: ShareNode) -> None:
    """The automounter stands there and mounts nothing."""
    made.mounted(9, "autofs")
    made.fails("names", str(made.root), empty=True)


def test_a_share_that_is_not_mounted_is_unknown_also_to_the_next_agent(made: ShareNode) -> None:
    small_apps(made, ("one",))
    for number, away in enumerate((unmounted, another_disk, only_an_automounter), 2):
        away(made)
        made.wait_unknown("mounted")
        made.kill()
        made.start()
        made.wait_unknown("mounted")
        made.others_go_on()
        assert set(made.states().values()) == {"unknown"}, away
        made.heals()
        made.mounted(number)
        made.wait_well()
        assert made.share_calls() == [], away
    made.others_go_on()
    assert made.share_calls() == []


def test_a_first_look_at_a_share_that_hangs_deploys_nothing_until_it_answers(
    made: ShareNode,
) -> None:
    SymlinkApp(made, "web").deploy("1")
    made.fails("*", f"{made.root}*", hang=True)
    made.start()
    made.wait_unknown("does not answer")
    made.others_go_on()
    assert made.states() == {}
    made.heals()
    wait_until(lambda: made.states() == {"web": "good"}, "the app is deployed")
    assert made.share_calls() == ["web install", "web start", "web check"]


@pytest.mark.parametrize("how", ["thread", "process"])
def test_a_term_ends_the_agent_though_an_eye_hangs(made: ShareNode, how: str) -> None:
    small_apps(made, ("one",))
    if how == "thread":
        made.fails("*", f"{made.root}*", hang=True)
    else:
        on_share = next(eye for eye in made.status()["eyes"] if eye["eye"] == str(made.root))
        os.kill(on_share["pid"], signal.SIGSTOP)
    made.wait_unknown("does not answer")
    eyes = eyes_of(made)
    assert made.stop() == 0
    gone, alive = psutil.wait_procs(eyes, PATIENCE)
    assert (len(gone), alive) == (2, [])
    assert made.share_calls() == []
