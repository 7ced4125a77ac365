"""A root with apps for doctor to check, and its report."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appagent.doctor import examine

AS_ROOT = os.geteuid() == 0
NOBODY = 65534
MAKEFILE = ".PHONY: install start restart stop\ninstall start restart stop:\n\t@echo $@\n"
ANSWERS_WITHIN = 120.0  # s; it promises 20, and this machine may be very busy


@dataclass(frozen=True)
class Report:
    """What doctor printed, and its exit code."""

    code: int
    text: str

    @property
    def findings(self) -> list[dict[str, str]]:
        """The findings of `--json`."""
        found: list[dict[str, str]] = json.loads(self.text)
        return found

    def of(self, about: str, *levels: str) -> list[dict[str, str]]:
        """The findings about something, of these levels."""
        return [
            one
            for one in self.findings
            if one["about"] == about and (not levels or one["level"] in levels)
        ]


class Home:
    """A root with apps, and a configuration for it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "root"
        self.config = base / "appagent.yaml"
        self.root.mkdir()
        self.settings: dict[str, object] = {
            "path": str(self.root),
            "run_as": "root" if AS_ROOT else "self",
        }
        self.more_roots: list[dict[str, object]] = []

    def app(self, name: str = "web", makefile: str = MAKEFILE) -> Path:
        """Make an app of the tree layout."""
        path = self.root / name
        path.mkdir()
        (path / "Makefile").write_text(makefile)
        return path

    def write(self) -> None:
        """Write the configuration; JSON is YAML."""
        whole = {
            "roots": [self.settings, *self.more_roots],
            "state_dir": str(self.base / "state"),
            "runtime_dir": str(self.base / "run"),
        }
        self.config.write_text(json.dumps(whole, indent=1))

    def run(self, *words: str, before: Callable[[], None] | None = None) -> Report:
        """Run doctor as people do. It prints nothing on stderr, and always ends."""
        self.write_once()
        done = subprocess.run(
            [sys.executable, "-m", "appagent", "doctor", "--config", str(self.config), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=ANSWERS_WITHIN,
            preexec_fn=before,
        )
        assert done.stderr == ""
        return Report(done.returncode, done.stdout)

    def report(self, *, json_wanted: bool = True) -> Report:
        """Call doctor in this process."""
        self.write_once()
        with contextlib.redirect_stdout(io.StringIO()) as output:
            code = examine(str(self.config), json_wanted=json_wanted)
        return Report(code, output.getvalue())

    def write_once(self) -> None:
        """Write the configuration, where the test has not."""
        if not self.config.exists():
            self.write()

    def refuses(self, about: str, *words: str) -> None:
        """Assert that doctor finds one problem with this, in these words, with what to do."""
        report = self.report()
        assert report.code == 1
        found = report.of(about, "problem")
        assert len(found) == 1, report.text
        for word in words:
            assert word in found[0]["text"] + found[0]["do"]
        assert found[0]["do"]
