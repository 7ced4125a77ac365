"""Whether the agent of a node answers `status` at once, asked again and again while things happen.

The one who asks is a process that is up all the time, so the start of a Python does not count. What
the machine itself takes is told apart: a second thread of it only ticks, and for as long as that
one is late, nobody on the machine gets on, the agent neither.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .host import Host
from .wait import wait_until

UNIT = "asking.service"
PYTHON = "/opt/appagent/current/bin/python3"
SCRIPT = "/root/asking.py"
ANSWERS = "var/log/answers"
AT_ONCE = 1.0  # s
ASK = f"""\
import collections, threading, time
from appagent.daemon.client import ask
from appagent.model.exit_codes import Refused

TICK = 0.02
late = collections.deque(maxlen=100_000)

def tick():
    last = time.monotonic()
    while True:
        time.sleep(TICK)
        now = time.monotonic()
        late.append((now, now - last - TICK))
        last = now

threading.Thread(target=tick, daemon=True).start()
with open("/{ANSWERS}", "a", buffering=1) as answers:
    while True:
        began = time.monotonic()
        try:
            said = list(ask("/run/appagent/control.sock", {{"do": "status"}}, timeout=30))
            code = said[-1]["end"]["code"]
        except Refused as refused:
            code = refused.code
        took = time.monotonic() - began
        time.sleep(2 * TICK)
        stalled = sum(seconds for at, seconds in list(late) if at >= began)
        answers.write(f"{{time.time():.3f}} {{took:.3f}} {{stalled:.3f}} {{code}}\\n")
        time.sleep(0.2)
"""


@dataclass(frozen=True)
class Answer:
    """One answer."""

    time: float
    took: float
    stalled: float  # of that, for how long the machine let nobody get on, at most
    code: int


def answers(host: Host) -> list[Answer]:
    """Return all answers so far, read from the disk."""
    path = host.root / ANSWERS
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [line.split(" ") for line in lines]
    return [
        Answer(float(row[0]), float(row[1]), float(row[2]), int(row[3]))
        for row in rows
        if len(row) == 4
    ]


def begin(host: Host) -> None:
    """Begin to ask; also again, after a boot."""
    before = len(answers(host))
    host.write(SCRIPT, ASK)
    host.run(["systemd-run", "-q", "--collect", f"--unit={UNIT}", PYTHON, SCRIPT])
    wait_until(lambda: len(answers(host)) > before, 30, f"an answer on {host.name}")


def end(host: Host) -> None:
    """Ask no more."""
    host.run(["systemctl", "stop", UNIT], check=False)


@contextlib.contextmanager
def asked(hosts: Iterable[Host]) -> Iterator[None]:
    """Ask each agent while the block lasts, and show that each answered at once, every time."""
    chosen = list(hosts)
    for host in chosen:
        (host.root / ANSWERS).unlink(missing_ok=True)
        begin(host)
    try:
        yield
    finally:
        for host in chosen:
            end(host)
    for host in chosen:
        said = answers(host)
        slow = [one for one in said if one.code != 0 or one.took - one.stalled > AT_ONCE]
        assert not slow, (host.name, len(said), slow[:10])
