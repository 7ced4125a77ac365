"""The Makefile of the tests' apps, and the file in which each of its targets notes what it does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MAKEFILE = """\
.PHONY: build install start restart stop check
{targets}:
\t@echo "begin $@ $$APP_NAME $$APP_RELEASE $$$$ {version} $$GREETING" >> {calls}
{body}
\t@echo "end $@ $$APP_NAME $$APP_RELEASE $$$$ {version}" >> {calls}
"""
VERSION = "$$(cat version 2>/dev/null || echo -)"  # what lies on the disk in that moment


@dataclass(frozen=True, slots=True)
class Call:
    """One line of `calls`."""

    what: str  # begin | end
    target: str
    app: str
    release: str
    pid: int
    version: str = "-"  # what the file `version` held, where there was one
    greeting: str = ""


class Calls:
    """What the targets noted: their begins and ends, in order."""

    def __init__(self, file: Path) -> None:
        self.calls_file = file
        file.touch()

    def calls(self, app: str = "", what: str = "begin") -> list[Call]:
        """Every begin (or end) of a target, in order."""
        found = []
        for line in self.calls_file.read_text().splitlines():
            fields = line.split()
            part, target, name, release, pid, version, *greeting = fields
            call = Call(part, target, name, release, int(pid), version, " ".join(greeting))
            if call.app == app or not app:
                found.append(call)
        return [call for call in found if what in ("", call.what)]

    def targets(self, app: str = "") -> list[str]:
        return [call.target for call in self.calls(app)]

    def forget_calls(self) -> None:
        self.calls_file.write_text("")

    def makefile(
        self,
        body: str = "\t@true",
        targets: str = "install start restart stop check",
    ) -> str:
        """A Makefile whose targets note their begin and end, with `body` between."""
        return MAKEFILE.format(targets=targets, body=body, calls=self.calls_file, version=VERSION)
