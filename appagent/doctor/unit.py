"""What the service's unit means for the apps: pure, over the output of systemctl.

An app that a target starts inherits nearly everything from the service: its mount namespace, its
limits, what it may not do. A scope of its own gives it another control group, and nothing else. So
what hardens another service breaks the apps of this one, mostly much later.

`systemctl show` has the values in force, but not the file that a value comes from, nor whether the
unit sets a limit or systemd's default stands, nor a watchdog before the first start; `cat` has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from appagent.doctor.finding import Finding, Level, note, ok, problem, warning
from appagent.doctor.machine import SERVICE

# Each of these gives the service a mount namespace; those of the first line one to read only.
_READ_ONLY = frozenset(
    """ProtectSystem ProtectHome ReadOnlyPaths ReadOnlyDirectories InaccessiblePaths DynamicUser
    InaccessibleDirectories BindReadOnlyPaths TemporaryFileSystem""".split()
)
_NAMESPACE = _READ_ONLY | set(
    """PrivateTmp PrivateDevices PrivateMounts PrivateIPC ProtectKernelTunables ProtectKernelModules
    ProtectKernelLogs ProtectControlGroups MountAPIVFS ReadWritePaths ReadWriteDirectories ExecPaths
    NoExecPaths BindPaths RootImage RootDirectory MountImages ExtensionImages ExtensionDirectories
    LogNamespace ProtectProc ProcSubset MountFlags""".split()
)
# Each of these takes something away from every app, for as long as it lives.
_RESTRICTION = frozenset(
    """NoNewPrivileges MemoryDenyWriteExecute RestrictSUIDSGID RestrictRealtime RestrictNamespaces
    LockPersonality PrivateUsers PrivateNetwork ProtectClock ProtectHostname CapabilityBoundingSet
    SystemCallFilter SystemCallArchitectures RestrictAddressFamilies RestrictFileSystems
    RestrictNetworkInterfaces NetworkNamespacePath IPAddressDeny SocketBindDeny DeviceAllow
    DevicePolicy SecureBits AppArmorProfile SELinuxContext SmackProcessLabel""".split()
)
_LIMIT = re.compile(
    r"Limit[A-Z]+|Nice|OOMScoreAdjust|IOScheduling\w+|CPUScheduling\w+|CPUAffinity|NUMA\w+"
    r"|TimerSlackNSec|Personality|CoredumpFilter|UMask"
)
_GROUP_LIMIT = re.compile(r"Memory(Max|High|SwapMax)|CPUQuota|TasksMax|AllowedCPUs|IO\w*Max")
_OFF = frozenset("no false off 0 n f default all shared auto infinity".split())
_BINDING = ("RequiresMountsFor", "BindsTo", "Requires", "PartOf", "Requisite")

# property of `systemctl show`: the values that are right, and what any other one means
_EXPECTED: Mapping[str, tuple[str, str]] = {
    "Type": ("notify notify-reload", "systemd does not learn when the agent is ready or stops"),
    "Restart": ("always", "an agent that died may not be restarted"),
    "OOMPolicy": ("continue", "one process killed for its memory ends the agent"),
    "RuntimeDirectoryPreserve": ("yes restart", "what running apps need is removed with the agent"),
}
SHOWN = (
    *("LoadState", "ActiveState", "Result", "MainPID", "NeedDaemonReload", "UnitFileState"),
    *("NotifyAccess", "RestartPreventExitStatus", "WorkingDirectory", "LimitNOFILESoft"),
    *("KillMode", *_EXPECTED),
)


class Directive(NamedTuple):
    """One line of a unit that is in force, and its file."""

    section: str
    key: str
    value: str
    file: str


def directives(cat: str) -> list[Directive]:
    """Parse `systemctl cat`: what is in force after all drop-ins; an empty value resets a key.

    As systemd does, a comment is skipped also between the lines that backslashes join.
    """
    found: list[Directive] = []
    file = section = joined = ""
    for line in cat.splitlines():
        if line.lstrip()[:1] in ("#", ";"):
            if re.fullmatch(r"# /.+\.(service|conf|mount|automount)", line):
                file = line[2:]
        elif line.endswith("\\"):
            joined += f"{line[:-1]} "
        else:
            text, joined = (joined + line).strip(), ""
            key, equals, value = (part.strip() for part in text.partition("="))
            if text.startswith("[") and text.endswith("]"):
                section = text[1:-1]
            elif value:
                found.append(Directive(section, key, value, file))
            elif equals:
                found = [one for one in found if (one.section, one.key) != (section, key)]
    return found


def section(found: Sequence[Directive], name: str) -> dict[str, Directive]:
    """The last directive of each key of a section: the one that counts."""
    return {one.key: one for one in found if one.section == name}


def properties(show: str) -> dict[str, str]:
    """Parse `systemctl show`."""
    pairs = (line.partition("=") for line in show.splitlines() if "=" in line)
    return {key: value for key, _, value in pairs}


def judge(cat: str, show: Mapping[str, str], roots: Sequence[str] = ()) -> list[Finding]:
    """Judge the unit. `roots`: the resolved paths of the roots."""
    state = show.get("LoadState", "")
    if state in ("not-found", ""):
        text = "appagent.service is not installed: the agent does not start at boot"
        return [note(SERVICE, text, "install it: share/appagent/put-in-place")]
    if state != "loaded":
        text = f"appagent.service cannot be loaded ({state})"
        return [problem(SERVICE, text, "systemctl status appagent; systemctl unmask appagent")]
    found = directives(cat)
    service = section(found, "Service")
    bad = [
        *(finding for one in service.values() for finding in _inherited(one)),
        *_bound(found),
        *_in_force(show, roots),
        *_running(show),
    ]
    watchdog = service.get("WatchdogSec")
    if watchdog is None or watchdog.value in _OFF:
        text = "no WatchdogSec: an agent that hangs is not restarted"
        bad.append(note(SERVICE, text, "set WatchdogSec=30"))
    if not any(one.level in (Level.PROBLEM, Level.WARNING) for one in bad):
        bad.append(ok(SERVICE, "no directive of appagent.service harms an app"))
    return bad


def _inherited(one: Directive) -> Iterator[Finding]:
    """What every app inherits."""
    key, line = one.key, f"{one.key}={one.value}"
    remove = f"remove {key} from {one.file or 'the unit'}; systemctl daemon-reload; restart it"
    if key == "User" and one.value not in ("root", "0"):
        text = f"{line}: the agent is not root and runs every app as {one.value}"
        yield note(SERVICE, text, "nothing if that is meant; run_as has no effect then")
    elif one.value.lower() in _OFF and not _LIMIT.fullmatch(key):
        return
    elif key in _NAMESPACE and line != "RootDirectory=/":
        why = "what is mounted later may be missing there"
        if key in _READ_ONLY:
            why = "targets and apps cannot write there"
        elif key == "PrivateTmp":
            why = "an app loses its /tmp when the agent stops"
        text = f"{line} gives the agent, and every app, a mount namespace: {why}"
        yield problem(SERVICE, text, remove)
    elif key in _RESTRICTION or _LIMIT.fullmatch(key):
        more = "" if key in _RESTRICTION else "; set limits of an app under `limits`"
        yield warning(SERVICE, f"{line} is inherited by every app", remove + more)
    elif _GROUP_LIMIT.fullmatch(key):
        text = f"{line} limits the agent together with every process that has no scope of its own"
        do = f"{remove}; for all apps together: systemctl set-property appagent.slice {line}"
        yield warning(SERVICE, text, do)


def _bound(found: Sequence[Directive]) -> Iterator[Finding]:
    """What stops the agent together with something else."""
    for one in found:
        if one.section != "Unit" or one.key not in _BINDING:
            continue
        mounts = re.search(r"\.(auto)?mount(\s|$)", one.value) or one.key == "RequiresMountsFor"
        if mounts or one.key == "BindsTo":
            text = f"{one.key}={one.value} stops the agent with the mount and prevents its start"
            do = f"remove it from {one.file or 'the unit'}; After=remote-fs.target is enough"
            yield warning(SERVICE, text, do)


def _in_force(show: Mapping[str, str], roots: Sequence[str]) -> Iterator[Finding]:
    """What systemd will do with the service."""
    for key, (right, why) in _EXPECTED.items():
        value = show.get(key, "")
        if value and value not in right.split():
            yield warning(SERVICE, f"{key}={value}: {why}", f"set {key}={right.split()[0]}")
    mode = show.get("KillMode", "")
    if mode in ("control-group", "mixed"):
        text = f"KillMode={mode}: stopping the agent kills runs and apps in its control group"
        yield problem(SERVICE, text, "set KillMode=process")
    elif mode not in ("process", ""):
        text = f"KillMode={mode}: stopping the service does not stop the agent"
        yield warning(SERVICE, text, "set KillMode=process")
    access = show.get("NotifyAccess", "")
    if access == "none" and show.get("Type", "").startswith("notify"):
        text = "NotifyAccess=none: systemd never learns that the agent is ready, and kills it"
        yield problem(SERVICE, text, "set NotifyAccess=main")
    elif access in ("all", "exec"):
        text = f"NotifyAccess={access}: other processes may send notifications for the agent"
        yield warning(SERVICE, text, "set NotifyAccess=main")
    if "78" not in show.get("RestartPreventExitStatus", "78").split():
        text = "an invalid configuration makes systemd restart the agent again and again"
        yield note(SERVICE, text, "set RestartPreventExitStatus=78")
    cwd = show.get("WorkingDirectory", "").lstrip("!-")
    if any(cwd == root or cwd.startswith(root.rstrip("/") + "/") for root in roots):
        text = f"WorkingDirectory={cwd} is in a root: the agent hangs with its share"
        yield problem(SERVICE, text, "set WorkingDirectory=/")


def _running(show: Mapping[str, str]) -> Iterator[Finding]:
    """The state of the service."""
    state = show.get("ActiveState", "")
    if state == "failed":
        text = f"the service has failed ({show.get('Result', '?')})"
        yield problem(SERVICE, text, "journalctl -u appagent -n 50; systemctl restart appagent")
    elif state not in ("active", "activating", "reloading", ""):
        yield warning(SERVICE, f"the service is {state}", "systemctl start appagent")
    if show.get("NeedDaemonReload") == "yes":
        text = "the unit's files have changed since systemd loaded them"
        yield warning(SERVICE, text, "systemctl daemon-reload; systemctl restart appagent")
    if show.get("UnitFileState") == "disabled":
        text = "the service is disabled: the agent does not start at boot"
        yield warning(SERVICE, text, "systemctl enable appagent")
