"""What one node costs: memory and CPU of an idle agent over 100 apps, and the cost of one run.

    python tests/bench/footprint.py [apps] [seconds]

Machines are noisy, so what counts are the ratios: memory against a bare Python, CPU against one
core, a run against the same make without an agent, all in the same minute. The aims: at most 60 MB
and 1 % of a core when idle, a shim of at most 30 ms.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.integration.node import APPS, Node, TreeApp, wait_until

MIB = 1024 * 1024
RUNS = 20
PATIENCE = 600.0  # s, for a busy machine to deploy all apps


def family(pid: int) -> list[psutil.Process]:
    """The daemon and its watchers; not what apps left running."""
    daemon = psutil.Process(pid)
    return [daemon, *daemon.children(recursive=True)]


def pss(processes: list[psutil.Process]) -> float:
    """Proportional memory in MiB: what is shared counts once."""
    return sum(process.memory_full_info().pss for process in processes) / MIB


def cpu(processes: list[psutil.Process]) -> float:
    """CPU seconds so far."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def bare_python() -> float:
    """A Python that does nothing, in MiB."""
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        wait_until(lambda: psutil.Process(process.pid).num_threads() == 1, "it runs")
        time.sleep(0.5)  # let it finish its imports; nothing else can be seen of that
        found = pss([psutil.Process(process.pid)])
        process.communicate(b"\n")
    return found


def all_good(node: Node, count: int) -> bool:
    """Whether all apps run, and nothing is going on any more."""
    time.sleep(1.0)  # asking is not free either
    return [app["state"] for app in node.status()["apps"]] == ["ok"] * count


def idle(node: Node, seconds: float) -> None:
    """Memory and CPU while nothing changes."""
    assert node.process is not None
    processes = family(node.process.pid)
    before, began = [cpu([process]) for process in processes], time.monotonic()
    time.sleep(seconds)
    spent = [cpu([process]) - past for process, past in zip(processes, before, strict=True)]
    daemon, *watchers = [each / (time.monotonic() - began) for each in spent]
    share = daemon + sum(watchers)
    memory, bare = pss(processes), bare_python()
    print(f"processes          {len(processes)}")
    print(f"memory (PSS)       {memory:6.1f} MiB   = {memory / bare:.1f} bare Pythons ({bare:.1f})")
    print(f"CPU idle           {share * 100:6.2f} %     of one core over {seconds:.0f} s: "
          f"daemon {daemon * 100:.2f} %, watcher {sum(watchers) * 100:.2f} %")  # fmt: skip


def runs(node: Node) -> None:
    """The cost of a run: from its begin to its end as recorded, against the same make alone."""
    app = TreeApp(node, "cost")
    app.deploy("1", ".PHONY: install start restart\ninstall start restart:\n\t@true\n")
    node.wait("cost")
    alone = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run(["make", "restart"], cwd=app.path, check=True, capture_output=True)
        alone.append(time.perf_counter() - began)
    for _ in range(RUNS):
        node.command("trigger", "cost", "restart", "--wait", check=True)
    notices = [f for f in node.notices("run.", "cost") if f.get("target") == "restart"]
    spent = [f["duration_ms"] / 1000 for f in notices if f["kind"] == "run.ended"][-RUNS:]
    make, run = statistics.median(alone), statistics.median(spent)
    print(f"make alone         {make * 1000:6.1f} ms")
    print(f"a run with it      {run * 1000:6.1f} ms    = {run / make:.1f} x; "
          f"the shim adds {(run - make) * 1000:.1f} ms")  # fmt: skip


def main() -> int:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
    for watch in ("auto", "poll"):
        with tempfile.TemporaryDirectory(prefix="appagent-bench-") as base:
            node = Node(Path(base), watch=watch)
            try:
                kinds = list(APPS.values())
                for number in range(count):
                    app = kinds[number % len(kinds)](node, f"app{number:03}")
                    app.deploy("1", node.makefile("\t@true", "install start restart"))
                node.start()
                wait_until(lambda node=node: all_good(node, count), "all run", PATIENCE)  # type: ignore[misc]
                print(f"--- {count} apps, watch: {watch}")
                idle(node, seconds)
                if watch == "auto":
                    runs(node)
            finally:
                node.clean_up()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
