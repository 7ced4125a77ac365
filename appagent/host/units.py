"""The names of systemd units: the agent's service, an app's slice, the scope of a run."""

from __future__ import annotations

PREFIX = "appagent"
SERVICE = "appagent.service"

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:")


def escape(name: str) -> str:
    """Write a name so that it is one part of a unit's name, as systemd-escape does."""
    data = name.encode("utf-8", "surrogateescape")
    parts = []
    for place, byte in enumerate(data):
        letter = chr(byte)
        plain = letter in _PLAIN and not (letter == "." and place == 0)
        parts.append(letter if plain else f"\\x{byte:02x}")
    return "".join(parts)


def slice_of(app: str) -> str:
    """The slice that holds everything of an app."""
    return f"{PREFIX}-{escape(app)}.slice"


def scope_of(app: str, run_id: str) -> str:
    """The scope of one run. Its name is never used twice: what a run leaves keeps it."""
    return f"{PREFIX}-{escape(app)}-{escape(run_id)}.scope"
