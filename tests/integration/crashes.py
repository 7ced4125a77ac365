"""What the tests of crashes share: targets that show when two run at once, and waiting."""

from __future__ import annotations

import signal
from collections import Counter
from typing import Any

from appagent.core.release import short
from tests.integration.node import (
    PATIENCE,
    Node,
    wait_until,
)

QUICK = {"interval": "50ms", "scan_interval": "200ms"}

# The lock is held by everything that a run starts, so it also shows what outlived its run.
LOCKED = """\
.PHONY: install start restart stop check
install start restart stop check:
\t@flock -n -E 99 {base}/$$APP_NAME.lock sh -c ' \\
\techo "begin $@ $$APP_NAME $${{APP_RELEASE:--}} $$$$ $$(cat version || echo -)" >> {calls}; \\
\tsleep {seconds}; \\
\techo "end $@ $$APP_NAME $${{APP_RELEASE:--}} $$$$ $$(cat version || echo -)" >> {calls}'; \\
\tcode=$$?; [ $$code != 99 ] || \\
\t\techo "begin overlap $$APP_NAME $$APP_RELEASE 0 -" >> {calls}; \\
\texit $$code
"""


def died(made: Node) -> None:
    """Wait until the agent has been killed, by its own hand."""
    assert made.process is not None
    assert made.process.wait(PATIENCE) == -signal.SIGKILL, made.told()
    made.process = None


def good(made: Node, app: str, version: str) -> None:
    """Wait until an app runs this version and nothing is left to be done."""

    def there() -> bool:
        calls = made.calls(app, "end")
        return bool(calls) and calls[-1].version == version and made.app(app)["state"] == "ok"

    wait_until(there, f"{app} runs {version}")


def waiting(made: Node) -> str:
    """A recipe's line that goes on once the test lets it."""
    return f"\t@while [ ! -e {made.base}/go ]; do sleep 0.02; done"


def let_go(made: Node) -> None:
    (made.base / "go").touch()


def runs_of(made: Node, app: str) -> list[dict[str, Any]]:
    """The runs of an app in the history, oldest first."""
    return [run for deploy in reversed(made.history(app)) for run in deploy["runs"]]


def nothing_ran_twice(made: Node) -> None:
    """No two runs of an app at once, and no run done again that had succeeded."""
    assert "overlap" not in made.targets()
    done = Counter((call.app, call.target, call.release) for call in made.calls(what="end"))
    assert not {what: times for what, times in done.items() if times > 1}


def name_of(release: str) -> str:
    """A release as a target is told it."""
    name = short(release) if release.startswith("symlink") else release.rpartition(":")[2]
    return name or "-"  # an app is stopped of which nothing was ever installed whole
