"""The names of systemd units: the agent's service, an app's slice, the scope of a run."""

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
        chr(byte) if chr(byte) in _PLAIN and (place or byte != _DOT) else f"\\x{byte:02x}"
        for place, byte in enumerate(data)
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
