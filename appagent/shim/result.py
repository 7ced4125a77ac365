"""The result of a run: a file that its shim writes at its end, for any later agent to read.

JSON, so that another version of the agent understands it; encoded here, because importing json
would cost each run 10 ms. It is not synced: it only has to outlive the agent. When the machine
goes down, the run is LOST: nobody can know more.

The same is in the app's lock (lock.py), because each of the two directories can be missing when the
next agent needs it: the state directory is full or was removed, the runtime directory went with
the agent. And the lock has only the newest run, while the history may need those before it.
"""

from __future__ import annotations

from appagent.host import files

_ESCAPES = {number: f"\\u{number:04x}" for number in range(32)} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
    0x7F: "\\u007f",
}

# Where neither can be written (no lock and a full disk), the exit status still gives the outcome
# to the agent that started the shim: this, plus its index in the list.
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
    raise TypeError(f"{type(value).__name__} cannot be part of a result")


def write(path: str, result: dict[str, object]) -> int:
    """Write the file, whole or not at all; the status to exit with."""
    try:
        files.replace(path, to_json(result).encode("utf-8", "replace"))
    except OSError:
        return EXIT_BASE + OUTCOMES.index(str(result["outcome"]))
    return 0
