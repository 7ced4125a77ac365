"""The machine around the agent: who runs it (systemd, OpenRC), control groups, the journal."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from appagent.doctor import unit
from appagent.doctor.finding import Doing, Finding, Said, note, ok, problem, warning
from appagent.doctor.programs import ask, path_of
from appagent.host.mounts import Mounts

MACHINE = "machine"
MEASURED, POLICY, SCOPES = 252, 243, 236  # systemd: measured with; OOMPolicy; scopes that collect
_STREAM = "/run/systemd/journal/stdout"
_SOCKET = "/run/systemd/journal/socket"


def is_systemd() -> bool:
    """Whether systemd runs this machine, as sd_booted(3) has it."""
    return Path("/run/systemd/system").is_dir()


def service(roots: tuple[str, ...]) -> Iterator[Said]:
    """The service manager, and the unit of the agent."""
    yield Doing("asking systemctl for its version")
    answer = ask("systemctl", "--version")
    if not is_systemd():
        yield from _without_systemd()
        return
    if answer is None:
        text = "systemd runs this machine, and systemctl does not answer"
        yield warning(unit.SERVICE, text, "systemctl is-system-running")
        return
    yield judge_version(answer.text)
    if path_of("systemd-run") is None:
        yield warning(
            MACHINE, "there is no systemd-run: runs have no scope of their own", "install systemd"
        )
    yield Doing("asking systemctl about appagent.service")
    show = ask("systemctl", "show", "appagent.service", f"--property={','.join(unit.SHOWN)}")
    cat = ask("systemctl", "cat", "--no-pager", "appagent.service")
    if show is None or cat is None:
        text = "systemctl does not answer about appagent.service"
        yield warning(unit.SERVICE, text, "systemctl status appagent")
        return
    if show.code:
        text = f"systemctl says nothing about appagent.service: {show.words.strip()}"
        yield warning(unit.SERVICE, text, "run doctor where systemd can be asked")
        return
    yield from unit.judge(cat.text, unit.properties(show.text), roots)


def judge_version(text: str) -> Finding:
    """Judge the version of systemd."""
    found = re.match(r"systemd (\d+)", text)
    if found is None:
        return warning(MACHINE, "the version of systemd cannot be told", "systemctl --version")
    version = int(found[1])
    if version < SCOPES:
        text = f"systemd {version} is too old for scopes that clean up after themselves"
        return problem(MACHINE, text, f"systemd {MEASURED} or newer")
    if version < POLICY:
        text = f"systemd {version} does not know OOMPolicy= and others of the unit"
        return warning(MACHINE, text, f"systemd {MEASURED} or newer")
    if version < MEASURED:
        text = f"systemd {version} is older than {MEASURED}, which appagent was measured with"
        return note(MACHINE, text, f"systemd {MEASURED} or newer, if something is odd")
    return ok(MACHINE, f"systemd {version}")


def _without_systemd() -> Iterator[Finding]:
    """A machine that systemd does not run."""
    text = "systemd does not run this machine: a run is a session of its own, told by its processes"
    yield note(MACHINE, text)
    if not Path("/sbin/openrc-run").exists():
        return
    runs = Path("/run/openrc/softlevel").exists()
    yield ok(MACHINE, f"OpenRC is here{' and runs this machine' if runs else ''}")
    if runs and not Path("/etc/init.d/appagent").exists():
        text = "there is no /etc/init.d/appagent: nothing starts the agent with this machine"
        yield note(unit.SERVICE, text, "install it (share/appagent/put-in-place)")
    texts = {}
    for path in ("/etc/rc.conf", "/etc/conf.d/appagent"):
        if Path(path).is_file():
            texts[path] = Path(path).read_text("utf-8", "replace")
    yield from judge_openrc(texts)


def judge_openrc(texts: Mapping[str, str]) -> Iterator[Finding]:
    """Judge what OpenRC does at a stop; later files win."""
    value = where = ""
    for path, text in texts.items():
        for found in re.finditer(r"(?m)^\s*rc_cgroup_cleanup=[\"']?(\w+)", text):
            value, where = found[1].lower(), path
    if value in ("yes", "true", "on", "1"):
        text = f"rc_cgroup_cleanup={value} in {where}: a stop of the agent kills every app"
        yield problem(unit.SERVICE, text, 'rc_cgroup_cleanup="no" in /etc/conf.d/appagent')


def groups(mountinfo: str, *, systemd: bool) -> Iterator[Finding]:
    """The version of the control groups, from the mount table."""
    mount = Mounts(mountinfo).by_point.get("/sys/fs/cgroup")
    if mount is not None and mount.fstype == "cgroup2":
        yield ok(MACHINE, "control groups are version 2")
    elif mount is None:
        text = "no control groups are mounted: what an app left is told by its processes"
        yield note(MACHINE, text, "nothing, in a container; else mount cgroup2 at /sys/fs/cgroup")
    else:
        text = (
            "control groups are version 1 or mixed: a run cannot be ended as a whole by its group"
        )
        do = "boot with systemd.unified_cgroup_hierarchy=1"
        yield warning(MACHINE, text, do) if systemd else note(MACHINE, text)


def journal(log_format: str) -> Iterator[Said]:
    """Whether journald takes what is sent to it."""
    if not Path(_SOCKET).exists():
        text = "there is no journal here: what apps print goes to files in state_dir"
        if log_format == "journal":
            text = "log.format is journal, and there is no journal here"
            yield problem("journal", text, "log: {format: auto}")
        else:
            yield note("journal", text)
        return
    for kind, path in ((socket.SOCK_STREAM, _STREAM), (socket.SOCK_DGRAM, _SOCKET)):
        yield Doing(f"connecting to {path}")
        with socket.socket(socket.AF_UNIX, kind) as client:
            client.settimeout(3)
            try:
                client.connect(path)
            except OSError as error:
                text = f"journald does not answer at {path}: {error}"
                yield warning("journal", text, "systemctl restart systemd-journald")
                return
    yield ok("journal", "journald answers")
    if not Path("/var/log/journal").is_dir():
        text = "the journal is kept in memory alone: after a reboot the logs of apps are gone"
        yield note("journal", text, "mkdir -p /var/log/journal; journalctl --flush")


def interpreter(mountinfo: str, paths: Iterable[str]) -> Iterator[Finding]:
    """Whether the agent itself would hang with a share."""
    mounts = Mounts(mountinfo)
    for path in paths:
        mount = mounts.holding(path)
        if mount.is_share:
            text = f"appagent itself lies on a share ({path}, {mount.fstype}): it hangs with it"
            yield warning(MACHINE, text, "install it on the local disk")
