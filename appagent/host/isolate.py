"""Checks in processes of their own, because what they look at may hang for ever.

Theory of operation. A call that touches a share or a name service can hang where not even SIGKILL
ends it before the share answers. So the process that a person waits for does nothing of the kind:
each check is forked off and says what it finds, and what it is about to do, over a pipe. Who says
nothing for too long is killed and left behind, and the finding is just that: it does not answer,
and where. A check that fails by itself is a finding too. All checks go at the same time, so the
whole takes as long as the slowest of them.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from appagent.doctor.finding import Doing, Finding, Known, Level, Said
from appagent.host.prctl import die_with_parent

_HEAD = 4
_CHUNK = 65536
_MOMENT = 0.5  # s
_END = Doing("")  # the last word of a check that came to its end


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to check, and what it means when there is no answer."""

    about: str
    look: Callable[[], Iterable[Said]]
    patience: float = 5.0  # s without a word
    most: float = 11.0  # s altogether
    hung: Level = Level.WARNING
    do: str = ""  # what to do when it hangs


@dataclass(slots=True)
class Found:
    """What the checks said."""

    findings: list[Finding] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)

    def of(self, key: str) -> list[object]:
        """Everything that was found out under one key."""
        return [known.value for known in self.known if known.key == key]


class _Child:
    """A check that is under way."""

    def __init__(self, check: Check, until: float, mask: Iterable[int]) -> None:
        self.check = check
        self.began = self.heard = time.monotonic()
        self.until = min(self.began + check.most, until)
        self.doing = ""
        self.ended = False
        self.findings: list[Finding] = []  # kept apart: a report is the same at every run
        self._data = b""
        self.reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _be(check, writer, mask)
        os.close(writer)
        # Both do it, so that it is done before anybody relies on it.
        with contextlib.suppress(OSError):
            os.setpgid(self.pid, self.pid)

    @property
    def deadline(self) -> float:
        """When patience ends."""
        return min(self.heard + self.check.patience, self.until)

    def hear(self) -> list[Said] | None:
        """What it says now; None once it will say nothing more."""
        data = os.read(self.reader, _CHUNK)
        if not data:
            return None
        self.heard = time.monotonic()
        self._data += data
        said: list[Said] = []
        while len(self._data) >= _HEAD:
            size = int.from_bytes(self._data[:_HEAD], "big")
            if len(self._data) < _HEAD + size:
                break
            one: Said = pickle.loads(self._data[_HEAD : _HEAD + size])  # noqa: S301 - our own fork
            self._data = self._data[_HEAD + size :]
            if one == _END:
                self.ended = True
            elif isinstance(one, Doing):
                self.doing = one.text
            else:
                said.append(one)
        return said

    def verdict(self) -> Finding | None:
        """What is to be told of the check itself, once nothing more is heard of it."""
        if self.ended:
            return None
        at = f" ({self.doing})" if self.doing else ""
        now = time.monotonic()
        if now >= self.heard + self.check.patience:
            text = f"does not answer: nothing for {now - self.heard:.0f} s{at}"
            return Finding(self.check.hung, self.check.about, text, self.check.do)
        if now >= self.until:
            text = f"not all could be looked at in {now - self.began:.0f} s{at}"
            return Finding(
                Level.WARNING, self.check.about, text, "run doctor again when it is calm"
            )
        text = f"the check itself was ended from outside{at}"
        return Finding(Level.WARNING, self.check.about, text, "run doctor again")

    def end(self) -> None:
        """End it with all that it started. One that hangs in the kernel is left behind."""
        os.close(self.reader)
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)

    def is_gone(self) -> bool:
        """Take note of its end, if it has come."""
        with contextlib.suppress(ChildProcessError):
            return os.waitpid(self.pid, os.WNOHANG) != (0, 0)
        return True


def carry_out(checks: Iterable[Check], until: float) -> Found:
    """Do all checks at the same time, until a moment of the monotonic clock at the latest."""
    found = Found()
    poll = select.poll()
    all_of_them: list[_Child] = []
    going: dict[int, _Child] = {}
    try:
        with _uninterrupted() as before:
            for check in checks:
                child = _Child(check, until, before)
                all_of_them.append(child)
                going[child.reader] = child
                poll.register(child.reader, select.POLLIN)
        while going:
            left = min(child.deadline for child in going.values()) - time.monotonic()
            ready = {reader for reader, _ in poll.poll(max(0.0, left) * 1000 + 1)}
            for reader, child in list(going.items()):
                over = time.monotonic() >= child.deadline
                if reader in ready:
                    said = child.hear()
                    over = said is None or time.monotonic() >= child.until
                    for one in said or ():
                        if isinstance(one, Finding):
                            child.findings.append(one)
                        elif isinstance(one, Known):
                            found.known.append(one)
                if over:
                    verdict = child.verdict()
                    child.findings += [verdict] if verdict else []
                    poll.unregister(reader)
                    going.pop(reader).end()
    finally:
        for child in going.values():
            child.end()
        _reap(all_of_them)
    found.findings = [finding for child in all_of_them for finding in child.findings]
    return found


def _reap(children: list[_Child]) -> None:
    """Wait a moment for those that end; one that hangs in the kernel is not waited for."""
    end = time.monotonic() + _MOMENT
    while children := [child for child in children if not child.is_gone()]:
        if time.monotonic() > end:
            return
        time.sleep(0.01)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[Iterable[int]]:
    """Have an interrupt wait until all children are known; inside a fork it would be lost."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _be(check: Check, writer: int, mask: Iterable[int]) -> NoReturn:
    """Be the child."""
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.setpgid(0, 0)
        die_with_parent(signal.SIGKILL)
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        _say_all(check, writer)
        code = 0
    finally:
        os._exit(code)


def _say_all(check: Check, writer: int) -> None:
    try:
        for said in check.look():
            _say(writer, said)
    except Exception as fault:  # noqa: BLE001 - whatever it is, it must not spoil the other checks
        what = f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__
        text = f"this could not be checked: {what}"
        _say(writer, Finding(Level.WARNING, check.about, text, "tell the makers of appagent"))
    _say(writer, _END)


def _say(writer: int, said: Said) -> None:
    body = pickle.dumps(said)
    rest = memoryview(len(body).to_bytes(_HEAD, "big") + body)
    while rest:
        rest = rest[os.write(writer, rest) :]
