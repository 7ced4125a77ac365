"""Which of the agent's targets a Makefile has: asked of make, without running any of them.

Theory of operation. `make -n restart` and `make -q restart` run every recipe line with `+` or
$(MAKE) in it, so the question is put with a goal of our own that does nothing, and the answer is
read from make's data base (-p). Built-in rules are off (-r): with them, a file `install.sh` would
be a rule for `install`. What is parsed still runs code ($(shell …), rules that remake included
files), so asking is part of the run: as its user, in its directory, under its deadline.

The answer for a release is remembered by the daemon and sent along with the next run of it, so a
Makefile that takes long to read is read twice only once.

A target that is a plain name, while a file or directory of that name exists, is the old trap: make
says "is up to date", does nothing, and succeeds. That is a warning, with the remedy.
"""

from __future__ import annotations

import fcntl
import os
import select

from appagent.shim.trust import Over, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

TARGETS = ("build", "install", "start", "restart", "stop", "check")
# In the order in which make looks. core.names has the same; importing it would cost 10 ms.
MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
PHONY = "phony"
PLAIN = "plain"

_GOAL = ".appagent-asks"
_MAX_ANSWER = 64 * 1024 * 1024
_TICK_MS = 20
_COULD_NOT_READ = 2


class Unreadable(Over):
    """Make cannot read the Makefile: its own message, and its exit status."""

    outcome = "failed"

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.status = status


def calls(step: str, known: Collection[str]) -> tuple[str, ...]:
    """The targets to call make with for a step, in order; none if the Makefile lacks it.

    Without `start` an app is started by its `restart`; without `restart` it is stopped, and then
    started: what is left of it is ended between the two, so it needs no `stop` for that.
    """
    if step in known:
        return (step,)
    if step == "start" and "restart" in known:
        return ("restart",)
    if step == "restart" and "start" in known:
        return ("stop", "start")
    return ()


def first(steps: Sequence[str], known: Collection[str]) -> tuple[str, tuple[str, ...]]:
    """The first of these steps that the Makefile has a target for, and its calls.

    Where it lacks all of them, that is the last one, with no calls.
    """
    for step in steps:
        if found := calls(step, known):
            return step, found
    return steps[-1], ()


def ask(make: str, environment: dict[str, str]) -> dict[str, str]:
    """Ask make, in the current directory. Its output goes to memory, never through a pipe."""
    sealable = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    answer, words = (os.memfd_create(name, sealable) for name in ("targets", "words"))
    try:
        status = _run(
            [make, "-prq", f"--eval=.PHONY: {_GOAL}", f"--eval={_GOAL}: ; @:", _GOAL],
            {**environment, "LC_ALL": "C"},
            answer,
            words,
        )
        errors = os.pread(words, 65536, 0).decode("utf-8", "replace")
        if errors:
            os.write(2, errors.encode())
        if status not in {0, 1}:
            raise Unreadable(_error(errors), status)
        text = os.pread(answer, _MAX_ANSWER, 0).decode("utf-8", "replace")
    finally:
        _release(answer)
        _release(words)
    if "# GNU Make " not in text:
        raise Refused(f"{make} is not GNU make: install GNU make, and put it on PATH as make")
    return read_database(text)


def _release(fd: int) -> None:
    """Free a file in memory. Whatever still writes to it, such as a daemon, uses none any more."""
    os.ftruncate(fd, 0)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
    os.close(fd)


def _run(argv: list[str], environment: dict[str, str], answer: int, words: int) -> int:
    """Run to the end; one that prints without end is ended."""
    pid = os.posix_spawn(
        argv[0],
        argv,
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, answer, 1), (os.POSIX_SPAWN_DUP2, words, 2)],
        setpgroup=0,  # so that all of it can be ended at once
    )
    watch = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(watch, select.POLLIN)
        while not poll.poll(_TICK_MS):
            if os.fstat(answer).st_size + os.fstat(words).st_size > _MAX_ANSWER:
                os.killpg(pid, 9)
                os.waitpid(pid, 0)
                raise Unreadable("reading the Makefile produces endless output", _COULD_NOT_READ)
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(watch)
    return os.waitstatus_to_exitcode(status)


def _error(errors: str) -> str:
    """Pick make's own message from its stderr."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    for line in reversed(lines):
        if "***" in line:
            return line.replace("make: *** ", "")
    return lines[-1] if lines else "make cannot read the Makefile, and prints no reason"


class _Rules:
    """The part of make's data base that matters here."""

    def __init__(self) -> None:
        self.filled: dict[str, bool] = {}  # target → has a recipe or prerequisites
        self.phony: set[str] = set()
        self.patterns: list[str] = []
        self.default = False  # .DEFAULT has a recipe: it makes anything


def read_database(text: str) -> dict[str, str]:
    """The targets that exist, and for each whether it is phony or a plain name."""
    rules = _rules(text)
    found: dict[str, str] = {}
    for target in TARGETS:
        caught = rules.default or any(_matches(one, target) for one in rules.patterns)
        phony = target in rules.phony
        if rules.filled.get(target, False) or (caught and not phony):
            found[target] = PHONY if phony else PLAIN
    return found


def _rules(text: str) -> _Rules:
    """Read the parts behind the last headings; a variable may hold lines that look like them."""
    rules = _Rules()
    lines = text.splitlines()
    files = _last(lines, "# Files")
    implicit = _last(lines[:files], "# Implicit Rules")
    for line in lines[implicit:files]:
        if "%" in line and ":" in line and not line.startswith(("#", "\t", " ")):
            rules.patterns.extend(line.split(":", 1)[0].split())
    head = ""  # the newest line that may be the head of an entry
    no_target = not_a_target = False
    name = ""  # the target whose entry this is
    for line in lines[files:]:
        if line == "# Not a target:":
            not_a_target = True
        elif not line:
            head = name = ""
            not_a_target = False
        elif line.startswith("#  ") and head:
            if not name:
                name, prerequisites = _head(head)
                no_target = not_a_target
                if not no_target and name:
                    rules.filled[name] = bool(prerequisites)
                if name == ".PHONY":
                    rules.phony.update(prerequisites)
            if line.startswith("#  recipe to execute") and name:
                rules.default = rules.default or name == ".DEFAULT"
                if not no_target:
                    rules.filled[name] = True
        elif not line.startswith(("#", "\t")) and not name:
            head = line
    return rules


def _last(lines: list[str], heading: str) -> int:
    for number in range(len(lines) - 1, -1, -1):
        if lines[number] == heading:
            return number
    return len(lines)


def _head(line: str) -> tuple[str, list[str]]:
    """Split "install: dep" into the target and what it needs."""
    name, colon, rest = line.partition(":")
    if not colon:
        return "", []
    return name, [word for word in rest.lstrip(":").split() if word != "|"]


def _matches(pattern: str, target: str) -> bool:
    begin, _, end = pattern.partition("%")
    return len(target) > len(begin) + len(end) and target.startswith(begin) and target.endswith(end)


def trap(target: str, targets: dict[str, str]) -> str:
    """The warning if make will take the target for a file that is up to date, else ""."""
    if targets.get(target) != PLAIN or not os.path.lexists(target):
        return ""
    return (
        f"there is a file or directory called {target} beside the Makefile, and {target} is not "
        f"phony, so make may have done nothing: write .PHONY: {target} into the Makefile"
    )
