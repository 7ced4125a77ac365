"""`appagent doctor` beside what hangs, beside an agent that runs, and for who may see little."""

import contextlib
import ctypes
import fcntl
import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from appagent.doctor import examine
from tests.integration.examined import AS_ROOT, NOBODY, Home, Report
from tests.integration.node import node
from tests.waiting import until

NEWNS, MS_REC_PRIVATE = 0x20000, 0x44000


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


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
    report = home.report()
    assert report.code == 1
    assert report.of("software", "problem")


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
        report = home.run("--json", before=hung_share(share, None if gone else handle))
    finally:
        os.close(handle)
    if report.code == 99:
        pytest.skip("mounting is not allowed here")
    assert report.code == 1
    word = "Transport endpoint" if gone else "does not answer"
    assert any(word in one["text"] for one in report.of(f"root {hung}", "problem")), report.text
    assert report.of(f"share {share}", "problem")
    texts = [one["text"] for one in report.of(f"root {home.root}", "ok")]
    assert any(text.startswith("1 app: web") for text in texts)
    about = f"env file {share}/common.env" if gone else f"env files of {home.root}"
    assert report.of(about, "problem")


# --- the agent that runs -------------------------------------------------------------------------


def test_an_agent_that_runs_is_seen_and_not_disturbed(tmp_path: Path) -> None:
    with node(tmp_path) as made:
        made.start()
        with contextlib.redirect_stdout(io.StringIO()) as text:
            report = Report(examine(str(made.config), json_wanted=True), text.getvalue())
        assert [one["text"] for one in report.of("agent")] == ["the agent runs and answers"]
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
        report = home.report()
    assert report.code == 0
    assert [one["level"] for one in report.of("agent")] == ["note"]


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
    report = _as_nobody(home)
    assert report.code == 0, report.text
    assert report.of(f"env file {secret}", "note")[0]["do"].startswith("run doctor as root")
    assert report.of("state_dir", "note")
    assert report.of("runtime_dir", "note")
    assert "hush" not in report.text


def _as_nobody(home: Home) -> Report:
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
    return Report(os.waitstatus_to_exitcode(status), output.read_text())


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
        # Whoever runs the tests in the background has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
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
