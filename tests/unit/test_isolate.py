"""Processes of their own: what hangs, fails or dies costs its deadline and nothing else."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appagent.host.isolate import End, Outcome, Task, program, run_all
from tests.waiting import until

FAR = 60.0


def one() -> Iterator[str]:
    yield "one"


def run(*tasks: Task[str], deadline: float = FAR) -> list[Outcome[str]]:
    return run_all(tasks, deadline)


def task(function: object, silence: float = FAR, deadline: float = FAR) -> Task[str]:
    return Task(function, silence, deadline)  # type: ignore[arg-type]


def gone(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"  # where nobody reaps orphans


# --- functions -----------------------------------------------------------------------------------


def test_items_come_back_in_the_order_of_the_tasks() -> None:
    def slow() -> Iterator[object]:
        time.sleep(0.2)
        yield ("a", 1)
        yield {"b": 2}

    outcomes: list[Outcome[object]] = run_all([Task(slow, FAR, FAR), Task(one, FAR, FAR)], FAR)
    assert [(one.end, one.items) for one in outcomes] == [
        (End.DONE, [("a", 1), {"b": 2}]),
        (End.DONE, ["one"]),
    ]


def test_one_that_hangs_ends_after_its_silence_and_its_items_count(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def hangs() -> Iterator[str]:
        yield "before"
        fifo.open("rb")

    hung, fine = run(task(hangs, silence=0.5), task(one))
    assert (hung.end, hung.items) == (End.HUNG, ["before"])
    assert 0.5 <= hung.seconds < FAR
    assert fine.end is End.DONE


def test_one_that_is_stopped_is_ended(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"

    def stops() -> Iterator[str]:
        pidfile.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGSTOP)
        yield "never"

    (outcome,) = run(task(stops, silence=0.5))
    assert (outcome.end, outcome.items) == (End.HUNG, [])
    assert not Path(f"/proc/{pidfile.read_text()}").exists()


def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"

    def starts() -> Iterator[str]:
        pid = os.fork()
        if pid == 0:
            time.sleep(600)
            os._exit(0)
        pidfile.write_text(str(pid))
        time.sleep(600)
        yield "never"

    run(task(starts, silence=0.5))
    until(lambda: gone(int(pidfile.read_text())))


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"

    def sleeps() -> Iterator[str]:
        pidfile.write_text(str(os.getpid()))
        time.sleep(600)
        yield "never"

    parent = os.fork()
    if parent == 0:
        try:
            run(task(sleeps))
        finally:
            os._exit(0)
    until(lambda: pidfile.exists() and pidfile.read_text())
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    until(lambda: gone(int(pidfile.read_text())))


def test_one_that_never_ends_is_late_and_its_items_count() -> None:
    def talks() -> Iterator[str]:
        while True:
            yield "more"

    (outcome,) = run(task(talks, deadline=0.5))
    assert outcome.end is End.LATE
    assert outcome.items


def test_the_deadline_of_all_ends_all() -> None:
    def sleeps() -> Iterator[str]:
        time.sleep(600)
        yield "never"

    assert [it.end for it in run(task(sleeps), task(sleeps), deadline=0.3)] == [End.LATE, End.LATE]


def test_an_exception_is_an_outcome() -> None:
    def fails() -> Iterator[str]:
        yield "before"
        raise ZeroDivisionError("nobody thought of that")

    failed, fine = run(task(fails), task(one))
    assert (failed.end, failed.items) == (End.FAILED, ["before"])
    assert failed.error == "ZeroDivisionError: nobody thought of that"
    assert fine.end is End.DONE


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_signal_is_an_outcome(number: int) -> None:
    def dies() -> Iterator[str]:
        os.kill(os.getpid(), number)
        yield "never"

    (outcome,) = run(task(dies))
    assert outcome.end is End.KILLED


def test_items_may_be_more_than_a_pipe_holds() -> None:
    def talks() -> Iterator[str]:
        for number in range(3000):
            yield f"{number} " + "x" * 100
        yield "x" * 1_000_000

    (outcome,) = run(task(talks))
    assert len(outcome.items) == 3001


def test_what_it_prints_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    def prints() -> Iterator[str]:
        os.write(1, b"noise")
        os.write(2, b"noise")
        yield "done"

    run(task(prints))
    assert capfd.readouterr() == ("", "")


# --- programs, awaited ---------------------------------------------------------------------------


def test_a_program_gives_its_output_and_exit_code() -> None:
    script = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    output = asyncio.run(program(sys.executable, "-c", script, deadline=FAR))
    assert output == (3, "out\n", "err\n")


def test_a_program_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        asyncio.run(program("/nowhere/at/all", deadline=FAR))


def test_the_loop_goes_on_beside_a_program(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    async def both() -> str:
        hanging = asyncio.create_task(program("cat", str(fifo), deadline=FAR))
        await asyncio.to_thread(fifo.write_text, "go")  # cat waits for that
        return (await hanging).stdout

    assert asyncio.run(both()) == "go"


def test_nothing_stays_of_a_program_that_hangs(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    pids.touch()
    script = f"echo $$ >> {pids}; sleep 600 & echo $! >> {pids}; wait"
    deadline = 0.5
    while len(pids.read_text().split()) < 2:  # it was killed before it came that far
        pids.write_text("")
        deadline *= 2
        with pytest.raises(TimeoutError):
            asyncio.run(program("sh", "-c", script, deadline=deadline))
    until(lambda: all(gone(int(pid)) for pid in pids.read_text().split()))
