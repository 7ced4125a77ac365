"""The machine around the agent: make, clock, control groups, journal, systemd or OpenRC."""

from __future__ import annotations

import ctypes
import re
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from appagent import __version__
from appagent.doctor.finding import Finding, Item, Step, note, ok, problem, warning
from appagent.doctor.programs import ask, path_of, version_of
from appagent.host.mounts import Mounts

MACHINE, CLOCK, JOURNAL, SERVICE = "machine", "clock", "journal", "service"
SOFTWARE = "software"
_OLDEST_MAKE = (3, 82)  # it can be asked for its targets
_TESTED, _OOM_POLICY, _COLLECT = 252, 243, 236  # systemd: oldest tested; the first that has it
_STREAM, _SOCKET = "/run/systemd/journal/stdout", "/run/systemd/journal/socket"
_TIMEX_STATUS, _UNSYNCHRONIZED = 40, 0x40


def is_systemd() -> bool:
    """Whether systemd runs this machine, as sd_booted(3) defines it."""
    return Path("/run/systemd/system").is_dir()


def software() -> Iterator[Item]:
    """Python and make."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield ok(SOFTWARE, f"appagent {__version__} on Python {version} ({sys.executable})")
    yield Step("running make --version")
    path = path_of("make")
    yield judge_make(path, ask("make", "--version").stdout)


def judge_make(path: str | None, text: str) -> Finding:
    """Judge the output of `make --version`."""
    if path is None:
        return problem(SOFTWARE, "make is not installed", "install GNU make")
    found = re.match(r"GNU Make (\d+(?:\.\d+)*)", text)
    if found is None:
        do = "install GNU make and let PATH find it as make"
        return problem(SOFTWARE, f"{path} is not GNU make", do)
    if version_of(found[1]) < _OLDEST_MAKE:
        return problem(SOFTWARE, f"GNU make {found[1]} is too old", "install 3.82 or newer")
    return ok(SOFTWARE, f"GNU make {found[1]} ({path})")


def clock() -> Iterator[Item]:
    """Whether the clock is synchronized, as the kernel knows it."""
    timex = ctypes.create_string_buffer(512)  # struct timex is smaller everywhere
    if ctypes.CDLL(None).adjtimex(timex) >= 0:
        status = timex.raw[_TIMEX_STATUS : _TIMEX_STATUS + 4]
        yield judge_clock(int.from_bytes(status, "little"))


def judge_clock(status: int) -> Finding:
    """Judge the kernel's status bits."""
    if status & _UNSYNCHRONIZED:
        do = "run systemd-timesyncd, chrony or ntpd, so that times agree across nodes"
        return warning(CLOCK, "the system clock is not synchronized (no NTP)", do)
    return ok(CLOCK, "the system clock is synchronized")


def judge_systemd(text: str) -> Iterator[Finding]:
    """Judge the output of `systemctl --version`."""
    found = re.match(r"systemd (\d+)", text)
    version = int(found[1]) if found else 0
    newer = f"upgrade to systemd {_TESTED} or newer"
    if found is None:
        yield warning(MACHINE, "systemctl does not print its version", "systemctl --version")
    elif version < _COLLECT:
        yield problem(MACHINE, f"systemd {version} is too old: scopes of runs would pile up", newer)
    elif version < _OOM_POLICY:
        yield warning(MACHINE, f"systemd {version} does not know OOMPolicy= of the unit", newer)
    elif version < _TESTED:
        yield note(MACHINE, f"systemd {version} is older than {_TESTED}, the oldest tested", newer)
    else:
        yield ok(MACHINE, f"systemd {version}")
    if path_of("systemd-run") is None:
        text = "systemd-run is not installed: runs get no scope of their own"
        yield warning(MACHINE, text, "install the whole package systemd")


def without_systemd() -> Iterator[Finding]:
    """A machine that systemd does not run."""
    text = "systemd is not running: processes are tracked by session, not by cgroup"
    yield note(MACHINE, text)
    if not Path("/run/openrc/softlevel").exists():
        return
    yield ok(MACHINE, "OpenRC runs this machine")
    if not Path("/etc/init.d/appagent").exists():
        text = "/etc/init.d/appagent does not exist: the agent does not start at boot"
        yield note(SERVICE, text, "install it: share/appagent/put-in-place")
    files = [Path("/etc/rc.conf"), Path("/etc/conf.d/appagent")]
    texts = {str(file): file.read_text("utf-8", "replace") for file in files if file.is_file()}
    yield from judge_openrc(texts)


def judge_openrc(texts: Mapping[str, str]) -> Iterator[Finding]:
    """Judge what OpenRC does when the agent stops; later files win."""
    value = file = ""
    for path, text in texts.items():
        for found in re.finditer(r"(?m)^\s*rc_cgroup_cleanup=[\"']?(\w+)", text):
            value, file = found[1].lower(), path
    if value in ("yes", "true", "on", "1"):
        text = f"rc_cgroup_cleanup={value} in {file}: stopping the agent kills every app"
        yield problem(SERVICE, text, 'set rc_cgroup_cleanup="no" in /etc/conf.d/appagent')


def groups(mounts: Mounts, *, systemd: bool) -> Iterator[Finding]:
    """The version of the control groups, from the mount table."""
    mount = mounts.by_point.get("/sys/fs/cgroup")
    if mount is None:
        text = "no control groups are mounted: processes of apps are tracked by session"
        yield note(MACHINE, text, "nothing in a container; else mount cgroup2 at /sys/fs/cgroup")
    elif mount.fstype == "cgroup2":
        yield ok(MACHINE, "control groups are version 2")
    elif systemd:
        text = "control groups are version 1 or hybrid: a run cannot be killed as a whole"
        yield warning(MACHINE, text, "boot with systemd.unified_cgroup_hierarchy=1")
    else:
        yield note(MACHINE, "control groups are version 1 or hybrid")


def journal(log_format: str) -> Iterator[Item]:
    """Whether journald answers."""
    if not Path(_SOCKET).exists():
        if log_format == "journal":
            text = "log.format is journal, but journald does not run on this machine"
            yield problem(JOURNAL, text, "set log: {format: auto}")
        else:
            yield note(JOURNAL, "journald does not run: app output goes to files in state_dir")
        return
    for kind, path in ((socket.SOCK_STREAM, _STREAM), (socket.SOCK_DGRAM, _SOCKET)):
        yield Step(f"connecting to {path}")
        with socket.socket(socket.AF_UNIX, kind) as client:
            client.settimeout(3)
            try:
                client.connect(path)
            except OSError as error:
                text = f"cannot reach journald at {path}: {error}"
                yield warning(JOURNAL, text, "systemctl restart systemd-journald")
                return
    yield ok(JOURNAL, "journald answers")
    if not Path("/var/log/journal").is_dir():
        text = "the journal is kept in memory only: a reboot loses the logs of apps"
        yield note(JOURNAL, text, "mkdir -p /var/log/journal; journalctl --flush")


def installation(mounts: Mounts, paths: Iterable[str]) -> Iterator[Finding]:
    """Whether appagent itself lies on a share."""
    for path in paths:
        mount = mounts.holding(path)
        if mount.is_share:
            text = f"appagent is installed on a share ({path}, {mount.fstype}) and hangs with it"
            yield warning(MACHINE, text, "install it on the local disk")
