"""What `make run` needs beside the agent: three apps, one for each layout, in a scratch directory.

    lay_out.py DIR            lay out what is not there yet, and print how to try a deploy
    lay_out.py DIR --clear    stop the three apps and remove the directory

It stands in for a team: what it does with cp, git and a symlink, they do on the file server.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
APPS = ("hello-symlink", "notes-git", "static-tree")
FIRST_PORT = 18741
LONGEST_SOCKET = 100  # the kernel takes 107 characters


def main() -> int:
    """Do it, and return the exit status."""
    here = Path(sys.argv[1]).absolute()
    if sys.argv[2:] == ["--clear"]:
        return clear(here)
    if here.exists() and here.stat().st_uid != os.getuid():
        return complain(f"{here} is of another user (uid {here.stat().st_uid}): remove it as that")
    lay_out(here)
    print(hint(here), flush=True)
    return 0


def complain(line: str) -> int:
    """Say what is wrong."""
    print(line, file=sys.stderr)
    return 1


# --- laying out ----------------------------------------------------------------------------------


def lay_out(here: Path) -> None:
    """Make what is missing: what a person has changed since the last time stays."""
    os.umask(0o022)  # what others may write is not run
    for name in ("apps", "env", "var", "state"):
        (here / name).mkdir(parents=True, exist_ok=True)
    (here / "appagent.yaml").write_text(configuration(here))
    for app in APPS:
        directory = here / "apps" / app
        if not directory.exists():
            whole = here / f"{app}.new"
            shutil.rmtree(whole, ignore_errors=True)
            as_layout(app, whole)
            whole.rename(directory)
    taken: set[int] = set()
    for app in APPS:
        env = here / "env" / f"{app}.env"
        if not env.exists():
            port = free_port(taken)
            env.write_text(
                f"# {app}: a change of a value here is a restart, without an install\n"
                f"PORT={port}\nVAR={quoted(here / 'var' / app)}\nPYTHON={quoted(interpreter())}\n"
            )
        taken.add(int(environment(here, app)["PORT"]))


def configuration(here: Path) -> str:
    """Return examples/try.yaml, filled in."""
    runtime = here / "run"
    if len(str(runtime / "control.sock")) > LONGEST_SOCKET:
        runtime = Path(tempfile.gettempdir()) / f"appagent-try-{os.getuid()}"
    text = (EXAMPLES / "try.yaml").read_text()
    text = text.replace("@RUN_AS@", "root" if os.getuid() == 0 else "self")
    text = text.replace("@HERE@", json.dumps(str(here))[1:-1])
    return text.replace("@RUNTIME@", json.dumps(str(runtime))[1:-1])


def as_layout(app: str, whole: Path) -> None:
    """Lay out one app the way its name says."""
    source = EXAMPLES / "apps" / app
    nothing = shutil.ignore_patterns("__pycache__")
    if app.endswith("-symlink"):
        shutil.copytree(source, whole / "releases" / "1", ignore=nothing)
        (whole / "current").symlink_to("releases/1")
        return
    shutil.copytree(source, whole, ignore=nothing)
    if app.endswith("-git"):
        git(whole, "init", "-q")
        git(whole, "config", "user.name", "A team")
        git(whole, "config", "user.email", "team@example.org")
        git(whole, "add", ".")
        git(whole, "commit", "-q", "-m", "The first notes")


def git(tree: Path, *words: str) -> None:
    """Run git in a work tree, whatever repository this one is called from."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    subprocess.run(["git", "-C", str(tree), *words], check=True, env=clean)


def free_port(taken: set[int]) -> int:
    """Return a port that nobody listens on."""
    for port in range(FIRST_PORT, FIRST_PORT + 1000):
        if port in taken:
            continue
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    sys.exit("no free port above 18741")


def interpreter() -> str:
    """Return the Python that the apps run with: one that stays when .venv is removed."""
    return os.path.realpath(sys.executable)


def quoted(value: object) -> str:
    """Return a value as an env file has it."""
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


# --- what is there -------------------------------------------------------------------------------


def environment(here: Path, app: str) -> dict[str, str]:
    """Read the env file of an app: as much of the format as this program writes."""
    found = {}
    for line in (here / "env" / f"{app}.env").read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not key.startswith("#"):
            value = value.strip()
            if value[:1] == value[-1:] == '"':
                value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
            found[key.strip()] = value
    return found


def newest_release(here: Path) -> int:
    """Return the highest number among the releases of hello-symlink."""
    releases = here / "apps" / "hello-symlink" / "releases"
    return max((int(path.name) for path in releases.iterdir() if path.name.isdigit()), default=0)


def hint(here: Path) -> str:
    """Return what a person can paste into another terminal."""
    shown = Path(os.path.relpath(here))
    hello, notes, static = (shown / "apps" / app for app in APPS)
    ports = [environment(here, app)["PORT"] for app in APPS]
    last = newest_release(here)
    following = f"{hello}/releases/{last + 1}"
    return f"""
Three apps, one for each layout:

  hello-symlink  http://127.0.0.1:{ports[0]}/
  notes-git      http://127.0.0.1:{ports[1]}/
  static-tree    http://127.0.0.1:{ports[2]}/

Deploy one. In another terminal:

  cd {Path.cwd()}
  export APPAGENT_CONFIG={here}/appagent.yaml PATH=$PWD/.venv/bin:$PATH

  # a release beside the others, and the link swapped
  cp -R {hello}/releases/{last} {following} && echo 'Good evening' > {following}/greeting.txt
  ln -s releases/{last + 1} {hello}/next && mv -T {hello}/next {hello}/current

  # a commit
  echo 'one more note' >> {notes}/notes.txt && git -C {notes} commit -qam 'One more'

  # an edited file
  echo '<p>Edited.</p>' >> {static}/site/index.html

  # a changed environment: restart, no install
  echo NAME=you >> {shown}/env/hello-symlink.env

  appagent status
  appagent history
  appagent explain hello-symlink

Ctrl-C ends the agent; the apps run on, and `make run` finds them as they are. `make clean` stops
and removes them.
"""


# --- clearing ------------------------------------------------------------------------------------


def clear(here: Path) -> int:
    """Stop the apps, by their own Makefiles, and remove all."""
    if not here.exists():
        return 0
    if agent_answers(here):
        return complain("the agent is running: end `make run` with Ctrl-C first")
    for app in APPS:
        directory = here / "apps" / app
        release = directory / "current" if app.endswith("-symlink") else directory
        if (release / "Makefile").exists():
            stop = ["make", "-s", "-C", str(release), "stop"]
            subprocess.run(stop, check=False, env={**os.environ, **environment(here, app)})
    shutil.rmtree(here)
    return 0


def agent_answers(here: Path) -> bool:
    """Whether an agent listens on the control socket of this directory."""
    for line in (here / "appagent.yaml").read_text().splitlines():
        if line.startswith("runtime_dir:"):
            path = f"{json.loads(line.partition(':')[2])}/control.sock"
            with socket.socket(socket.AF_UNIX) as tried:
                return tried.connect_ex(path) == 0
    return False


if __name__ == "__main__":
    sys.exit(main())
