"""The demo screens: three apps, a deploy, one that fails, a hold; and what the commands show.

`demo` lays it out with a real agent; `SCREENS` are the commands; `normal` replaces what differs
from run to run (ages, pids, hashes, paths) by something of the same length. The documentation's
screens come from here too: tests/integration/screens/ holds them as they are to be.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.integration.node import GitApp, Node, SymlinkApp, TreeApp, node, wait_until

SYMLINK, GIT, TREE = "hello-symlink", "notes-git", "static-tree"
SCREENS = (
    "status",
    f"status {GIT}",
    f"explain {GIT}",
    "history",
    f"history {GIT}",
    f"wait {SYMLINK}",
    f"wait {GIT}",
)

START = """\
\t@case $@ in start|restart) kill $$(cat {base}/$$APP_NAME.pid 2>/dev/null) 2>/dev/null; \\
\tsetsid sleep 3600 > /dev/null 2>&1 & echo $$! > {base}/$$APP_NAME.pid; \\
\techo serving $$(cat version);; esac"""
FAILING = (
    "\t@case $@ in restart) echo 'FATAL: could not connect to db1.example.org:5432: "
    "the database system is starting up, and has been for ten minutes' >&2; exit 1;; esac"
)


@contextlib.contextmanager
def demo() -> Iterator[Node]:
    """An agent with three apps: one is ok, the restart of one has failed, one is held."""
    base = Path(tempfile.mkdtemp(prefix="demo", dir="/tmp"))
    try:
        with node(base / "n", watch="poll", interval="50ms", scan_interval="200ms") as one:
            one.settings |= {"environment": "production", "node": "web01"}
            one.write_config()
            apps = (SymlinkApp(one, SYMLINK), GitApp(one, GIT), TreeApp(one, TREE))
            start = START.format(base=one.base)
            one.start()
            for app in apps:
                app.deploy("1", one.makefile(start))
                one.wait_for(app.name, "ok")
            apps[0].deploy("2", one.makefile(start))
            wait_until(lambda: len(one.history(SYMLINK)) == 2, "2 is seen")
            wait_until(lambda: one.history(SYMLINK)[0]["outcome"] == "done", "2 is deployed")
            for app in apps:
                wait_until(lambda app=app: one.app(app.name)["usage"]["processes"], "it runs")  # type: ignore[misc]
            apps[1].deploy("2", one.makefile(FAILING))
            one.wait_for(GIT, "failed")
            one.command("hold", TREE, "--why", "the new logo comes on Monday", check=True)
            one.wait_for(TREE, "held")
            yield one
    finally:
        shutil.rmtree(base, ignore_errors=True)


def normal(text: str, made: Node) -> str:
    """Replace what differs from run to run; columns stay where they are."""
    hashes: list[str] = []

    def hashed(found: re.Match[str]) -> str:
        if found.group() not in hashes:
            hashes.append(found.group())
        return ("9f31c02be7d4", "27ac58f01e6b", "d04b7731a9c2")[hashes.index(found.group()) % 3]

    def right(value: str, found: re.Match[str]) -> str:
        return value.rjust(len(found.group()))

    text = text.replace(str(made.root), "/files/production")
    text = text.replace(str(made.state), "/var/lib/appagent").replace(
        str(made.runtime), "/run/appagent"
    )
    text = re.sub(r"\b[0-9a-f]{12}\b", hashed, text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "2026-03-02 10:15:00", text)
    text = re.sub(r"until \d\d:\d\d", "until 10:45", text)
    text = re.sub(r"pid \d+", "pid 4711", text)
    text = re.sub(r"(?<=\d) min \d+ s\b|(?<=\d) min\b", " s", text)
    text = re.sub(r" +\d+[smhd]\b", lambda found: right(" 3s", found), text)
    text = re.sub(r" +\d+(\.\d)? s\b", lambda found: right(" 0.4 s", found), text)
    text = re.sub(r"\(\d+\.\d s\)", "(0.4 s)", text)
    text = re.sub(r"\b(settle|queue|run) \d+\.\d", r"\1 0.1", text)
    return re.sub(r" +\d+(\.\d)?[KMG]\b", lambda found: right(" 12M", found), text)
