"""What apps that are gone have left is removed: with them, or swept when it is old."""

from __future__ import annotations

import os
from pathlib import Path

from appagent.daemon.cleanup import OUTPUT_STAYS, SCANS_STAY, RemovedApps
from appagent.daemon.watchers import own_settings

NOW = 1_700_000_000.0


def put(path: Path, age: float) -> Path:
    """Make a file, and its directory, of some age (s)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    for each in (path, path.parent):
        os.utime(each, (NOW - age, NOW - age))
    return path


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_the_scans_of_an_app_go_with_it_and_its_output_stays_for_a_while(tmp_path: Path) -> None:
    scans, logs = tmp_path / "manifests", tmp_path / "log"
    put(scans / "web" / "a.gz", 0)
    put(scans / "web2" / "a.gz", 0)
    put(logs / "web.log", 0)
    cleanup = RemovedApps(str(scans), str(logs))
    cleanup.drop("web")
    cleanup.drop("nobody")
    assert names_in(scans) == {"web2"}
    assert names_in(logs) == {"web.log"}


def test_what_is_of_no_app_and_old_is_swept(tmp_path: Path) -> None:
    scans, logs = tmp_path / "manifests", tmp_path / "log"
    for name, age in (("web", SCANS_STAY), ("was", SCANS_STAY), ("late", 0)):
        put(scans / name / "a.gz", age + 1)
    for name in ("web.log", "web.log.1", "was.log", "was.log.1", "was.log.1.new", "README"):
        put(logs / name, OUTPUT_STAYS + 1)
    put(logs / "just.log", OUTPUT_STAYS - 60)
    RemovedApps(str(scans), str(logs)).sweep({"web"}, NOW)
    assert names_in(scans) == {"web", "late"}
    assert names_in(logs) == {"web.log", "web.log.1", "README", "just.log"}
    RemovedApps("/nowhere", "/nowhere").sweep({"web"}, NOW)


def test_own_settings_are_parsed_once_and_only_so_many_are_kept() -> None:
    file = "/files/web/appagent.yaml"
    first = own_settings("settle: 3s\n", file)
    assert first == ({"settle": 3.0}, "")
    assert own_settings("settle: 3s\n", file) is first
    assert f"{file}:1: run_as" in own_settings("run_as: root\n", file)[1]
    assert own_settings.cache_info().maxsize is not None
