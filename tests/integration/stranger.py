"""Commands of a user who is neither root nor the agent's."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator

from tests.integration.node import Node

NOBODY = 65534

# Becomes another user once all is loaded that its commands need: what Python was installed for need
# not be readable for that one. Runs each command line of stdin; answers with what came of it.
STRANGER = """\
import contextlib, io, json, os, sys
import importlib, pkgutil
from appagent import cli, commands, config
for module in pkgutil.iter_modules(commands.__path__):
    importlib.import_module("appagent.commands." + module.name)
lines = json.load(sys.stdin)
os.setgroups([])
os.setgid({nobody})
os.setuid({nobody})
for argv in lines:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(argv)
        except SystemExit as end:
            code = end.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


def as_stranger(made: Node, *lines: list[str]) -> list[tuple[int, str, str]]:
    """Run commands as another user."""
    made.config.chmod(0o644)
    argvs = [[name, "--config", str(made.config), *rest] for name, *rest in lines]
    done = subprocess.run(
        [sys.executable, "-c", STRANGER.format(nobody=NOBODY)],
        input=json.dumps(argvs),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@contextlib.contextmanager
def strangers_clients(path: str, number: int) -> Iterator[None]:
    """Keep as many connections of another user open at a socket."""
    flood = (
        "import os, socket, sys\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        f"kept = [socket.socket(socket.AF_UNIX) for _ in range({number})]\n"
        "for one in kept: one.connect(sys.argv[1])\n"
        "print('all', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", flood, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"all\n"
            yield
        finally:
            process.kill()
