"""One run of an app at a time, whatever the agents remember: the shim's lock on its app.

Theory of operation. The agent records a run before it lets its shim proceed. But its disk may be
full, or its state may be removed while the run lives; the next agent then knows nothing of it. So
the shim itself, before anything of the app runs, takes a lock on a file for the app in the runtime
directory, and keeps it until it ends. A shim that finds it taken runs nothing: BUSY.

The kernel frees the lock with the process, so none is ever left behind; and neither the child nor
make has it, so that nothing that a run leaves running keeps it.

The file identifies its holder, in lines of JSON (run/lockfile.py reads them):

    the shim: its pid, start time, scope, boot, run and targets; what there was of the app before:
      whether it could have processes, and without scopes which
    the run as the agent had it: an agent without a record of it adopts it from here
    the result, once there is one: the state directory may be full or missing

It stays as it is until the next run of the app. Only its owner can read it: who can read a file
can also lock it, and an app must not be able to hold up its own deploys.
"""

from __future__ import annotations

import os

from appagent.host import files, proc
from appagent.shim.result import to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from appagent.shim.spec import Spec

UNGUARDED = "two runs at once are ruled out by the agent's records alone"
MAX_BYTES = 256 * 1024


class Lock:
    """The lock of one app, as the shim of a run has it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = -1

    def take(self) -> bool:
        """Take the lock; False if a living run has it. Raises OSError if there cannot be one."""
        try:
            self.fd = files.lock(self.path)
        except BlockingIOError:
            return False
        # A child that hangs on the share can outlive the shim; it must not keep the lock.
        os.register_at_fork(after_in_child=self._close)
        return True

    def write(self, spec: Spec) -> None:
        """Write down who holds it. Without room for that it is a lock all the same."""
        head = to_json({
            "pid": os.getpid(),
            "started": proc.started(os.getpid()),
            "unit": spec["unit"],
            "boot": spec["boot"],
            "run_id": spec["run_id"],
            "target": " or ".join([spec["target"], *(step for step, _ in spec["then"])]),
            "may_run": spec["may_run"],
            "processes": spec["processes"],
        })  # fmt: skip
        try:
            os.ftruncate(self.fd, 0)
            self._add(f"{head}\n{spec['run']}\n")
        except OSError:
            return

    def end(self, result: dict[str, object]) -> None:
        """Add the result of the run: the last thing that a shim does."""
        if self.fd >= 0:
            try:
                self._add(f"{to_json(result)}\n")
            except OSError:
                return

    def _add(self, text: str) -> None:
        files.write_all(self.fd, text.encode("utf-8", "replace"))

    def _close(self) -> None:
        """In a child: only its parent holds the lock."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def holder(path: str) -> str:
    """Describe the run that holds the lock, for a person."""
    import json  # noqa: PLC0415 - only when it is taken, which is next to never

    try:
        with open(path, "rb") as file:
            head = json.loads(file.read(MAX_BYTES).split(b"\n", 1)[0])
        who = f"make {head['target']} (pid {int(head['pid'])}, run {head['run_id']})"
    except (OSError, ValueError, KeyError, TypeError):
        who = f"see what holds {path}"
    return f"nothing ran: another run of the app is still alive: {who}"
