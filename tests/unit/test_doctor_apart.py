"""Checks in processes of their own: what hangs, fails or dies spoils nothing."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appagent.doctor.finding import Doing, Finding, Known, Level, Said, ok
from appagent.host.isolate import Check, carry_out
from tests.waiting import until

FAR = 60.0


def soon(seconds: float = FAR) -> float:
    return time.monotonic() + seconds


def fine() -> Iterator[Said]:
    yield ok("fine", "is well")


def levels(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.about, finding.level.value) for finding in findings]


def test_findings_and_what_became_known_come_back_in_the_order_of_the_checks() -> None:
    def slow() -> Iterator[Said]:
        time.sleep(0.2)
        yield ok("slow", "one")
        yield Known("key", ("a", 1))
        yield ok("slow", "two")

    found = carry_out([Check("slow", slow), Check("fine", fine)], soon())
    assert [(one.about, one.text) for one in found.findings] == [
        ("slow", "one"),
        ("slow", "two"),
        ("fine", "is well"),
    ]
    assert found.of("key") == [("a", 1)]
    assert found.of("other") == []


def test_a_check_that_hangs_is_told_with_where_it_hangs(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def hangs() -> Iterator[Said]:
        yield ok("hung", "got so far")
        yield Doing("opening the FIFO")
        fifo.open("rb")

    check = Check("hung", hangs, patience=0.5, hung=Level.PROBLEM, do="give it a writer")
    found = carry_out([check, Check("fine", fine)], soon())
    assert levels(found.findings) == [("hung", "ok"), ("hung", "problem"), ("fine", "ok")]
    hung = found.findings[1]
    assert "does not answer" in hung.text
    assert "(opening the FIFO)" in hung.text
    assert hung.do == "give it a writer"


def test_a_check_that_is_stopped_is_ended(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"

    def stops() -> Iterator[Said]:
        pidfile.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGSTOP)
        yield ok("stopped", "never said")

    found = carry_out([Check("stopped", stops, patience=0.5)], soon())
    assert levels(found.findings) == [("stopped", "warning")]
    assert not Path(f"/proc/{pidfile.read_text()}").exists()


def test_what_a_check_started_ends_with_it(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"

    def starts() -> Iterator[Said]:
        pid = os.fork()
        if pid == 0:
            time.sleep(600)
            os._exit(0)
        pidfile.write_text(str(pid))
        time.sleep(600)
        yield ok("never", "said")

    carry_out([Check("starts", starts, patience=0.5)], soon())
    until(lambda: _ended(int(pidfile.read_text())))


def _ended(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"  # where nobody reaps orphans


def test_a_check_that_never_ends_is_cut_and_what_it_said_counts() -> None:
    def talks() -> Iterator[Said]:
        yield ok("talks", "first")
        while True:
            yield Doing("talking")

    found = carry_out([Check("talks", talks, most=0.5)], soon())
    assert levels(found.findings) == [("talks", "ok"), ("talks", "warning")]
    assert "not all could be looked at" in found.findings[1].text


def test_the_last_moment_ends_all_checks() -> None:
    def sleeps() -> Iterator[Said]:
        time.sleep(600)
        yield ok("never", "said")

    found = carry_out([Check("one", sleeps), Check("two", sleeps)], soon(0.3))
    assert levels(found.findings) == [("one", "warning"), ("two", "warning")]


def test_a_check_that_fails_is_a_finding() -> None:
    def fails() -> Iterator[Said]:
        yield ok("fails", "before")
        raise ZeroDivisionError("nobody thought of that")

    found = carry_out([Check("fails", fails), Check("fine", fine)], soon())
    assert levels(found.findings) == [("fails", "ok"), ("fails", "warning"), ("fine", "ok")]
    assert "ZeroDivisionError: nobody thought of that" in found.findings[1].text


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_check_that_dies_is_a_finding(number: int) -> None:
    def dies() -> Iterator[Said]:
        os.kill(os.getpid(), number)
        yield ok("never", "said")

    found = carry_out([Check("dies", dies)], soon())
    assert levels(found.findings) == [("dies", "warning")]
    assert "ended from outside" in found.findings[0].text


def test_more_is_said_than_a_pipe_holds() -> None:
    def talks() -> Iterator[Said]:
        for number in range(3000):
            yield ok("talks", f"{number} " + "x" * 100)

    found = carry_out([Check("talks", talks)], soon())
    assert len(found.findings) == 3000


def test_what_a_check_prints_is_not_seen(capfd: pytest.CaptureFixture[str]) -> None:
    def prints() -> Iterator[Said]:
        os.write(1, b"noise")
        os.write(2, b"noise")
        yield ok("prints", "done")

    carry_out([Check("prints", prints)], soon())
    assert capfd.readouterr() == ("", "")
