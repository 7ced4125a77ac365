"""A watcher over a share that fails as a file says: `python failing_watcher.py FILE`.

It is the real watcher, threads, socket and all; only its `Disk` has the faults in that file (see
tests/share_disk.py), and its patience is shorter.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from appagent.share import watcher
from appagent.share.state import Limits

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.share_disk import FaultsFile, FaultyDisk

if __name__ == "__main__":
    disk = partial(FaultyDisk, FaultsFile(sys.argv[1]))
    watcher.main(disk, Limits(confirm=0.5), beat=0.2)
