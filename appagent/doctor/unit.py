"""What a unit's directives mean for the apps: pure, over what systemctl says.

An app that a target starts inherits nearly everything from the service: its mount namespace, its
limits, its weights, what it may not do. A scope of its own gives it another control group, and
nothing else. So what makes another service safer breaks the apps of this one, mostly much later.
`systemctl cat` tells which file says what, drop-ins included; `systemctl show` what it comes to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from appagent.doctor.finding import Finding, Level, note, ok, problem, warning

SERVICE = "service"
SHOWN = (
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "MainPID",
    "NeedDaemonReload",
    "UnitFileState",
    "Type",
    "NotifyAccess",
    "KillMode",
    "Restart",
    "RestartPreventExitStatus",
    "OOMPolicy",
    "WorkingDirectory",
    "RuntimeDirectoryPreserve",
    "LimitNOFILE",
    "LimitNOFILESoft",
)

# Each of these gives the service a mount namespace; the value is what does not.
_NAMESPACE: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "PrivateTmp",
            "PrivateDevices",
            "PrivateMounts",
            "PrivateIPC",
            "ProtectSystem",
            "ProtectHome",
            "ProtectKernelTunables",
            "ProtectKernelModules",
            "ProtectKernelLogs",
            "ProtectControlGroups",
            "MountAPIVFS",
            "DynamicUser",
        ),
        ("no", "false", "off", "0", "n", "f"),
    ),
    **dict.fromkeys(
        (
            "ReadOnlyPaths",
            "ReadWritePaths",
            "InaccessiblePaths",
            "ReadOnlyDirectories",
            "ReadWriteDirectories",
            "InaccessibleDirectories",
            "ExecPaths",
            "NoExecPaths",
            "BindPaths",
            "BindReadOnlyPaths",
            "TemporaryFileSystem",
            "RootImage",
            "MountImages",
            "ExtensionImages",
            "ExtensionDirectories",
            "LogNamespace",
        ),
        (),
    ),
    "RootDirectory": ("/",),
    "ProtectProc": ("default",),
    "ProcSubset": ("all",),
    "MountFlags": ("shared",),
}
_READ_ONLY = frozenset(
    (
        "ProtectSystem",
        "ProtectHome",
        "ReadOnlyPaths",
        "ReadOnlyDirectories",
        "InaccessiblePaths",
        "InaccessibleDirectories",
        "BindReadOnlyPaths",
        "TemporaryFileSystem",
        "DynamicUser",
    )
)

# Each of these takes something away from every app, for as long as it lives.
_NARROW: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "NoNewPrivileges",
            "MemoryDenyWriteExecute",
            "RestrictSUIDSGID",
            "RestrictRealtime",
            "RestrictNamespaces",
            "LockPersonality",
            "PrivateUsers",
            "PrivateNetwork",
            "ProtectClock",
            "ProtectHostname",
        ),
        ("no", "false", "off", "0", "n", "f"),
    ),
    **dict.fromkeys(
        (
            "CapabilityBoundingSet",
            "SystemCallFilter",
            "SystemCallArchitectures",
            "RestrictAddressFamilies",
            "RestrictFileSystems",
            "RestrictNetworkInterfaces",
            "NetworkNamespacePath",
            "IPAddressDeny",
            "SocketBindDeny",
            "DeviceAllow",
            "SecureBits",
            "AppArmorProfile",
            "SELinuxContext",
            "SmackProcessLabel",
        ),
        (),
    ),
    "DevicePolicy": ("auto",),
}
_WEIGHTS = re.compile(
    r"Limit[A-Z]+|Nice|OOMScoreAdjust|IOScheduling\w+|CPUScheduling\w+|CPUAffinity|NUMA\w+"
    r"|TimerSlackNSec|Personality|CoredumpFilter|UMask"
)
_GROUP = re.compile(r"Memory(Max|High|SwapMax)|CPUQuota|TasksMax|AllowedCPUs|IO\w*Max")
_BINDING = ("RequiresMountsFor", "BindsTo", "Requires", "PartOf", "Requisite")
_GOOD_STATES = ("active", "activating", "reloading")


@dataclass(frozen=True, slots=True)
class Directive:
    """One line of a unit that is in force."""

    section: str
    key: str
    value: str
    file: str


def directives(cat: str) -> list[Directive]:
    """Read `systemctl cat`: what is in force after all drop-ins; an empty value takes back."""
    found: list[Directive] = []
    file = section = ""
    for line in cat.replace("\\\n", " ").splitlines():
        text = line.strip()
        if re.fullmatch(r"# /\S+\.(service|conf|mount|automount)", text):
            file, section = text[2:], ""
        elif text.startswith("[") and text.endswith("]"):
            section = text[1:-1]
        elif text and text[0] not in "#;" and "=" in text:
            key, _, value = text.partition("=")
            key, value = key.strip(), value.strip()
            if value:
                found.append(Directive(section, key, value, file))
            else:
                found = [one for one in found if (one.section, one.key) != (section, key)]
    return found


def last(found: Iterable[Directive], section: str, key: str) -> Directive | None:
    """The line that wins where only one can."""
    ones = [one for one in found if (one.section, one.key) == (section, key)]
    return ones[-1] if ones else None


def properties(show: str) -> dict[str, str]:
    """Read `systemctl show`."""
    pairs = (line.partition("=") for line in show.splitlines() if "=" in line)
    return {key: value for key, _, value in pairs}


def judge(cat: str, show: Mapping[str, str], roots: Sequence[str] = ()) -> list[Finding]:
    """Everything that there is to say of the service's unit."""
    state = show.get("LoadState", "")
    if state in ("not-found", ""):
        text = "there is no appagent.service: nothing starts the agent with this machine"
        return [note(SERVICE, text, "install it (share/appagent/put-in-place), or start it else")]
    if state != "loaded":
        text = f"appagent.service cannot be loaded ({state})"
        return [problem(SERVICE, text, "systemctl status appagent; systemctl unmask appagent")]
    found = directives(cat)
    wrong = [
        *_inherited(found),
        *_bound(found),
        *_effective(show, roots),
        *_watched(found),
        *_running(show),
    ]
    if not any(one.level in (Level.PROBLEM, Level.WARNING) for one in wrong):
        wrong.append(ok(SERVICE, "no directive of appagent.service gets in the way of an app"))
    return wrong


def _inherited(found: list[Directive]) -> Iterator[Finding]:
    """What every app would live with."""
    seen = {one.key: one for one in found if one.section == "Service"}  # the last of each
    for key, one in seen.items():
        said = f"{key}={one.value}"
        out = f"take {key} out of {one.file or 'the unit'}, systemctl daemon-reload, restart"
        if key in _NAMESPACE:
            if one.value.lower() in _NAMESPACE[key]:
                continue
            why = (
                "targets and apps cannot write there"
                if key in _READ_ONLY
                else "an app loses its /tmp when the agent stops"
                if key == "PrivateTmp"
                else "what is mounted later may not be seen"
            )
            text = f"{said} gives the agent, and every app, a mount namespace: {why}"
            yield problem(SERVICE, text, out)
        elif key in _NARROW and one.value.lower() not in _NARROW[key]:
            text = f"{said} is inherited by every app, for as long as it lives"
            yield warning(SERVICE, text, out)
        elif _WEIGHTS.fullmatch(key):
            text = f"{said} is inherited by every app; an app's own stand under `limits`"
            yield warning(SERVICE, text, out)
        elif _GROUP.fullmatch(key) and one.value != "infinity":
            text = f"{said} bounds the agent together with what has no scope of its own"
            do = f"{out}; bound apps by `limits`, or all of them: systemctl set-property "
            yield warning(SERVICE, text, f"{do}appagent.slice {said}")
        elif key == "User" and one.value not in ("root", "0"):
            text = f"User={one.value}: the agent is not root, and runs every app as {one.value}"
            yield note(SERVICE, text, "fine if meant; run_as then has no effect")


def _bound(found: list[Directive]) -> Iterator[Finding]:
    """What ends the agent together with something else."""
    for one in found:
        if one.section != "Unit" or one.key not in _BINDING:
            continue
        mounts = [
            word
            for word in one.value.split()
            if one.key == "RequiresMountsFor" or word.endswith((".mount", ".automount"))
        ]
        if mounts or one.key == "BindsTo":
            text = f"{one.key}={one.value} ends the agent with the mount, and keeps it from a start"
            do = f"take it out of {one.file or 'the unit'}; After=remote-fs.target is enough"
            yield warning(SERVICE, text, do)


_MODES = ("control-group", "mixed")


def _effective(show: Mapping[str, str], roots: Sequence[str]) -> Iterator[Finding]:
    """What the service manager itself will do."""
    yield from _heard(show.get("Type", ""), show.get("NotifyAccess", ""))
    mode = show.get("KillMode", "")
    if mode in _MODES:
        text = f"KillMode={mode}: a stop of the agent kills the runs and apps in its control group"
        yield problem(SERVICE, text, "KillMode=process")
    elif mode not in ("process", ""):
        text = f"KillMode={mode}: a stop of the service does not end the agent"
        yield warning(SERVICE, text, "KillMode=process")
    if show.get("Restart", "always") != "always":
        text = f"Restart={show['Restart']}: an agent that died may not come back"
        yield warning(SERVICE, text, "Restart=always")
    if "78" not in show.get("RestartPreventExitStatus", "78").split():
        text = "a configuration that is wrong makes the agent start again and again"
        yield note(SERVICE, text, "RestartPreventExitStatus=78")
    if show.get("OOMPolicy", "continue") != "continue":
        text = f"OOMPolicy={show['OOMPolicy']}: one process killed for its memory ends the agent"
        yield warning(SERVICE, text, "OOMPolicy=continue")
    if show.get("RuntimeDirectoryPreserve", "yes") == "no":
        text = "the runtime directory goes with the agent, while runs and apps outlive it"
        yield warning(SERVICE, text, "RuntimeDirectoryPreserve=yes")
    where = show.get("WorkingDirectory", "").lstrip("!-")
    if any(where == root or where.startswith(root.rstrip("/") + "/") for root in roots):
        text = f"WorkingDirectory={where} is on a root: the agent hangs with it"
        yield problem(SERVICE, text, "WorkingDirectory=/")


def _watched(found: list[Directive]) -> Iterator[Finding]:
    """Whether an agent that hangs is noticed. Until its first start, `show` has no WatchdogUSec."""
    one = last(found, "Service", "WatchdogSec")
    if one is None or one.value in ("0", "infinity"):
        text = "no WatchdogSec: an agent that hangs is not started again"
        yield note(SERVICE, text, "WatchdogSec=30")


def _heard(kind: str, access: str) -> Iterator[Finding]:
    """Whether the service manager hears of the agent."""
    if kind not in ("notify", "notify-reload", ""):
        text = f"Type={kind}: systemd does not hear when the agent is ready, stops or reloads"
        yield warning(SERVICE, text, "Type=notify")
    elif access == "none":
        text = "NotifyAccess=none: systemd does not hear that the agent is ready, and ends it"
        yield problem(SERVICE, text, "NotifyAccess=main")
    elif access in ("all", "exec"):
        text = f"NotifyAccess={access}: others than the agent may speak for it"
        yield warning(SERVICE, text, "NotifyAccess=main")


def _running(show: Mapping[str, str]) -> Iterator[Finding]:
    """How the service is."""
    state = show.get("ActiveState", "")
    if state == "failed":
        text = f"the service has failed ({show.get('Result', '?')})"
        yield problem(SERVICE, text, "journalctl -u appagent -n 50; systemctl restart appagent")
    elif state and state not in _GOOD_STATES:
        yield warning(SERVICE, f"the service is {state}", "systemctl start appagent")
    if show.get("NeedDaemonReload") == "yes":
        text = "the unit's files were changed, and systemd has not read them yet"
        yield warning(SERVICE, text, "systemctl daemon-reload, then restart appagent")
    if show.get("UnitFileState") == "disabled":
        text = "the service is not started with the machine"
        yield warning(SERVICE, text, "systemctl enable appagent")
