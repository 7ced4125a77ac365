"""How systemd knows the agent, an app and a run, and how its journal knows their lines."""

from __future__ import annotations

PREFIX = "appagent"
SERVICE = "appagent.service"
SYSTEMD = "/run/systemd/system"  # is there if systemd runs the machine
SOFTLEVEL = "/run/openrc/softlevel"  # likewise OpenRC

_DOT = ord(".")
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:")


def escape(name: str) -> str:
    """Write a name as one part of a unit's name, as systemd-escape does."""
    data = name.encode("utf-8", "surrogateescape")
    return "".join(
        chr(byte) if chr(byte) in _PLAIN and (index or byte != _DOT) else f"\\x{byte:02x}"
        for index, byte in enumerate(data)
    )


def mount_unit(point: str) -> str:
    """The name of the unit of a mount point, as systemd-escape --path makes it."""
    path = "/".join(part for part in point.split("/") if part)
    return (escape(path).replace(r"\x2f", "-") or "-") + ".mount"


def slice_of(app: str) -> str:
    """The slice that holds everything of an app."""
    return f"{PREFIX}-{escape(app)}.slice"


def scope_of(app: str, run_id: str) -> str:
    """The scope of one run. Its name is never used twice: what a run leaves keeps it."""
    return f"{PREFIX}-{escape(app)}-{escape(run_id)}.scope"


def identifier(app: str) -> str:
    """The identifier of an app's lines in the journal."""
    return f"{PREFIX}-{app}"


def output_matches(app: str, uid: int) -> list[str]:
    """The matches of journalctl for what an app prints, where the agent is this user.

    Anybody may write lines under any name. So they count by what journald itself knows of their
    writers: the app's slice, or the service (for runs without scopes). Where the agent is not root
    there are neither, and all of an app is the agent's user.
    """
    named, unit = f"SYSLOG_IDENTIFIER={identifier(app)}", "_SYSTEMD_UNIT"
    if uid:
        return [named, f"_UID={uid}"]
    apps = slice_of(app)
    inside = [named, f"_SYSTEMD_SLICE={apps}"]
    return [*inside, "+", named, f"{unit}={apps}", f"{unit}={SERVICE}"]


def log_matches(app: str, uid: int) -> list[str]:
    """The matches for what an app prints and for what the agent logs about it."""
    return [f"APP={app}", f"_UID={uid}", "+", *output_matches(app, uid)]
