"""The agent over a share that fails as a file says: `python failing_agent.py FILE run …`.

It is the real agent, except for its watchers (failing_watcher.py, with the same file), the mount
table that it groups paths by, and its patience, which is shorter.
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
from appagent.share.process import Timing, Watcher

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.share_disk import FaultsFile, mount_lines

WATCHER = Path(__file__).with_name("failing_watcher.py")


def main(script: str, *args: str) -> int:
    """Be an agent."""
    faults, table = FaultsFile(script), proc.mountinfo
    faults()
    command = (sys.executable, "-P", str(WATCHER), script)
    timing = Timing(
        tick=0.1,
        silent=1.0,
        scanning=1.0,
        kill=faults.whole.get("kill", 3600.0),
        first_pause=0.2,
        longest_pause=1.0,
    )
    changes = {
        "appagent.daemon.agent.Watchers": partial(
            watchers.Watchers, make=partial(Watcher, command=command, timing=timing)
        ),
        "appagent.host.proc.mountinfo": lambda: table() + mount_lines(faults()),
        # A shim asks the kernel what is mounted, and the kernel does not know the script.
        "appagent.daemon.runner.spec_for": lambda *given: {**spec_for(*given), "fstype": ""},
    }
    for name, value in changes.items():
        mock.patch(name, value).start()
    return cli.main(args)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
