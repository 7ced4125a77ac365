"""The results of runs: read when a shim has ended, removed once the history has them."""

from __future__ import annotations

import contextlib
import json
import os

from appagent.model.applied import Run
from appagent.model.events import Ended, StepFound
from appagent.model.words import Outcome, Target
from appagent.run import lockfile
from appagent.run.launch import Paths
from appagent.shim import output, targets
from appagent.shim.lock import holder
from appagent.shim.result import EXIT_BASE, OUTCOMES

NO_RESULT = "interrupted: the run left no result"
_LONGEST_LINE = 300


def read(paths: Paths, run: Run) -> dict[str, object] | None:
    """Read the result of a run; None if there is none that makes sense (it was killed).

    Where the disk is full, or the state was removed, it is in the app's lock.
    """
    return load(paths.result(run.id)) or _sensible(lockfile.result(paths.lock(run.app), run.id))


def load(path: str) -> dict[str, object] | None:
    """Read the file of a result; None if there is none that makes sense."""
    try:
        with open(path, "rb") as file:
            return _sensible(json.loads(file.read()))
    except (OSError, ValueError, RecursionError):
        return None


def _sensible(found: object) -> dict[str, object] | None:
    return found if isinstance(found, dict) and found.get("outcome") in OUTCOMES else None


def ended(run: Run, found: dict[str, object], *, adopted: bool) -> Ended:
    """Build an end from a result. Another version may have written it: check every value."""
    code, seconds, warnings = found.get("exit_code"), found.get("seconds"), found.get("warnings")
    step = _targets(found.get("step"))
    return Ended(
        app=run.app,
        run_id=run.id,
        outcome=Outcome(str(found["outcome"])),
        exit_code=code if isinstance(code, int) else None,
        seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
        line=str(found.get("line") or ""),
        tail=str(found.get("tail") or ""),
        warnings=tuple(map(str, warnings)) if isinstance(warnings, list) else (),
        adopted=adopted,
        lacks=lacks(found.get("targets")),
        leaves=bool(found.get("processes")),
        step=step[0] if step else None,
        stopped=found.get("stopped") is True,
        calls=_targets(found.get("calls")),
    )


def _targets(names: object) -> tuple[Target, ...]:
    words = names.split() if isinstance(names, str) else []
    return tuple(Target(word) for word in words if word in targets.TARGETS)


def lacks(known_targets: object) -> tuple[Target, ...]:
    """The steps for which a Makefile has nothing, from the targets that make knows."""
    if not isinstance(known_targets, str):
        return ()
    known = {pair.partition("=")[0] for pair in known_targets.split()}
    return tuple(target for target in Target if not targets.calls(target, known))


def step_found(run: Run, line: str) -> StepFound | None:
    """Parse what a shim reports once it has asked make: "step STEP CALL …"."""
    word, _, rest = line.partition(" ")
    found = _targets(rest)
    if word != "step" or not found:
        return None
    return StepFound(run.app, run.id, found[0], found[1:])


def without_result(paths: Paths, run: Run, *, adopted: bool, status: int | None) -> Ended:
    """Build the end of a run without a result: from the shim's exit status, or LOST."""
    if status is not None and 0 <= status - EXIT_BASE < len(OUTCOMES):
        outcome = Outcome(OUTCOMES[status - EXIT_BASE])
        line = "its result could not be written (is the disk full?)"
        if outcome is Outcome.BUSY:
            line = holder(paths.lock(run.app))
    else:
        outcome = Outcome.LOST
        line = _error(paths, run.id) or NO_RESULT
    return Ended(run.app, run.id, outcome, line=line, adopted=adopted)


def _error(paths: Paths, run_id: str) -> str:
    """The last line on the stderr of the shim, or of systemd-run."""
    try:
        with open(paths.errors(run_id), "rb") as file:
            lines = output.clean(file.read(65536)).strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:_LONGEST_LINE] if lines else ""


def clear(paths: Paths, run_id: str) -> None:
    """Remove the files of a run."""
    result = paths.result(run_id)
    stop_dir = paths.stop_dir(run_id)
    for path in (result, f"{result}.new", paths.errors(run_id), f"{stop_dir}/Makefile"):
        with contextlib.suppress(OSError):
            os.unlink(path)
    with contextlib.suppress(OSError):
        os.rmdir(stop_dir)


def runs(paths: Paths) -> set[str]:
    """The ids of all runs with files on the disk."""
    found: set[str] = set()
    for directory in (paths.runs, paths.stops):
        with contextlib.suppress(OSError):
            found |= {name.partition(".")[0] for name in os.listdir(directory)}
    return found
