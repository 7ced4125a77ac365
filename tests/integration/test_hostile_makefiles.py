"""Makefiles that do what nobody should: each has the outcome it should, and other apps go on.

One agent runs all of them at once. What each does to the others is part of what is shown.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.node import Node, SymlinkApp, TreeApp, node, wait_until

ALONE = f"3141.{os.getpid()}"  # seconds that nothing else on the machine sleeps
FAR = "600s"  # longer than the tests take

# What each Makefile holds; {calls} and so on are filled in by `makefile_of`.
HOSTILE = {
    "daemon": """\
start:
\t@sleep {alone}1 & echo $$! > {base}/daemon.pid
restart:
\t@true
""",
    "setsid": """\
start:
\t@setsid sh -c 'trap "" TERM HUP; echo $$$$ > {base}/setsid.pid; exec sleep {alone}2' &
\t@while [ ! -s {base}/setsid.pid ]; do sleep 0.02; done
""",
    "deaf": """\
start:
\t@trap "" TERM; echo $$$$ > {base}/deaf.pid; while :; do sleep 0.05; done
""",
    "escapes": """\
start:
\t@trap "" TERM; setsid sh -c 'trap "" TERM; \\
\t\techo $$$$ > {base}/escapes.pid; exec sleep {alone}3' & wait
""",
    "loud": """\
install:
\t@yes 0123456789012345678901234567890123456789012345678901234567890 | head -c 200000000
\t@echo the last of it
start:
\t@yes | head -c 20000000; echo these are my last words; exit 7
""",
    "broken": """\
install:
    echo spaces
""",
    "empty": "",
    "restarts": """\
.PHONY: restart
restart:
\t@echo "begin $@ $$APP_NAME $$APP_RELEASE $$$$ $$(cat version)" >> {calls}
""",
    "up-to-date": """\
install start:
\t@echo "begin $@ $$APP_NAME $$APP_RELEASE $$$$ -" >> {calls}
""",
    "sleeps": """\
X := $(shell sleep {alone}4)
install:
\t@echo "begin $@ $$APP_NAME $$APP_RELEASE $$$$ -" >> {calls}
""",
    "prints": """\
X := $(shell yes | head -c 1000000000 >&2; sleep {alone}7)
install:
\t@true
""",
    "killer": """\
install:
\t@echo "begin $@ $$APP_NAME $$APP_RELEASE $$$$ -" >> {calls}
\t@sleep {alone}5 & kill -9 $$(sed 's/.*) . \\([0-9]*\\) .*/\\1/' /proc/$$PPID/stat); sleep {alone}6
""",
    "painter": """\
install:
\t@printf '\\033]0;owned\\007\\033[2J\\377\\000bad \\342\\200\\256thing\\n' >&2; exit 9
""",
    "binary": "\0\1\2\377\n\tinstall:\n",
    "endless": """\
.PHONY: install
install:
\t@$(MAKE) --no-print-directory install
""",
    "eats-itself": """\
install:
\t@rm -rf "$$APP_DIR"
start:
\t@echo "begin $@ $$APP_NAME $$APP_RELEASE $$$$ -" >> {calls}
""",
}
GOOD = "good-one"


class Zoo:
    """A node with all of them."""

    def __init__(self, made: Node) -> None:
        self.node = made
        self.versions = 0
        self.apps: dict[str, TreeApp] = {}
        made.settings["parallel_apps"] = 64
        made.defaults["retry"] = {"first": FAR, "max": FAR}
        made.defaults["grace"] = "500ms"
        quick = dict.fromkeys(("build", "install", "start", "restart"), "1s")
        for name in ("deaf", "escapes", "sleeps"):
            made.apps[name] = {"timeout": quick}
        made.apps["endless"] = {"timeout": {**quick, "install": "2s"}}
        made.write_config()
        for name, text in HOSTILE.items():
            self.apps[name] = app = TreeApp(made, name)
            if name == "up-to-date":
                (app.path / "install").mkdir(parents=True)
                (app.path / "start").mkdir()
            app.deploy("1", self.makefile_of(text) or "\n")
        odd = self.apps["fifo"] = TreeApp(made, "fifo")
        odd.path.mkdir()
        os.mkfifo(odd.path / "Makefile")
        odd = self.apps["loop"] = TreeApp(made, "loop")
        odd.path.mkdir()
        (odd.path / "Makefile").symlink_to("Makefile")
        made.start()

    def makefile_of(self, text: str) -> str:
        """A Makefile with the places of this node filled in."""
        for word, value in {
            "{calls}": str(self.node.calls_file),
            "{base}": str(self.node.base),
            "{alone}": ALONE,
        }.items():
            text = text.replace(word, value)
        return text

    def ended(self, app: str, target: str, number: int = 0) -> dict[str, Any]:
        """How a run of a target ended, once it has."""

        def found() -> list[dict[str, Any]]:
            ends = self.node.notices("run.ended", app)
            return [end for end in ends if end["target"] == target][number:]

        try:
            return wait_until(found, f"{target} of {app} has ended")[0]
        except AssertionError as error:
            notices = self.node.notices(app=app)
            raise AssertionError(f"{error}: {self.node.app(app)}\n{notices}") from None

    def others_go_on(self) -> None:
        """Deploy something else, through all of its steps."""
        self.versions += 1
        version = str(self.versions)
        SymlinkApp(self.node, GOOD).deploy(version)

        def there() -> bool:
            ends = self.node.calls(GOOD, "end")
            return bool(ends) and (ends[-1].target, ends[-1].version) == ("check", version)

        wait_until(there, "another app is deployed")


def asleep(which: str) -> list[int]:
    """The processes of a Makefile that sleep its own time."""
    command = ["sleep", f"{ALONE}{which}"]
    found = psutil.process_iter(["cmdline"])
    return [process.pid for process in found if process.info["cmdline"] == command]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    with node(tmp_path_factory.mktemp("zoo"), interval="50ms", scan_interval="200ms") as made:
        yield Zoo(made)
        made.clean_up()
        for which in "1234567":
            for pid in asleep(which):
                os.kill(pid, signal.SIGKILL)


def pid_in(path: Path) -> int:
    """The pid that a recipe has left, once it has."""
    return wait_until(lambda: path.exists() and int(path.read_text().strip() or 0), str(path))


def gone(pid: int) -> bool:
    """Whether a process is over."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_other_apps_go_on_beside_all_of_them(zoo: Zoo) -> None:
    zoo.others_go_on()
    wait_until(lambda: len(zoo.node.status()["apps"]) >= len(zoo.apps), "all are seen")
    zoo.others_go_on()


def test_a_daemon_that_holds_the_output_does_not_hold_the_run(zoo: Zoo) -> None:
    for name in ("daemon", "setsid"):
        assert zoo.ended(name, "start")["outcome"] == "ok"
        assert not gone(pid_in(zoo.node.base / f"{name}.pid"))
        zoo.node.wait_for(name, "ok")


def test_what_ignores_term_is_killed_with_all_that_it_started(zoo: Zoo) -> None:
    for name in ("deaf", "escapes"):
        end = zoo.ended(name, "start")
        assert end["outcome"] == "timeout", end
        assert "start did not finish within 1s, did not end on TERM and was killed" in end["text"]
        assert gone(pid_in(zoo.node.base / f"{name}.pid"))
        assert zoo.node.app(name)["state"] == "retrying"


def test_output_is_bounded_and_its_end_is_kept(zoo: Zoo) -> None:
    assert zoo.ended("loud", "install")["outcome"] == "ok"
    end = zoo.ended("loud", "start")
    assert (end["outcome"], end["exit_code"]) == ("failed", 2)
    assert "these are my last words" in end["text"]
    assert end["tail"].splitlines()[0] == "y"
    kept = list((zoo.node.state / "log").glob("loud.log*"))
    assert kept
    assert sum(path.stat().st_size for path in kept) < 64 * 1024 * 1024
    logs = zoo.node.command("logs", "loud", "-n", "3")
    assert "these are my last words" in logs.stdout


def test_a_makefile_that_make_cannot_read_is_told_in_makes_own_words(zoo: Zoo) -> None:
    end = zoo.ended("broken", "build")
    assert end["outcome"] == "failed"
    assert "Makefile:2: *** missing separator" in end["text"]
    assert zoo.ended("binary", "build")["outcome"] == "failed"
    state = zoo.node.wait_for("broken", "retrying")
    assert "missing separator" in state["why"]
    zoo.apps["broken"].deploy("2", zoo.makefile_of("install:\n\t@true\n"))  # and then mended
    zoo.node.wait_for("broken", "ok")


def test_an_empty_makefile_is_an_app_for_which_nothing_is_to_be_done(zoo: Zoo) -> None:
    zoo.node.wait_for("empty", "ok")
    ends = zoo.node.notices("run.ended", "empty")
    assert {end["outcome"] for end in ends} == {"missing"}


def test_a_makefile_with_restart_alone_is_started_by_it(zoo: Zoo) -> None:
    zoo.node.wait_for("restarts", "ok")
    zoo.apps["restarts"].deploy("2", zoo.makefile_of(HOSTILE["restarts"]))
    wait_until(lambda: len(zoo.node.calls("restarts")) >= 2, "it is restarted")
    zoo.node.wait_for("restarts", "ok")
    calls = [(call.target, call.version) for call in zoo.node.calls("restarts")]
    assert calls == [("restart", "1"), ("restart", "2")]


def test_a_target_named_like_a_directory_is_a_warning_that_says_what_to_write(zoo: Zoo) -> None:
    zoo.node.wait_for("up-to-date", "ok")
    warnings = [notice["text"] for notice in zoo.node.notices("run.warning", "up-to-date")]
    assert any("write .PHONY: install into" in text for text in warnings)
    assert any("write .PHONY: start into" in text for text in warnings)
    assert zoo.node.calls("up-to-date") == []


def test_a_makefile_that_takes_for_ever_to_read_is_ended_in_time(zoo: Zoo) -> None:
    end = zoo.ended("sleeps", "build")
    assert end["outcome"] == "timeout"
    assert "reading the Makefile did not finish within 1s" in end["text"]
    assert asleep("4") == []
    assert zoo.node.calls("sleeps") == []


def test_a_makefile_that_prints_for_ever_while_it_is_read_is_ended(zoo: Zoo) -> None:
    end = zoo.ended("prints", "build")
    assert end["outcome"] == "failed"
    assert "produces endless output" in end["text"]
    assert asleep("7") == []


def test_a_recipe_that_kills_its_shim_is_lost_and_nothing_of_it_is_left(zoo: Zoo) -> None:
    ends = [zoo.ended("killer", "install", number) for number in (0, 1)]  # the first at once again
    assert [end["outcome"] for end in ends] == ["lost", "lost"]
    assert asleep("5") + asleep("6") == []
    assert zoo.node.wait_for("killer", "retrying")["why"].startswith("make install lost")


def test_what_a_recipe_prints_cannot_move_a_cursor_or_turn_text_around(zoo: Zoo) -> None:
    zoo.ended("painter", "install")
    zoo.node.wait_for("painter", "retrying")
    for command in (["status"], ["status", "painter"], ["history", "painter"], ["logs", "painter"]):
        done = zoo.node.command(*command)
        assert "bad thing" in done.stdout, command
        assert not set(done.stdout) & {"\033", "\007", "\0", "\u202e"}, command


def test_a_makefile_that_calls_itself_is_ended_with_all_of_its_makes(zoo: Zoo) -> None:
    end = zoo.ended("endless", "install")
    assert end["outcome"] == "timeout"
    left = [
        process.pid
        for process in psutil.process_iter(["cmdline", "cwd"])
        if process.info["cwd"] == str(zoo.apps["endless"].path)
    ]
    assert left == []


def test_a_makefile_that_is_no_file_is_refused_and_holds_nothing(zoo: Zoo) -> None:
    for name in ("fifo", "loop"):
        end = zoo.ended(name, "build")
        assert end["outcome"] in ("refused", "moved"), end
        assert "Makefile" in end["text"]


def test_an_app_that_removes_itself_is_gone(zoo: Zoo) -> None:
    wait_until(lambda: zoo.node.app("eats-itself") == {}, "it is gone")
    assert zoo.node.calls("eats-itself") == []


def test_what_runs_goes_on_when_the_agent_ends_and_the_next_begins(zoo: Zoo) -> None:
    zoo.others_go_on()
    pids = [pid_in(zoo.node.base / f"{name}.pid") for name in ("daemon", "setsid")]
    assert zoo.node.stop() == 0
    assert not any(gone(pid) for pid in pids)
    zoo.node.start()
    zoo.others_go_on()
    assert not any(gone(pid) for pid in pids)
    zoo.node.wait_for("daemon", "ok")
