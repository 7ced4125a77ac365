"""`appagent logs`: what an app has printed, from the journal or, where there is none, from a file.

Which of the two it is the agent knows; without an agent, it is what is there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from appagent.commands.agent import Agent, Args, agent_of, count
from appagent.commands.printing import data, flush, message
from appagent.core.names import why_no_app
from appagent.host import units
from appagent.model.exit_codes import LATER, NO_AGENT, NOT_ALLOWED, OK, Refused
from appagent.run.launch import Paths


def logs(args: Args) -> int:
    """Show the output of an app, and what comes with --follow."""
    lines = count(args.lines, "--lines")
    agent = agent_of(args)
    try:
        where = agent.answer({"do": "where", "app": args.app})
    except Refused as refused:
        if refused.code != NO_AGENT:
            raise
        where = without_agent(agent, args.app, refused)
    if where["file"]:
        return show_file(Path(where["file"]), lines, follow_it=args.follow)
    if shutil.which("journalctl") is None:
        raise Refused(LATER, "the output is in the journal, but journalctl was not found")
    command = ["journalctl", "--no-pager", "-n", str(lines)]
    command += ["-f"] if args.follow else []
    flush()
    return subprocess.run([*command, *where["matches"]], check=False).returncode


def without_agent(agent: Agent, app: str, refused: Refused) -> dict[str, Any]:
    """Find the output of an app without an agent; Refused as before where there is none."""
    paths = Paths(agent.located.state_dir, agent.located.runtime_dir)
    try:
        if why_no_app(app) or not Path(paths.kept(app)).exists():
            raise refused
        owner = Path(paths.state_dir).stat().st_uid
        file = paths.log(app)
        in_file = Path(file).exists()
    except OSError as error:
        code = NOT_ALLOWED if isinstance(error, PermissionError) else LATER
        raise Refused(code, f"{error.filename}: {error.strerror}") from None
    where = file if in_file else "the journal"
    message(f"the agent does not answer; this is what {where} holds")
    return {"file": file if in_file else "", "matches": units.log_matches(app, owner)}


def show_file(path: Path, lines: int, *, follow_it: bool) -> int:
    """The end of a file, and what comes after it; over a file that is cut or put aside."""
    try:
        # What was cut off the front is beside it, and the cut may have been a moment ago.
        before, _ = content(path.with_name(f"{path.name}.1"), 0)
        text, offset = content(path, 0)
        if not before and not text:
            message("no output yet")
        show_lines((before + text).splitlines()[-lines:])
        for whole in new_lines(path, offset, pause) if follow_it else ():
            show_lines(whole)
    except BrokenPipeError:
        raise  # nobody reads any more: no trouble of the file's
    except OSError as error:
        code = NOT_ALLOWED if isinstance(error, PermissionError) else LATER
        raise Refused(code, f"{path}: {error.strerror}") from None
    return OK


def pause() -> bool:
    """Show what there is, and wait a moment; never over."""
    flush()
    time.sleep(0.25)
    return False


def new_lines(path: Path, offset: int, over: Callable[[], bool]) -> Iterator[list[bytes]]:
    """The whole lines that a file gets from `offset` on, until `over`, and then the rest."""
    rest, last = b"", False
    while not last:
        last = over()
        text, offset = content(path, offset)
        *whole, rest = (rest + text).split(b"\n")
        yield [*whole, rest] if last and rest else whole


def show_lines(lines: Iterable[bytes]) -> None:
    """Show what an app has printed, made safe."""
    for line in lines:
        data(line.decode("utf-8", "replace"))


def content(path: Path, offset: int) -> tuple[bytes, int]:
    """What a file holds from `offset` on, or from its begin if it is shorter now; and its end."""
    try:
        with path.open("rb") as file:
            file.seek(offset if offset <= file.seek(0, os.SEEK_END) else 0)
            return file.read(), file.tell()
    except FileNotFoundError:
        return b"", 0
