"""What a person can do to a fleet that is up, each by a word: `tests/fleet/fleet cut app1`.

The words are those of the Python API; each ends when what it says is so.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .fleet import Fleet


@dataclass(frozen=True)
class Deed:
    """Something to do: what it takes, what it is, and how it is done."""

    takes: str
    help: str
    do: Callable[[Fleet, Sequence[str]], str | None]
    most: int = 0  # of the words that it may do without

    def done(self, fleet: Fleet, words: Sequence[str]) -> str:
        """Do it, and return what there is to say."""
        least = len(self.takes.partition("[")[0].split())
        if not least <= len(words) <= least + self.most:
            msg = f"it takes: {self.takes}"
            raise ValueError(msg)
        return self.do(fleet, words) or ""


def _off(fleet: Fleet, words: Sequence[str]) -> None:
    fleet.host(words[0]).power_off()


def _on(fleet: Fleet, words: Sequence[str]) -> None:
    host = fleet.host(words[0])
    host.power_on()
    if host in fleet.of("file"):
        fleet.volume.wait_server(host)


def _reboot(fleet: Fleet, words: Sequence[str]) -> None:
    fleet.host(words[0]).shut_down()
    _on(fleet, words)


def _cut(fleet: Fleet, words: Sequence[str]) -> None:
    host, *others = (fleet.host(word) for word in words)
    host.cut(*others)


def _heal(fleet: Fleet, words: Sequence[str]) -> None:
    host, *others = (fleet.host(word) for word in words)
    host.heal(*others)


def _kill_client(fleet: Fleet, words: Sequence[str]) -> None:
    fleet.volume.kill_client(fleet.host(words[0]))


def _mount(fleet: Fleet, words: Sequence[str]) -> None:
    fleet.volume.mount(fleet.host(words[0]))


def _unmount(fleet: Fleet, words: Sequence[str]) -> None:
    fleet.volume.unmount(fleet.host(words[0]))


def _brick_down(fleet: Fleet, words: Sequence[str]) -> None:
    fleet.volume.brick_down(fleet.host(words[0]))


def _brick_up(fleet: Fleet, words: Sequence[str]) -> None:
    fleet.volume.brick_up(fleet.host(words[0]))
    fleet.volume.wait_healed()


def _restart_servers(fleet: Fleet, _: Sequence[str]) -> None:
    fleet.volume.restart_servers()


def _fill(fleet: Fleet, words: Sequence[str]) -> None:
    fleet.host(words[0]).fill_disk(int(words[1]) if len(words) > 1 else 0)


def _free(fleet: Fleet, words: Sequence[str]) -> None:
    fleet.host(words[0]).free_disk()


def _pause(fleet: Fleet, words: Sequence[str]) -> str:
    host = fleet.host(words[0])
    pids = [int(words[1])] if words[1].isdecimal() else host.pids(words[1])
    if not pids:
        msg = f"{host.name} runs nothing like {words[1]}"
        raise LookupError(msg)
    with host.stopped(*pids):
        time.sleep(float(words[2]))
    return f"stopped for {words[2]} s: {' '.join(map(str, pids))}"


def _push(fleet: Fleet, words: Sequence[str]) -> str:
    app, top = words[0], Path(words[1])
    paths = [path for path in top.rglob("*") if path.is_file() and ".git" not in path.parts]
    files = {str(path.relative_to(top)): path.read_text() for path in paths}
    developer = fleet.developer
    if not (developer.machine.root / "home/deploy" / app).exists():
        developer.new_git(app)
    return developer.push(app, files)


def _journal(fleet: Fleet, words: Sequence[str]) -> str:
    entries = fleet.host(words[0]).journal(*words[1:])
    said = [(int(one["__REALTIME_TIMESTAMP"]) / 1e6, one) for one in entries]
    return "\n".join(
        f"{time.strftime('%H:%M:%S', time.localtime(when))} "
        f"{one.get('SYSLOG_IDENTIFIER', '-')}: {one.get('MESSAGE', '')}"
        for when, one in said
    )


def _add(fleet: Fleet, _: Sequence[str]) -> str:
    host = fleet.new_app()
    fleet.write_record()
    return host.name


DEEDS = {
    "off": Deed("HOST", "pull the plug", _off),
    "boot": Deed("HOST", "boot a host that is off", _on),
    "reboot": Deed("HOST", "shut down cleanly, and boot", _reboot),
    "add": Deed("", "one more app server; its name is printed", _add),
    "cut": Deed("HOST [OTHER …]", "cut off from all, or from these", _cut, 99),
    "heal": Deed("HOST [OTHER …]", "connect again", _heal, 99),
    "kill-client": Deed("HOST", "kill the FUSE client of the share", _kill_client),
    "mount": Deed("HOST", "mount the share", _mount),
    "unmount": Deed("HOST", "unmount the share", _unmount),
    "brick-down": Deed("SERVER", "kill the brick of a file server", _brick_down),
    "brick-up": Deed("SERVER", "start it again, and wait until it is healed", _brick_up),
    "restart-servers": Deed("", "reboot the file servers one after the other", _restart_servers),
    "fill": Deed("HOST [BYTES]", "fill the disk with the agent's state, but for so much", _fill, 1),
    "free": Deed("HOST", "take away what filled it", _free),
    "pause": Deed("HOST PID|PATTERN SECONDS", "stop processes (SIGSTOP) for a while", _pause),
    "push": Deed("APP DIRECTORY", "push a directory of this machine with git over ssh", _push),
    "journal": Deed("HOST [FIELD=VALUE …]", "print a host's journal", _journal, 99),
}
