"""The people who deploy, from the developer's machine: push with git, swap a symlink, rsync.

All goes over ssh to a file server, as the user `deploy`, and there through its mount of the share.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .host import NOTES, Host

HOME = "home/deploy"

MAKEFILE = (Path(__file__).parent / "app.mk").read_text()


def app_files(version: str, parts: int = 3) -> dict[str, str]:
    """Return the files of an app that notes its runs, all of one version."""
    names = {f"parts/{number:04}": f"{version}\n" for number in range(parts)}
    return {"Makefile": MAKEFILE, "VERSION": f"{version}\n", **names}


@dataclass(frozen=True)
class Noted:
    """A run that an app of `app_files` noted on a node."""

    time: float
    target: str
    version: str
    foreign: int  # files of another version that lay among its own: none, or it was half-written
    release: str


def noted(host: Host, app: str) -> list[Noted]:
    """Return the runs that an app noted on a node, in order; read from the disk."""
    path = host.root / NOTES / app
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [[*line.split(" "), ""][:5] for line in lines]
    return [Noted(float(row[0]), row[1], row[2], int(row[3]), row[4]) for row in rows]


class Developer:
    """A developer at a machine of the fleet, deploying to one file server."""

    def __init__(self, machine: Host, server: Host, root: str) -> None:
        """Take the developer's machine, the file server, and the root on the share."""
        self.machine = machine
        self.server = server
        self.root = root

    def ssh(self, line: str, timeout: float = 60) -> str:
        """Run a line on the file server, over ssh, as the one who deploys."""
        words = ["ssh", f"deploy@{self.server.name}", line]
        return self.machine.out(words, "deploy", timeout=timeout)

    def here(self, line: str, timeout: float = 120) -> str:
        """Run a line on the developer's machine."""
        return self.machine.out(line, "deploy", timeout=timeout)

    def put(self, directory: str, files: Mapping[str, str]) -> None:
        """Make a directory in the developer's home hold these files and no others (but git's)."""
        top = self.machine.root / HOME / directory
        top.mkdir(parents=True, exist_ok=True)
        for old in top.iterdir():
            if old.name != ".git":
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        for name, text in files.items():
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.machine.run(["chown", "-R", "deploy:deploy", f"/{HOME}/{directory}"])

    # git

    def new_git(self, app: str) -> None:
        """Make a work tree on the share that takes pushes, and one here to push from."""
        there = f"{self.root}/{app}"
        take = "git config receive.denyCurrentBranch updateInstead"
        self.ssh(f"git init -q {there} && cd {there} && {take}")
        self.here(f"git init -q ~/{app} && cd ~/{app} && git remote add share {self.address(app)}")

    def address(self, app: str) -> str:
        """Return where git pushes an app to."""
        return f"deploy@{self.server.name}:{self.root}/{app}"

    def push(self, app: str, files: Mapping[str, str], *, timeout: float = 120) -> str:
        """Commit these files as the app's whole content, push, and return the commit."""
        self.put(app, files)
        self.here(f"cd ~/{app} && git add -A && git commit -q --allow-empty -m 'A release'")
        return self.push_again(app, timeout=timeout)

    def push_revert(self, app: str) -> str:
        """Revert the last commit, push, and return the new commit."""
        self.here(f"cd ~/{app} && git revert --no-edit HEAD")
        return self.push_again(app)

    def push_back(self, app: str, commit: str) -> str:
        """Push an older commit by force, so that HEAD is what it was before."""
        self.here(f"cd ~/{app} && git reset -q --hard {commit}")
        return self.push_again(app, "--force")

    def push_again(self, app: str, *options: str, timeout: float = 120) -> str:
        """Push what is committed here, and return the commit."""
        words = " ".join(options)
        push = f"git push -q {words} {self.address(app)} main"
        return self.here(f"cd ~/{app} && {push} && git rev-parse HEAD", timeout)

    # Symlink and plain files

    def swap(self, app: str, release: str, files: Mapping[str, str]) -> None:
        """Write a release beside the others, whole, and make it the current one."""
        self.rsync(f"{app}/releases/{release}", files)
        self.point(app, release)

    def point(self, app: str, release: str) -> None:
        """Make a release that is there the current one, in one step."""
        link = f"ln -sfn releases/{release} .next && mv -T .next current"
        self.ssh(f"cd {self.root}/{app} && {link}")

    def rsync(self, where: str, files: Mapping[str, str], *, timeout: float = 300) -> None:
        """Bring a directory below the root to hold these files, in place, file by file.

        Not by rsync's usual way, a new file beside the old one and a rename over it: where others
        list the directory at that moment (`ls -l` does), GlusterFS 10.3 goes on to show the old
        file for some of the names, for good and to everybody, though no brick has it any more.
        """
        here = "rsync-" + re.sub(r"\W+", "-", where)
        self.put(here, files)
        there = f"{self.root}/{where}"
        make = f"ssh deploy@{self.server.name} mkdir -p {there}"
        copy = f"rsync -rltI --inplace --delete ~/{here}/ deploy@{self.server.name}:{there}/"
        # After a rebalance a directory may name files that are elsewhere by now: 24, and once more.
        self.here(f"{make} && {{ {copy} || {{ [ $? = 24 ] && {copy}; }}; }}", timeout)

    def remove(self, app: str) -> None:
        """Take an app away, from the share and here."""
        self.ssh(f"rm -rf {self.root}/{app}", timeout=300)
        shutil.rmtree(self.machine.root / HOME / app, ignore_errors=True)
