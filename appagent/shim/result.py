"""The result of a run: a file that its shim leaves as its last act, and any later agent can read.

JSON, so that another version of the agent understands it; written by hand, because importing json
would cost each run 10 ms. It is not synced: it only has to outlive the agent. When the machine
goes down, the run is LOST, which is the truth as far as anybody can know.
"""

from __future__ import annotations

from appagent.host import files

_ESCAPES = {number: f"\\u{number:04x}" for number in range(32)} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
    0x7F: "\\u007f",
}

# Should the file be impossible to write (a full disk), the exit status still tells the agent that
# started the shim how it went: this, plus the place in the list.
EXIT_BASE = 64
OUTCOMES = ("ok", "failed", "timeout", "missing", "refused", "moved", "cancelled", "lost", "busy")


def to_json(value: object) -> str:
    """Write a plain value as JSON."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    if isinstance(value, dict):
        return "{" + ",".join(f"{to_json(str(k))}:{to_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(to_json(one) for one in value) + "]"
    raise TypeError(f"{type(value).__name__} has no place in a result")


def leave(path: str, result: dict[str, object]) -> int:
    """Write the file, whole or not at all; give the status to exit with."""
    try:
        files.replace(path, to_json(result).encode("utf-8", "replace"))
    except OSError:
        return EXIT_BASE + OUTCOMES.index(str(result["outcome"]))
    return 0
