"""The agent over a share that fails as a script says: `python failing_agent.py SCRIPT run …`.

It is the real agent. Of its own are its watchers (failing_watcher.py, with the same script), the
mount table that it parts them by, and its patience, which is shorter.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from unittest import mock

from appagent import cli
from appagent.daemon import watchers
from appagent.host import proc
from appagent.run.launch import spec_for
from appagent.share.process import Watcher

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.integration.failing_watcher import Script

WATCHER = Path(__file__).with_name("failing_watcher.py")


def main(script: str, *args: str) -> int:
    """Be an agent."""
    look, table = Script(script), proc.mountinfo
    command = (sys.executable, "-P", str(WATCHER), script)
    changes = {
        "appagent.daemon.loop.Watchers": partial(
            watchers.Watchers, make=partial(Watcher, command=command)
        ),
        "appagent.host.proc.mountinfo": lambda: table() + look.mounts(),
        # A shim asks the kernel what is mounted, and the kernel does not know the script.
        "appagent.daemon.runner.spec_for": lambda *given: {**spec_for(*given), "fstype": ""},
        "appagent.share.process._TICK": 0.1,
        "appagent.share.process._SILENT": 1.0,
        "appagent.share.process._SCANNING": 1.0,
        "appagent.share.process._KILL": look.now().get("kill", 3600.0),
        "appagent.share.process._BACKOFF": (0.2, 1.0),
    }
    for name, value in changes.items():
        mock.patch(name, value).start()
    return cli.main(args)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
