"""What `explain` tells of a tree: what changed in it since it was installed."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from appagent.core.state import App, Seen
from appagent.daemon.watchers import Watchers
from appagent.model.applied import Applied, Record
from appagent.model.seen import AppSeen
from appagent.model.settings import Settings
from appagent.model.words import Layout
from appagent.share import manifest
from appagent.share.signature import Scan


def explained(state: Path, files: int) -> tuple[int, int]:
    """What changed in a tree in which each file did: lines told, peak of memory (bytes)."""
    names = [f"{number:06d}{'n' * 100}" for number in range(files)]
    for size in (1, 2):
        block = "\n".join(f"{name}\tf\t644\t1\t{size}\t1\t1\t" for name in names)
        scan = Scan(f"tree.1:{size}", {"": block.encode()})
        manifest.write(str(state / "manifests"), "web", scan)
    look = AppSeen("/files", "web", known=True, layout=Layout.TREE, release="tree.1:2")
    app = App(Record("web", "/files", Applied("tree.1:1")), Seen(look))
    daemon: Any = SimpleNamespace(node=SimpleNamespace(settings=Settings(state_dir=str(state))))
    tracemalloc.start()
    try:
        told = Watchers(daemon).changes(app)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert told[-1] == f"and {files - len(told) + 1} more"
    return len(told), peak


def test_what_changed_in_a_tree_is_told_in_memory_that_does_not_grow_with_it(
    tmp_path: Path,
) -> None:
    lines, peak = explained(tmp_path / "small", 500)
    more_lines, more_peak = explained(tmp_path / "large", 10_000)
    assert more_lines == lines
    assert more_peak < 2 * peak
