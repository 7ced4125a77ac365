"""The program around each run. Started as `python -I -S …/appagent/shim/main.py APP TARGET RUN`.

The arguments are only for people who read the list of processes; what to do comes over
stdin (spec.py). Nothing is done until the word to proceed follows it, so that the agent can first
record which process this is; if stdin ends before that, the agent has ended and nothing ever runs.

Start-up is a third of what a run costs: no site directory, few modules, all of them compiled.
"""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run one target; give the exit status."""
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    # Only now: without a site directory the package is found by the line above.
    from appagent.host import prctl  # noqa: PLC0415
    from appagent.shim import failpoint, lock, result, spec, supervisor  # noqa: PLC0415

    run = spec.receive(0)
    if run is None:
        return 0
    failpoint.arm(run["failpoints"])
    shim = supervisor.Shim(run)
    prctl.adopt_orphans()
    failpoint.hit("shim.ready")
    if not shim.wait_to_proceed(0):
        nothing = shim.nothing("cancelled", "the agent ended before the run began: nothing ran")
        return result.write(run["result"], nothing)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    failpoint.hit("shim.proceed")
    mine = lock.Lock(run["lock"])
    try:
        free = mine.take()
    except OSError as error:
        free = True
        shim.warnings.append(f"{lock.UNGUARDED}: {run['lock']}: {error.strerror}")
    else:
        if free:
            mine.write(run)
    failpoint.hit("shim.locked")
    made = shim.run() if free else shim.nothing("busy", lock.holder(run["lock"]))
    failpoint.hit("shim.ended")
    status = result.write(run["result"], {**made, "run": run["run"]})
    mine.end(made)
    failpoint.hit("shim.recorded")
    return status


if __name__ == "__main__":
    sys.exit(main())
