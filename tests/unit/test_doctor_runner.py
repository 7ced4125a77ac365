"""Checks in processes of their own: what hangs, fails or dies is a finding."""

import os
import signal
import time
from collections.abc import Iterator

from appagent.doctor.finding import Finding, Item, Level, Step, ok
from appagent.doctor.runner import Check, of, run

FAR = 60.0


def fine() -> Iterator[Item]:
    yield ok("fine", "is well")


def levels(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.about, finding.level.value) for finding in findings]


def test_findings_and_values_come_back_in_the_order_of_the_checks() -> None:
    def slow() -> Iterator[Item | tuple[str, int]]:
        time.sleep(0.2)
        yield ok("slow", "one")
        yield "a", 1
        yield ok("slow", "two")

    found = run([Check("slow", slow), Check("fine", fine)], FAR)
    assert [(one.about, one.text) for one in of(Finding, found)] == [
        ("slow", "one"),
        ("slow", "two"),
        ("fine", "is well"),
    ]
    assert of(tuple, found) == [("a", 1)]
    assert of(int, found) == []


def test_a_check_that_hangs_is_a_finding_with_where_it_hangs() -> None:
    def hangs() -> Iterator[Item]:
        yield ok("hung", "got so far")
        yield Step("opening the FIFO")
        time.sleep(600)

    check = Check("hung", hangs, silence=0.5, on_hang=Level.PROBLEM, do="give it a writer")
    found = run([check, Check("fine", fine)], FAR)
    assert levels(of(Finding, found)) == [("hung", "ok"), ("hung", "problem"), ("fine", "ok")]
    hung = of(Finding, found)[1]
    assert "does not answer" in hung.text
    assert "(opening the FIFO)" in hung.text
    assert hung.do == "give it a writer"


def test_a_check_that_never_ends_is_cut_and_its_findings_count() -> None:
    def talks() -> Iterator[Item]:
        yield ok("talks", "first")
        while True:
            yield Step("talking")

    found = run([Check("talks", talks, deadline=0.5)], FAR)
    assert levels(of(Finding, found)) == [("talks", "ok"), ("talks", "warning")]
    assert "not finished" in of(Finding, found)[1].text


def test_a_check_that_fails_is_a_finding() -> None:
    def fails() -> Iterator[Item]:
        yield ok("fails", "before")
        raise ZeroDivisionError("nobody thought of that")

    found = run([Check("fails", fails), Check("fine", fine)], FAR)
    assert levels(of(Finding, found)) == [("fails", "ok"), ("fails", "warning"), ("fine", "ok")]
    assert "ZeroDivisionError: nobody thought of that" in of(Finding, found)[1].text


def test_a_check_that_dies_is_a_finding() -> None:
    def dies() -> Iterator[Item]:
        os.kill(os.getpid(), signal.SIGKILL)
        yield ok("never", "found")

    found = run([Check("dies", dies)], FAR)
    assert levels(of(Finding, found)) == [("dies", "warning")]
    assert "was killed" in of(Finding, found)[0].text
