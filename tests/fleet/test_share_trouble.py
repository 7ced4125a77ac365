"""The share goes away in every way that it can: apps live on, nothing begins, all comes right.

Where a node's share is cut off or gone, no run begins from the moment in which the agent misses it
until it is back. Where one of two bricks is left, deploys go on. And `status` answers all the time.

FLEET_CUT says for how many seconds the file servers are cut off (100).
"""

import os
import shutil
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from . import answers
from .asking import status, stuck_watchers
from .developer import MAKEFILE, app_files, noted
from .fleet import ROOT, Fleet
from .gluster import NAME
from .host import NOTES, Host
from .steps import AGAIN, FIRST, PATIENCE, held, process, targets, wait_at, wait_begun
from .stream import Stream
from .told import LOST, began, told, wait_lost
from .wait import wait_until

CUT = float(os.environ.get("FLEET_CUT", "100"))
# A restart that reads from the share, once it goes on, what this node has not read before.
READING = MAKEFILE.replace(
    "restart:\n\t$(note)\n", "restart:\n\t$(note)\n\t@ls parts other; cat other/* >/dev/null\n"
)


def wait_deployed(hosts: Collection[Host], stream: Stream) -> None:
    """Wait until each node has come as far as the stream has by now, or further."""
    least = stream.number

    def come(host: Host) -> bool:
        return any(
            run.target == "check" and int(run.version) >= least for run in noted(host, stream.app)
        )

    for host in hosts:
        wait_until(lambda host=host: come(host), PATIENCE, f"{host.name} comes to {least}")  # type: ignore[misc]


class NotMounted:
    """The share of some nodes is gone while a block lasts, and nothing begins meanwhile."""

    def __init__(
        self, hosts: Sequence[Host], take: Callable[[], object], back: Callable[[], object]
    ) -> None:
        """Take how it goes and how it comes back."""
        self.hosts, self.take, self.back = hosts, take, back
        self.lost: dict[str, float] = {}

    def __enter__(self) -> None:
        """Take it away, and wait until each agent says so."""
        went = time.time()
        self.take()
        self.lost = {host.name: wait_lost(host, went) for host in self.hosts}

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Show that nothing has begun and that the command answers; then bring it back."""
        if kind is None:
            now = time.time()
            for host in self.hosts:
                self.show(host, self.lost[host.name], now)
        self.back()

    def show(self, host: Host, since: float, until: float) -> None:
        """Show that the agent began no run between two times, and no app saw one begin."""
        assert began(host, since, until) == []
        for path in (host.root / NOTES).iterdir():
            if "." not in path.name:
                runs = noted(host, path.name)
                assert [run for run in runs if since <= run.time < until] == []
        root = next(root for root in status(host)["roots"] if root["path"] == ROOT)
        assert root["why"], root


def show_never_stopped(hosts: Collection[Host], apps: Collection[str]) -> None:
    """Show that nobody stopped these apps, and that they live."""
    for host in hosts:
        for app in apps:
            assert "stop" not in targets(host, app), (host.name, app, noted(host, app))
            assert process(host, app), (host.name, app)


def lose_it_in_every_way(fleet: Fleet, host: Host, stream: Stream) -> None:
    """Kill a node's FUSE client, take its mount, boot it without one; each time it comes right."""
    volume, developer = fleet.volume, fleet.developer
    apps = ("lost-quiet", "lost-linked", "lost-pushed")
    beneath = host.root / ROOT[1:]  # what lies on the node itself, where the share is mounted
    for app in ("impostor", "lost-quiet"):
        (beneath / app).mkdir(parents=True)
        (beneath / app / "Makefile").write_text(MAKEFILE)
        (beneath / app / "VERSION").write_text("impostor\n")

    def mount() -> None:
        volume.mount(host)

    with NotMounted([host], lambda: volume.kill_client(host), mount):
        developer.swap("lost-linked", "2", app_files("2"))
        stream.more(1)
    wait_at([host], "lost-linked", "2")
    with NotMounted([host], lambda: volume.unmount(host), mount):
        developer.swap("lost-linked", "3", app_files("3"))
        stream.more(1)
    wait_at([host], "lost-linked", "3")
    wait_deployed([host], stream)
    show_never_stopped([host], apps)
    assert targets(host, "lost-quiet") == FIRST

    def boot() -> None:
        volume.mount_at_boot(host, on=False)
        answers.end(host)
        host.reboot()
        answers.begin(host)

    with NotMounted([host], boot, mount):
        stream.more(1)
    volume.mount_at_boot(host, on=True)
    wait_until(lambda: targets(host, "lost-quiet") == (*FIRST, "start", "check"), PATIENCE)
    wait_deployed([host], stream)
    show_never_stopped([host], apps)
    assert noted(host, "impostor") == []
    shutil.rmtree(beneath)


def test_nodes_lose_the_share_while_pushes_go_on(fleet: Fleet) -> None:
    """One loses its client, its mount and its mount at boot; two are cut off for 100 s."""
    app1, app2, app3 = fleet.apps
    cut, servers, developer = [app2, app3], fleet.of("file"), fleet.developer
    developer.rsync("lost-quiet", app_files("1"))
    developer.swap("lost-linked", "1", app_files("1"))
    for app in ("lost-busy", "lost-reading"):
        developer.new_git(app)
        developer.push(app, app_files("1"))
    for app in ("lost-quiet", "lost-linked", "lost-busy", "lost-reading"):
        wait_at(fleet.apps, app, "1")
    agents = {host.name: host.main_pid("appagent.service") for host in cut}
    quiet = {host.name: process(host, "lost-quiet") for host in cut}

    def cut_off() -> None:
        for server in servers:
            server.cut(*cut)

    def heal() -> None:
        for server in servers:
            server.heal(*cut)

    with answers.asked(fleet.apps), Stream(developer, "lost-pushed") as stream:
        wait_at(fleet.apps, "lost-pushed", "1")
        # Four runs are under way when the share goes, and go on while it is away.
        with ExitStack() as under_way:
            for host, app, target in (
                (app2, "lost-busy", "install"),
                (app3, "lost-busy", "restart"),
                (app2, "lost-reading", "restart"),
                (app3, "lost-reading", "restart"),
            ):
                under_way.enter_context(held(host, app, target))
            more = {f"other/{number}": f"{number}\n" for number in range(20)}
            developer.push("lost-busy", app_files("2"))
            developer.push("lost-reading", app_files("2") | more | {"Makefile": READING})
            wait_begun(app2, "lost-busy", "2", "install")
            wait_begun(app3, "lost-busy", "2", "restart")
            wait_begun(app2, "lost-reading", "2", "restart")
            wait_begun(app3, "lost-reading", "2", "restart")
            with ThreadPoolExecutor(1) as beside:
                with NotMounted(cut, cut_off, heal):
                    alone = beside.submit(lose_it_in_every_way, fleet, app1, stream)
                    began_at = time.monotonic()
                    under_way.close()
                    time.sleep(max(0.0, began_at + CUT - time.monotonic()))
                alone.result()
        stream.more(1)

    for app, version in (
        ("lost-pushed", stream.version),
        ("lost-linked", "3"),
        ("lost-busy", "2"),
        ("lost-reading", "2"),
    ):
        wait_at(fleet.apps, app, version)
        show_never_stopped(fleet.apps, [app])
    for host in cut:
        assert targets(host, "lost-quiet") == FIRST
        assert process(host, "lost-quiet") == quiet[host.name]
        assert host.main_pid("appagent.service") == agents[host.name]
        assert stuck_watchers(host) == [""]
    for app in ("lost-quiet", "lost-linked", "lost-busy", "lost-reading", "lost-pushed"):
        developer.remove(app)


def test_file_servers_come_and_go_while_pushes_go_on(fleet: Fleet) -> None:
    """With one brick left deploys go on; with none, or too few for the quorum, nothing begins."""
    volume, developer, servers = fleet.volume, fleet.developer, fleet.of("file")
    fs1, fs2 = servers
    developer.rsync("gone-quiet", app_files("1"))
    wait_at(fleet.apps, "gone-quiet", "1")
    quiet = {host.name: process(host, "gone-quiet") for host in fleet.apps}

    def all_up() -> None:
        for server in servers:
            volume.brick_up(server)
        volume.wait_healed()

    with answers.asked(fleet.apps), Stream(developer, "gone-pushed") as stream:
        since = time.time()
        volume.brick_down(fs2)
        stream.more(2)
        wait_deployed(fleet.apps, stream)
        all_up()
        for server, other in ((fs1, fs2), (fs2, fs1)):
            stream.through(other)
            server.reboot()
            volume.wait_server(server)
            volume.wait_healed()
            stream.more(1)
            wait_deployed(fleet.apps, stream)
        for host in fleet.apps:
            assert told(host, *LOST, since=since) == []

        def all_down() -> None:
            for server in servers:
                volume.brick_down(server)

        with NotMounted(fleet.apps, all_down, all_up):
            time.sleep(5)
        stream.more(1)
        wait_deployed(fleet.apps, stream)

        volume.ask("volume", "set", NAME, "cluster.quorum-type", "fixed")
        volume.ask("volume", "set", NAME, "cluster.quorum-count", "2")
        with NotMounted(fleet.apps, lambda: volume.brick_down(fs2), all_up):
            time.sleep(5)
        for option in ("cluster.quorum-count", "cluster.quorum-type"):
            volume.ask("volume", "reset", NAME, option)
        stream.more(1)

    wait_at(fleet.apps, "gone-pushed", stream.version)
    show_never_stopped(fleet.apps, ["gone-pushed", "gone-quiet"])
    for host in fleet.apps:
        assert targets(host, "gone-quiet") == FIRST
        assert targets(host, "gone-pushed")[:3] == FIRST
        assert set(zip(*[iter(targets(host, "gone-pushed")[3:])] * 3, strict=True)) == {AGAIN}
        assert process(host, "gone-quiet") == quiet[host.name]
    for app in ("gone-quiet", "gone-pushed"):
        developer.remove(app)
