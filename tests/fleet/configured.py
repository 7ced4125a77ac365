"""More configuration for agents, while a test lasts: a file in conf.d, taken by a reload."""

import contextlib
import time
from collections.abc import Iterable, Iterator

from .agent import SERVICE
from .host import Host
from .told import told
from .wait import wait_until

EXTRA = "etc/appagent/conf.d/zz-test.yaml"


@contextlib.contextmanager
def configured(hosts: Iterable[Host], text: str) -> Iterator[None]:
    """Let agents have this beside their configuration for as long as the block lasts."""
    chosen = list(hosts)
    for host in chosen:
        host.write(f"/{EXTRA}", text)
        reload(host)
    try:
        yield
    finally:
        for host in chosen:
            (host.root / EXTRA).unlink()
            if host.running and host.ok(["systemctl", "is-active", "-q", SERVICE]):
                reload(host)


def reload(host: Host) -> None:
    """Let the agent read its configuration again, and wait until it is in force."""
    since = time.time()
    host.run(["systemctl", "reload", SERVICE])
    wait_until(
        lambda: told(host, "config.loaded", since=since), 30, f"{host.name} takes its configuration"
    )
