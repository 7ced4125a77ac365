"""`appagent doctor` on real directories: what it finds, what it leaves alone, that it ends.

Most of it is called in this process, which is three times as quick; its checks are processes of
their own either way.
"""

import contextlib
import ctypes
import fcntl
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from appagent.doctor import examine
from tests.integration.node import node
from tests.waiting import until

AS_ROOT = os.geteuid() == 0
NOBODY = 65534
MAKEFILE = ".PHONY: install start restart stop\ninstall start restart stop:\n\t@echo $@\n"
NEWNS, MS_REC_PRIVATE = 0x20000, 0x44000
ANSWER_WITHIN = 30.0  # s; doctor promises 20, and this machine may be busy


@dataclass(frozen=True)
class Said:
    """What doctor said, and how it ended."""

    code: int
    text: str

    @property
    def findings(self) -> list[dict[str, str]]:
        """The findings of `--json`."""
        found: list[dict[str, str]] = json.loads(self.text)
        return found

    def of(self, about: str, *levels: str) -> list[dict[str, str]]:
        """The findings about something, of these levels."""
        return [
            one
            for one in self.findings
            if one["about"] == about and (not levels or one["level"] in levels)
        ]


class Home:
    """A root with apps, and a configuration for it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "root"
        self.config = base / "appagent.yaml"
        self.root.mkdir()
        self.settings: dict[str, object] = {
            "path": str(self.root),
            "run_as": "root" if AS_ROOT else "self",
        }
        self.more_roots: list[dict[str, object]] = []

    def app(self, name: str = "web", makefile: str = MAKEFILE) -> Path:
        """Make an app of the tree layout."""
        path = self.root / name
        path.mkdir()
        (path / "Makefile").write_text(makefile)
        return path

    def write(self) -> None:
        """Write the configuration; JSON is YAML."""
        whole = {
            "roots": [self.settings, *self.more_roots],
            "state_dir": str(self.base / "state"),
            "runtime_dir": str(self.base / "run"),
        }
        self.config.write_text(json.dumps(whole, indent=1))

    def run(self, *words: str, before: Callable[[], None] | None = None) -> Said:
        """Run doctor as people do. It never says anything on stderr, and always comes to an end."""
        self.write_once()
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "appagent", "doctor", "--config", str(self.config), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            preexec_fn=before,
        )
        assert time.monotonic() - began < ANSWER_WITHIN
        assert done.stderr == ""
        return Said(done.returncode, done.stdout)

    def found(self, *, json_wanted: bool = True) -> Said:
        """Call doctor."""
        self.write_once()
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = examine(str(self.config), json_wanted=json_wanted)
        return Said(code, said.getvalue())

    def write_once(self) -> None:
        """Write the configuration, where the test has not."""
        if not self.config.exists():
            self.write()

    def refuses(self, about: str, *words: str) -> None:
        """Show that doctor finds one problem with this, in these words, with what to do."""
        said = self.found()
        assert said.code == 1
        found = said.of(about, "problem")
        assert len(found) == 1, said.text
        for word in words:
            assert word in found[0]["text"] + found[0]["do"]
        assert found[0]["do"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def tree(base: Path) -> Mapping[str, tuple[int, int]]:
    """Everything below a directory, to see that it was left alone."""
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_mode) for path in base.rglob("*")}


# --- what is fine --------------------------------------------------------------------------------


def test_a_sound_node_has_no_problem_and_nothing_is_touched(home: Home) -> None:
    home.app("web")
    link = home.root / "api"
    release = link / "releases" / "1"
    release.mkdir(parents=True)
    (release / "Makefile").write_text(MAKEFILE)
    (link / "current").symlink_to("releases/1")
    (home.root / "docs").mkdir()
    home.write()
    before = tree(home.base)
    said = home.found()
    assert said.code == 0, said.text
    assert not [one for one in said.findings if one["level"] == "problem"]
    texts = [one["text"] for one in said.of(f"root {home.root}", "ok")]
    assert any(text.startswith("2 apps: api, web") and "docs" in text for text in texts)
    assert tree(home.base) == before


def test_a_person_gets_lines_and_a_sum(home: Home) -> None:
    home.app()
    said = home.run()
    assert said.code == 0
    *lines, last = said.text.splitlines()
    assert all(line[:9].strip() in ("warning", "note", "ok", "") for line in lines)
    assert last.endswith(" fine")


def test_every_problem_and_warning_says_what_to_do(home: Home) -> None:
    web = home.app()
    (web / "Makefile").chmod(0o666)
    (web / "start").mkdir()
    for one in home.found().findings:
        assert one["text"]
        assert one["do"] or one["level"] in ("note", "ok")


# --- configuration -------------------------------------------------------------------------------


def test_a_wrong_configuration_is_78_with_every_line(home: Home) -> None:
    home.config.write_text("roots:\n  - path: relative\n    watsh: auto\nnode: a b\n")
    said = home.found()
    assert said.code == 78
    lines = {one["text"].split(": ")[0] for one in said.of("configuration", "problem")}
    assert {f"{home.config}:{line}" for line in (2, 3, 4)} <= lines
    assert said.of("software", "ok")  # what needs no configuration is checked all the same
    text = home.found(json_wanted=False)
    assert text.code == 78
    assert f"{home.config}:3:" in text.text


def test_no_configuration_is_78(home: Home) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert examine(str(home.base / "none.yaml"), json_wanted=False) == 78
    assert "there is no such file" in said.getvalue()


# --- apps ----------------------------------------------------------------------------------------


def test_what_everybody_may_write_is_refused_as_the_shim_would(home: Home) -> None:
    (home.app() / "Makefile").chmod(0o666)
    home.refuses("app web", str(home.root / "web/Makefile"), "everyone", "chmod o-w")


def test_an_app_s_directory_that_everybody_may_write_is_refused(home: Home) -> None:
    home.app().chmod(0o777)
    home.refuses("app web", str(home.root / "web"), "everyone")


@pytest.mark.skipif(not AS_ROOT, reason="only root can give a file away")
def test_a_foreign_owner_is_refused_until_he_is_trusted(home: Home) -> None:
    os.chown(home.app() / "Makefile", NOBODY, -1)
    home.refuses("app web", "Makefile", "nobody", "trusted_owners")
    home.settings["trusted_owners"] = ["nobody"]
    home.write()
    assert home.found().code == 0


@pytest.mark.skipif(not AS_ROOT, reason="only root can give a file away")
def test_run_as_owner_is_judged_by_the_owner(home: Home) -> None:
    home.settings["run_as"] = "owner"
    home.app()
    home.refuses("app web", "belongs to root")
    for path in (home.root / "web", home.root / "web/Makefile"):
        os.chown(path, NOBODY, -1)
    assert home.found().code == 0


def test_a_release_outside_is_refused(home: Home) -> None:
    outside = home.base / "elsewhere"
    outside.mkdir()
    (outside / "Makefile").write_text(MAKEFILE)
    (home.root / "web").mkdir()
    (home.root / "web/current").symlink_to(outside)
    home.refuses("app web", str(outside), "release_dirs")
    home.settings["release_dirs"] = [str(outside)]
    home.write()
    assert home.found().code == 0


def test_the_app_s_own_settings_are_checked(home: Home) -> None:
    (home.app() / "appagent.yaml").write_text("settle: 1s\nrun_as: root\n")
    home.refuses("app web", "web/appagent.yaml:2:", "run_as")


def test_the_phony_trap_is_found_without_running_make(home: Home) -> None:
    ran = home.base / "ran"
    web = home.app(makefile=f"X := $(shell touch {ran})\ninstall:\n\t@touch {ran}\n")
    (web / "install").mkdir()
    said = home.found()
    assert len(said.of("app web", "problem", "warning")) == 1
    assert ".PHONY: install" in said.of("app web")[0]["do"]
    assert not ran.exists()


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda web: os.mkfifo(web / "Makefile"), "FIFO"),
        (lambda web: os.mkfifo(web / "appagent.yaml"), "appagent.yaml"),
        (lambda web: (web / "current").symlink_to("nowhere"), "nowhere"),
        (lambda web: (web / "current").symlink_to("current"), "current"),
        (lambda web: (web / "appagent.yaml").write_bytes(b"\xff\xfe"), "UTF-8"),
        (lambda web: os.truncate(web / "appagent.yaml", 1 << 30), "larger"),
    ],
)
def test_odd_things_in_an_app_are_told_and_nothing_hangs(
    home: Home, make: Callable[[Path], object], word: str
) -> None:
    web = home.app()
    if word == "larger":
        (web / "appagent.yaml").touch()
    if word == "FIFO":
        (web / "Makefile").unlink()
    make(web)
    home.refuses("app web", word)


def test_names_that_are_no_text_and_no_apps_are_told(home: Home) -> None:
    home.app()
    (home.root / "a b").mkdir()
    os.mkdir(os.fsencode(home.root) + b"/bad\xff\x1b[2J")  # noqa: PTH102 - pathlib takes no bytes
    said = home.found()
    assert said.code == 0
    texts = [one["text"] for one in said.of(f"root {home.root}", "note")]
    assert len([text for text in texts if "can be no app" in text]) == 2
    assert home.found(json_wanted=False).code == 0


def test_one_name_in_two_roots_is_a_problem(home: Home) -> None:
    home.app()
    other = home.base / "other"
    (other / "web").mkdir(parents=True)
    (other / "web/Makefile").write_text(MAKEFILE)
    home.more_roots = [{**home.settings, "path": str(other)}]
    home.refuses("app web", str(home.root), str(other))


# --- roots and env files -------------------------------------------------------------------------


def test_a_root_that_is_not_there_is_a_problem(home: Home) -> None:
    home.root.rmdir()
    home.refuses(f"root {home.root}", "No such file")


def test_a_root_that_must_be_mounted_and_is_not_is_a_problem(home: Home) -> None:
    home.app()
    home.settings["mount"] = "required"
    home.refuses(f"root {home.root}", "no share is mounted there")


def test_an_empty_root_is_a_warning(home: Home) -> None:
    said = home.found()
    assert said.code == 0
    assert "is empty" in said.of(f"root {home.root}", "warning")[0]["text"]


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (None, 0, ("is not there",)),
        ("A=1\nnot an assignment\n", 0o600, (".env:2:",)),
        ("A=hush\n", 0o606, ("everyone", "chmod o-w")),
    ],
)
def test_env_files_are_judged_and_their_values_never_shown(
    home: Home, text: str | None, mode: int, words: tuple[str, ...]
) -> None:
    home.app()
    file = home.base / "web.env"
    home.settings["env_files"] = [str(home.base / "{app}.env"), f"-{home.base}/missing.env"]
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    home.refuses(f"env file {file}", *words)
    assert "hush" not in home.found(json_wanted=False).text


def test_an_env_file_that_sets_what_is_the_agent_s_is_a_warning(home: Home) -> None:
    home.app()
    file = home.base / "common.env"
    file.write_text("APP_NAME=x\nA=hush\n")
    home.settings["env_files"] = [str(file)]
    said = home.found()
    assert said.code == 0
    assert "APP_NAME" in said.of(f"env file {file}", "warning")[0]["text"]
    assert "hush" not in said.text


# --- what hangs ----------------------------------------------------------------------------------


def test_a_program_that_never_answers_hangs_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.app()
    programs = home.base / "bin"
    programs.mkdir()
    for name in ("make", "systemctl"):
        (programs / name).write_text("#!/bin/sh\nexec sleep 1234\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    said = home.found()
    assert said.code == 1
    assert said.of("software", "problem")


def hung_share(point: Path, held: int | None) -> Callable[[], None]:
    """Mount a filesystem that nobody answers for, seen by this process and its children alone.

    Without a handle that somebody holds, its client is gone as soon as the program begins.
    """

    def mount() -> None:
        handle = os.open("/dev/fuse", os.O_RDWR) if held is None else held
        libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={handle},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        where = os.fsencode(point)
        failed = (
            libc.unshare(NEWNS)
            or libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None)
            or libc.mount(b"fs1:/files", where, b"fuse.glusterfs", 0, options)
        )
        if failed:
            os._exit(99)

    return mount


@pytest.mark.parametrize("gone", [False, True], ids=["hangs", "client-gone"])
@pytest.mark.skipif(not AS_ROOT, reason="only root can mount")
def test_a_share_that_does_not_answer_is_told_and_the_rest_is_checked(
    home: Home,
    gone: bool,
) -> None:
    try:
        handle = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        pytest.skip(f"no FUSE here: {error}")
    home.app()
    share = home.base / "share"
    share.mkdir()
    hung = share / "production"
    home.settings["env_files"] = [str(share / "common.env")]
    home.more_roots = [{"path": str(hung), "run_as": "root"}]
    home.write()

    try:
        said = home.run("--json", before=hung_share(share, None if gone else handle))
    finally:
        os.close(handle)
    if said.code == 99:
        pytest.skip("mounting is not allowed here")
    assert said.code == 1
    word = "Transport endpoint" if gone else "does not answer"
    assert any(word in one["text"] for one in said.of(f"root {hung}", "problem")), said.text
    assert said.of(f"share {share}", "problem")
    texts = [one["text"] for one in said.of(f"root {home.root}", "ok")]
    assert any(text.startswith("1 app: web") for text in texts)
    about = f"env file {share}/common.env" if gone else f"env files of {home.root}"
    assert said.of(about, "problem")


# --- the agent that runs -------------------------------------------------------------------------


def test_an_agent_that_runs_is_seen_and_not_disturbed(tmp_path: Path) -> None:
    with node(tmp_path) as made:
        made.start()
        with contextlib.redirect_stdout(io.StringIO()) as text:
            said = Said(examine(str(made.config), json_wanted=True), text.getvalue())
        assert [one["text"] for one in said.of("agent")] == ["the agent runs and answers"]
        assert made.answers()


def test_somebody_else_who_holds_the_state_is_a_problem(home: Home) -> None:
    home.app()
    state = home.base / "state"
    state.mkdir(mode=0o700)
    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        home.refuses("agent", f"pid {os.getpid()}", str(state))


def test_an_agent_that_listens_and_never_answers_hangs_nothing(home: Home) -> None:
    home.app()
    home.write()
    (home.base / "run").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(home.base / "run" / "control.sock"))
        server.listen()
        said = home.found()
    assert said.code == 0
    assert [one["level"] for one in said.of("agent")] == ["note"]


# --- who asks ------------------------------------------------------------------------------------


@pytest.mark.skipif(not AS_ROOT, reason="only root can change its user")
def test_another_user_is_told_what_he_could_not_see(home: Home) -> None:
    home.app()
    secret = home.base / "secret.env"
    secret.write_text("A=hush\n")
    secret.chmod(0o600)
    home.settings["env_files"] = [str(secret)]
    (home.base / "state").mkdir(mode=0o700)
    for path in (home.base, *list(home.base.parents)[:-2]):
        path.chmod(path.stat().st_mode | 0o011)
    home.write()
    said = _as_nobody(home)
    assert said.code == 0, said.text
    assert said.of(f"env file {secret}", "note")[0]["do"].startswith("run doctor as root")
    assert said.of("state_dir", "note")
    assert said.of("runtime_dir", "note")
    assert "hush" not in said.text


def _as_nobody(home: Home) -> Said:
    """Run doctor in a fork, as nobody; this Python itself may lie where nobody can run it."""
    output = home.base / "output"
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            with open(handle, "w") as sys.stdout:  # noqa: PTH123 - a descriptor
                code = examine(str(home.config), json_wanted=True)
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return Said(os.waitstatus_to_exitcode(status), output.read_text())


def test_who_has_enough_can_end_it_and_nothing_stays(home: Home) -> None:
    home.app()
    programs = home.base / "bin"
    programs.mkdir()
    pids = home.base / "pids"
    (programs / "make").write_text(f"#!/bin/sh\necho $$ >> {pids}\nexec sleep 1234\n")
    (programs / "make").chmod(0o755)
    home.write()
    process = subprocess.Popen(
        [sys.executable, "-m", "appagent", "doctor", "--config", str(home.config)],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
    )
    until(pids.exists)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    for pid in pids.read_text().split():
        until(lambda pid=pid: not _sleeps(int(pid)))  # type: ignore[misc]


def _sleeps(pid: int) -> bool:
    try:
        return b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
