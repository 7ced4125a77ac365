"""What an app has started is the app's: it outlives the agent; what is to end, ends completely.

The daemon of these apps tells how it is (daemon.sh). The wild app does all it can to live on.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from . import agent
from .agent import SERVICE
from .configured import EXTRA, configured, reload
from .daemons import (
    MAKEFILE,
    beats,
    clear,
    counted,
    daemon_files,
    goes_on,
    in_slice,
    last_word,
    wait_beat,
)
from .developer import noted
from .fleet import Fleet
from .host import NOTES, Host
from .steps import FIRST, last_run, wait_at
from .told import told
from .wait import wait_until

WILD = (Path(__file__).parent / "wild.py").read_text()
TIMEOUT, GRACE = 4, 1  # s
LIMITS = f"""\
apps:
  wild:
    timeout: {{start: {TIMEOUT}s}}
    grace: {GRACE}s
    limits: {{tasks: 50}}
    retry: {{first: 1h, max: 1h}}
"""
EXITS = """\
apps:
  comes-back: {on_exit: start}
"""


def targets(host: Host, app: str) -> list[str]:
    """Return the targets that an app ran on a node, in order."""
    return [run.target for run in noted(host, app)]


def status(host: Host, app: str) -> dict[str, Any]:
    """Return what `appagent status` says of an app."""
    apps = json.loads(host.out(["appagent", "status", app, "--json"]))["apps"]
    found: dict[str, Any] = next(one for one in apps if one["app"] == app)
    return found


def deploy(fleet: Fleet, host: Host, app: str) -> int:
    """Bring an app with a daemon to the nodes, and return the process on this one."""
    fleet.developer.swap(app, "1", daemon_files("1"))
    wait_at(fleet.apps, app, "1")
    return wait_beat(host, app).pid


def journal_has(host: Host, app: str, since: float) -> bool:
    """Whether a line of an app has come to the journal since a time."""
    lines = host.journal(f"SYSLOG_IDENTIFIER=appagent-{app}")
    return bool(lines) and int(lines[-1]["__REALTIME_TIMESTAMP"]) / 1e6 > since


def test_a_daemon_outlives_whatever_becomes_of_the_agent(fleet: Fleet) -> None:
    """Restarted, stopped, killed, upgraded: the same process, its log, its output, its /tmp."""
    host = fleet.apps[0]
    app = "a-daemon"
    pid = deploy(fleet, host, app)

    def unharmed() -> None:
        goes_on(host, app, pid)
        now = time.time()
        wait_until(lambda: journal_has(host, app, now), 30, "its output comes to the journal")
        assert targets(host, app) == list(FIRST)

    for verb in ("restart", "stop", "start"):
        host.run(["systemctl", verb, SERVICE])
        unharmed()
    killed = host.main_pid(SERVICE)
    host.kill("KILL", killed)
    unharmed()
    wait_until(lambda: host.main_pid(SERVICE) not in (0, killed), 60, "another agent")
    agent.wait_service(host, SERVICE)
    unharmed()
    agent.upgrade(host, "99.2")
    assert "99.2" in host.out("appagent status")
    unharmed()

    assert status(host, app)["usage"]["processes"] == len(in_slice(host, app))
    assert pid in in_slice(host, app)
    shown = host.out(["systemctl", "status", "--no-pager", r"appagent-a\x2ddaemon.slice"])
    assert "sh ./daemon" in shown
    assert str(pid) in shown

    host.run(["appagent", "trigger", app, "stop", "--wait"])
    assert last_word(host, app) == "ended"
    assert in_slice(host, app) == []
    assert status(host, app)["usage"]["processes"] == 0
    said = len(beats(host, app))
    host.run(["appagent", "trigger", app, "start", "--wait"])
    assert wait_beat(host, app, said).word == "here"
    clear(fleet, [app])


def test_a_daemon_is_ended_by_its_makefile_once_the_app_has_left_the_share(fleet: Fleet) -> None:
    """By the copy of the Makefile that was kept; nobody needs to say so."""
    host = fleet.apps[0]
    with configured(fleet.apps, "defaults: {gone_after: 1s}\n"):
        fleet.developer.swap("stays", "1", daemon_files("1"))  # a root that is empty is doubted
        deploy(fleet, host, "leaves")
        wait_at(fleet.apps, "stays", "1")
        fleet.developer.remove("leaves")
        wait_until(lambda: last_word(host, "leaves") == "ended", 60, "it is ended")
        wait_until(lambda: not in_slice(host, "leaves"), 30, "nothing is left of it")
        assert targets(host, "leaves") == [*FIRST, "stop"]
        clear(fleet, ["leaves", "stays"])


def test_a_daemon_that_dies_is_told_and_started_again_where_that_is_asked_for(fleet: Fleet) -> None:
    """`exited`; on_exit: start starts it, on_exit: report only says so."""
    host = fleet.apps[0]
    since = time.time()
    with configured([host], EXITS):
        pids = {app: deploy(fleet, host, app) for app in ("comes-back", "lies-there")}
        for app in pids:
            wait_until(lambda app=app: counted(host, app), 30, f"{app} is counted")  # type: ignore[misc]
        host.kill("KILL", *pids.values())
        wait_until(lambda: status(host, "lies-there")["state"] == "exited", 60, "it is told")
        another = wait_beat(host, "comes-back", len(beats(host, "comes-back")))
        assert another.pid != pids["comes-back"]
        wait_until(lambda: targets(host, "comes-back") == [*FIRST, "start", "check"], 60)
        assert status(host, "comes-back")["state"] == "ok"
        exited = {notice.app: notice.text for notice in told(host, "app.exited", since=since)}
        assert set(exited) == set(pids)
        assert targets(host, "lies-there") == list(FIRST)
        assert in_slice(host, "lies-there") == []
        host.run(["appagent", "trigger", "lies-there", "start", "--wait"])
        assert status(host, "lies-there")["state"] == "ok"
        clear(fleet, pids)


def limited(host: Host, app: str) -> dict[str, str]:
    """Return the limits of an app's slice, as systemd has them."""
    names = ["-p", "MemoryMax", "-p", "CPUQuotaPerSecUSec", "-p", "TasksMax"]
    lines = host.out(["systemctl", "show", *names, f"appagent-{app}.slice"]).splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_limits_are_the_slices_and_a_changed_one_holds_without_a_run(fleet: Fleet) -> None:
    """Of memory, processor and tasks; also where they change while the agent is away."""
    host = fleet.apps[0]
    first = "apps: {limited: {limits: {memory: 512M, cpu: 150%, tasks: 40}}}\n"
    with configured([host], first):
        pid = deploy(fleet, host, "limited")
        names = ("MemoryMax", "CPUQuotaPerSecUSec", "TasksMax")
        said = dict(zip(names, (str(512 << 20), "1.500000s", "40"), strict=True))
        assert limited(host, "limited") == said
        host.write(f"/{EXTRA}", first.replace("tasks: 40", "tasks: 60"))
        reload(host)
        wait_until(lambda: limited(host, "limited") == said | {"TasksMax": "60"}, 30, "the reload")
        host.run(["systemctl", "stop", SERVICE])
        host.write(f"/{EXTRA}", "apps: {}\n")
        agent.start(host)
        free = dict.fromkeys(names, "infinity")
        wait_until(lambda: limited(host, "limited") == free, 30, "limits that are no more")
        goes_on(host, "limited", pid)
        assert targets(host, "limited") == list(FIRST)
    clear(fleet, ["limited"])


def wild_files(version: str) -> dict[str, str]:
    """Return an app whose start does all it can not to end."""
    run = "python3 wild.py $(base).count"
    makefile = MAKEFILE.replace("\t@$(begin)\nrestart", f"\t@trap '' TERM; {run}\nrestart")
    return daemon_files(version, makefile) | {"wild.py": WILD}


def run_wild(fleet: Fleet, host: Host) -> list[int]:
    """Deploy the wild app, wait until it has as many processes as it gets, and return them."""
    count = host.root / NOTES / "wild.count"
    count.unlink(missing_ok=True)
    fleet.developer.swap("wild", "1", wild_files("1"))
    wait_until(lambda: count.exists() and count.read_text().strip(), 60, "it runs wild")
    pids = in_slice(host, "wild")
    assert len(pids) > 10, pids
    return pids


def living(host: Host, pids: list[int]) -> list[str]:
    """Return the processes of these that live; one that has ended may wait for its parent."""
    words = ["ps", "-o", "pid=,stat=,args=", "-p", ",".join(map(str, pids))]
    lines = host.run(words, check=False).out.splitlines()
    return [line for line in lines if not line.split()[1].startswith("Z")]


@contextlib.contextmanager
def dead(host: Host) -> Iterator[None]:
    """Let there be no agent while the block lasts."""
    host.run(["systemctl", "stop", SERVICE])
    try:
        yield
    finally:
        agent.start(host)


AGENTS: dict[str, Callable[[Host], AbstractContextManager[None]]] = {
    "lives": lambda _: contextlib.nullcontext(),
    "is stopped": lambda host: host.stopped(host.main_pid(SERVICE)),
    "is dead": dead,
}


@pytest.mark.parametrize("how", AGENTS)
def test_a_run_that_does_not_end_is_ended_whole_though_the_agent(fleet: Fleet, how: str) -> None:
    """After timeout and grace nothing is left of it, and other apps felt nothing."""
    host = fleet.apps[0]
    with configured(fleet.apps, LIMITS):
        calm = deploy(fleet, host, "calm")
        pids = run_wild(fleet, host)
        with AGENTS[how](host):
            wait_until(lambda: not in_slice(host, "wild"), 60, "nothing is left of it")
            assert not living(host, pids)
            assert host.pids("wild.py") == []
        wait_until(lambda: last_run(host, "wild")["outcome"] != "running", 60, "it is told")
        run = last_run(host, "wild")
        assert (run["target"], run["outcome"]) == ("start", "timeout")
        assert bool(run["adopted"]) is (how == "is dead")
        assert run["duration_ms"] >= 1000 * (TIMEOUT + GRACE)
        goes_on(host, "calm", calm)
        assert targets(host, "calm") == list(FIRST)
        clear(fleet, ["wild", "calm"])
