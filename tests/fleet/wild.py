"""A target that does all it can to outlive its end; run by an app of the tests, on a node.

It ignores TERM, leaves its session, forks twice so that nobody is its parent, and goes on forking
until it may not any more, and whenever one of its processes has ended. Its processes only sleep. It
has a limit of its own too, so that it does no harm where no limit of the node's holds.
"""

import os
import signal
import sys
import time
from pathlib import Path

MOST = 60


def stay() -> None:
    """Never end by oneself, nor by a signal that can be ignored."""
    while True:
        time.sleep(30)


def spawn(kind: int) -> bool:
    """Start one more; False if that was refused."""
    try:
        pid = os.fork()
    except OSError:
        return False
    if pid == 0:
        if kind != 0:
            os.setsid()
        if kind == 2:  # its parent ends, so it is an orphan
            try:
                if os.fork():
                    os._exit(0)
            except OSError:
                os._exit(0)
        stay()
    return True


def main() -> None:
    """Fork, and note how many there are."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies that count
    count = 0
    while count < MOST and spawn(count % 3):
        count += 1
    with Path(sys.argv[1]).open("a", encoding="ascii") as notes:
        notes.write(f"{count}\n")
    while True:
        if count < MOST:
            spawn(count % 3)
        time.sleep(0.1)


main()
