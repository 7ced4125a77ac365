"""The first app of the README, as it stands there: its files, its commands, and what they print.

    python -m tests.integration.test_readme    writes what the commands print now into the README

Ages, sizes and durations differ from run to run: each number with a unit counts as any other, and
so does how a change was noticed first.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.integration.node import Node

REPOSITORY = Path(__file__).resolve().parents[2]
README = REPOSITORY / "README.md"
ROOT, PORT = "/files/production", "8000"
WAITING = re.compile(r"^appagent: waiting .*\n", re.MULTILINE)  # unless it is quicker
COMMAND = """\
appagent() {{ "{python}" -m appagent "$@"; }}
curl() {{ command curl -fsS "$@"; }}
"""


def section() -> str:
    """What the README says of the first app."""
    return README.read_text().partition("## Your first app\n")[2].partition("\n## ")[0]


def steps(block: str) -> list[tuple[str, str]]:
    """The commands of a block, each with what it prints."""
    return [
        (line.rstrip("\n"), printed)
        for line, printed in re.findall(r"^\$ (.*\n)((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    ]


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Reader:
    """Somebody who does what the README says, at another place of the disk."""

    def __init__(self, base: Path) -> None:
        self.node = Node(base)
        self.node.settings["log"] = {"level": "info"}
        self.node.defaults = {}
        self.node.write_config()
        self.port = str(free_port())

    def mine(self, text: str) -> str:
        """Use this root and this port in place of those of the README."""
        return text.replace(ROOT, str(self.node.root)).replace(PORT, self.port)

    def shown(self, text: str) -> str:
        """The same backwards."""
        return text.replace(str(self.node.root), ROOT).replace(self.port, PORT)

    def write_files(self) -> None:
        """Write the file of each block whose first line names it."""
        for name, text in re.findall(r"```make\n# (\S+)\n(.*?)```", section(), re.DOTALL):
            path = Path(self.mine(name))
            path.parent.mkdir(parents=True)
            path.write_text(self.mine(text))

    def close(self) -> None:
        """Leave nothing that runs."""
        self.node.command("trigger", "hello", "stop", "--wait")
        self.node.clean_up()
        Path("~/hello.pid").expanduser().unlink(missing_ok=True)

    def run(self) -> Iterator[tuple[str, str, str]]:
        """Run every command; give it, what the README says it prints, and what it has printed."""
        before = COMMAND.format(python=sys.executable)
        env = {**os.environ, "APPAGENT_CONFIG": str(self.node.config), "COLUMNS": "80"}
        where = "cd /"
        for block in re.findall(r"```console\n(.*?)```", section(), re.DOTALL):
            for command, expected in steps(block):
                if command.startswith("cd "):
                    where = self.mine(command)
                done = subprocess.run(
                    ["bash", "-ec", f"{before}{where}\n{self.mine(command)}"],
                    env={**env, "PYTHONPATH": str(REPOSITORY)},
                    check=False,
                    text=True,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                )
                assert done.returncode == 0, (command, done.stdout, self.node.told())
                yield command, expected, self.shown(done.stdout)


def measured(text: str) -> str:
    """A screen with each measured number in one form, and blanks as one blank."""
    text = WAITING.sub("", text)
    text = re.sub(r"\d+(\.\d+)? ?(ms|s|min|h|B|KB|MB|KiB|MiB|K|M)\b", "N", text)
    text = re.sub(r"\d+\.\d+\b|(?<=pid )\d+", "N", text)
    text = re.sub(r"(?<=noticed by )\w+", "poll or inotify", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?|\d\d:\d\d:\d\d", "TIME", text)
    return re.sub(r"[ \t]+", " ", text)


def test_the_first_app_is_deployed_and_changed_as_the_readme_shows(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    reader.write_files()
    reader.node.start()
    try:
        for command, expected, printed in reader.run():
            assert measured(printed) == measured(expected), command
    finally:
        reader.close()


def main() -> None:
    """Write what the commands print now into the README."""
    with tempfile.TemporaryDirectory() as base:
        reader = Reader(Path(base))
        reader.write_files()
        reader.node.start()
        done, rest = "", section()
        try:
            for command, expected, printed in reader.run():
                before, _, rest = rest.partition(f"$ {command}\n{expected}")
                done += f"{before}$ {command}\n{WAITING.sub('', printed)}"
        finally:
            reader.close()
        README.write_text(README.read_text().replace(section(), done + rest))


if __name__ == "__main__":
    main()
