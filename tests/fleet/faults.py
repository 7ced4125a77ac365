"""What happens to nodes and file servers while a team works: one fault after the other, by chance.

Each lasts a while and is healed. Some are a cause for a run to be repeated: the run was cut off, or
could not read the share. That the agent ends, or a watcher stands still, is no such cause.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from .agent import SERVICE
from .asking import status
from .fleet import Fleet
from .host import CommandFailed, CommandHung, Host

PAUSE = (1.0, 6.0)  # s between two faults
LASTS = (1.0, 12.0)  # s


@dataclass(frozen=True)
class Fault:
    """Something that happened."""

    began: float
    ended: float
    what: str
    host: str
    cause: bool  # for a run to be repeated


class Faults:
    """Makes faults in a thread of its own while the block lasts."""

    def __init__(self, fleet: Fleet, seed: int, story: list[str]) -> None:
        """Take what to break, the seed, and where to tell it."""
        self.fleet = fleet
        self.chance = random.Random(f"faults {seed}")  # noqa: S311 - it is to be repeated
        self.story = story
        self.made: list[Fault] = []
        self.over = threading.Event()
        self.error: BaseException | None = None
        self.kinds: list[tuple[str, bool, Callable[[Host, float], None]]] = [
            ("the agent is restarted", False, self.restart),
            ("the agent is killed", False, self.kill),
            ("a watcher stands still", False, self.stop_watcher),
            ("the client dies", True, self.kill_client),
            ("the node is cut off", True, self.cut),
            ("the power goes", True, self.power),
            ("a brick is down", False, self.brick),
        ]

    @contextmanager
    def made_meanwhile(self) -> Iterator[None]:
        """Break one thing after the other; all is healed at the end."""
        thread = threading.Thread(target=self.go_on, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.over.set()
            thread.join()
        if self.error:
            raise self.error

    def go_on(self) -> None:
        """Break and heal, until it is over."""
        try:
            while not self.over.wait(self.chance.uniform(*PAUSE)):
                what, cause, make = self.chance.choice(self.kinds)
                host = self.chance.choice(self.fleet.apps)
                lasts = self.chance.uniform(*LASTS)
                began = time.time()
                self.story.append(f"{began:.3f} {host.name}: {what} ({lasts:.1f} s)")
                make(host, lasts)
                self.made.append(Fault(began, time.time(), what, host.name, cause))
                self.story.append(f"{time.time():.3f} {host.name}: {what}: healed")
        except BaseException as error:  # noqa: BLE001 - it is raised where the block ends
            self.error = error

    def restart(self, host: Host, lasts: float) -> None:
        """Stop the service for a while."""
        host.run(["systemctl", "stop", SERVICE], timeout=100)
        time.sleep(lasts)
        host.run(["systemctl", "start", SERVICE], timeout=100)

    def kill(self, host: Host, lasts: float) -> None:
        """Kill the agent; systemd brings it back."""
        pid = host.main_pid(SERVICE)
        if pid:  # else it is not up again yet since the last time
            with suppress(CommandFailed):
                host.kill("KILL", pid)
        time.sleep(lasts)

    def stop_watcher(self, host: Host, lasts: float) -> None:
        """Let the watcher of the share stand still."""
        try:
            watchers = [
                int(watcher["pid"])
                for watcher in status(host)["watchers"]
                if watcher["roots"] and watcher["pid"]
            ]
        except (CommandFailed, CommandHung):
            return  # the agent is not up yet
        with host.stopped(*watchers):
            time.sleep(lasts)

    def kill_client(self, host: Host, lasts: float) -> None:
        """Kill the FUSE client, and mount anew."""
        self.fleet.volume.kill_client(host)
        time.sleep(lasts)
        self.fleet.volume.mount(host)

    def cut(self, host: Host, lasts: float) -> None:
        """Cut a node off."""
        host.cut()
        time.sleep(lasts)
        host.heal()

    def power(self, host: Host, lasts: float) -> None:
        """Pull the plug of a node, and boot it."""
        host.power_off()
        time.sleep(lasts)
        host.power_on()
        self.fleet.volume.mount(host)

    def brick(self, _: Host, lasts: float) -> None:
        """Kill a brick: the one of the file server that nobody pushes to."""
        server = self.fleet.of("file")[1]
        self.fleet.volume.brick_down(server)
        time.sleep(lasts)
        self.fleet.volume.brick_up(server)
        self.fleet.volume.wait_healed()
