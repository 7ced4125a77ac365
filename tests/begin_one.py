"""A daemon of one run, as a process of its own that a test can kill or stop at any moment.

Started with a state directory, a run (as JSON) and a runtime directory; each of its lines reports
how far it is. It lets the shim proceed once it gets a line.
"""

from __future__ import annotations

import asyncio
import json
import sys

from appagent.host import boot, clock
from appagent.model.applied import Run
from appagent.model.events import Ended
from appagent.model.words import Layout, Target, Version
from appagent.run.launch import Paths
from appagent.run.spawn import Spawner
from tests.running import Given


async def main() -> None:
    asked = json.loads(sys.argv[2])
    run_as = asked.pop("run_as")
    asked["target"] = Target(asked["target"])
    asked["layout"] = Layout(asked["layout"])
    asked["version"] = Version(*asked["version"])
    run = Run(**asked, began=clock.now())
    over = asyncio.Event()

    def ended(event: Ended) -> None:
        sys.stdout.write(f"ended {event.outcome}\n")
        sys.stdout.flush()
        over.set()

    paths = Paths(sys.argv[1], sys.argv[3])
    spawner = Spawner(paths, ended, boot=boot.boot(), journal=False)
    identity = await spawner.begin(run, Given(run_as).spec(run, paths), {})
    sys.stdout.write(f"began {identity.pid} {identity.started}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    spawner.proceed(run.id)
    sys.stdout.write("gone\n")
    sys.stdout.flush()
    await over.wait()
    spawner.release()


if __name__ == "__main__":
    asyncio.run(main())
