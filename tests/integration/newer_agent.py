"""An agent whose signatures of trees are of a newer kind: `python newer_agent.py run …`.

It is the real agent, one scheme ahead: what an upgrade will be once the scheme changes. With
`watcher` as its argument it is the watcher of such an agent.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from unittest import mock

from appagent import cli
from appagent.daemon import watchers
from appagent.share import watcher
from appagent.share.process import Watcher

NEWER = "tree.2"


def main(*args: str) -> int:
    """Be an agent, or its watcher."""
    if args == ("watcher",):
        watcher.main(scheme=NEWER)
    command = (sys.executable, "-P", str(Path(__file__).resolve()), "watcher")
    made = partial(watchers.Watchers, make=partial(Watcher, command=command), scheme=NEWER)
    mock.patch("appagent.daemon.agent.Watchers", made).start()
    return cli.main(args)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
