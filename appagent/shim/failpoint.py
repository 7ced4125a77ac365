"""Named points where a test can stop or end a process, to show what a bad moment does.

`APPAGENT_FAILPOINT` in the daemon's own environment holds `name=action` pairs with commas between
them; a shim gets it in its message. Without it nothing here does anything. Actions:

    die            SIGKILL, at once
    hang           sleep forever
    pause:DIR      create DIR/<name>.here, continue once DIR/<name>.go exists
"""

from __future__ import annotations

import os
import time

from appagent.host.prctl import signal

_STEP = 0.005
_active: dict[str, str] = {}


def arm(text: str) -> None:
    """Set the failpoints; an empty text disarms all."""
    _active.clear()
    for part in text.split(","):
        name, _, action = part.partition("=")
        if action:
            _active[name.strip()] = action.strip()


def hit(name: str) -> None:
    """Do what is asked for at this point, if anything."""
    if not _active:
        return
    action, _, where = _active.get(name, "").partition(":")
    if action == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "hang":
        while True:
            time.sleep(3600)
    elif action == "pause":
        with open(f"{where}/{name}.here", "w", encoding="ascii"):
            pass
        while not os.path.exists(f"{where}/{name}.go"):
            time.sleep(_STEP)
