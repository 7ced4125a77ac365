"""A watcher over a share that fails as a file says: `python failing_watcher.py FILE`.

It is the real watcher, threads, socket and all; only its `Disk` has the faults in that file (see
tests/share_disk.py), and its patience is shorter.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from unittest import mock

from appagent.share import watcher

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.share_disk import FaultsFile, FaultyDisk

CHANGES = {
    "watcher._BEAT": 0.2,
    "debounce.CONFIRM": 0.5,
    "root_poll.CONFIRM": 0.5,
}


if __name__ == "__main__":
    for name, value in CHANGES.items():
        mock.patch(f"appagent.share.{name}", value).start()
    watcher.main(partial(FaultyDisk, FaultsFile(sys.argv[1])))
