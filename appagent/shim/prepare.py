"""The child half of a shim: everything that touches the share or a name service, then make.

It may hang at any of it; its parent (supervisor.py) keeps the time. It reports to the parent over a
pipe that closes by itself when make takes its place:

    phase names | share | ask | make    where it is; before `ask` nothing of the app has run
    uid N                               the user of the run
    targets install=phony …             the targets that make knows, for the next run
    step STEP CALL …                    the step it has come to, what make is called with for it
    warn TEXT
    end OUTCOME STATUS TEXT             it is over, make was not started

The order is what makes it safe: names, walk and trust, env files, all with the agent's rights and
on descriptors; then the rights are dropped; and only then does anything of the app's count, its
environment first.
"""

from __future__ import annotations

import os
import stat

from appagent.core import ids
from appagent.host.prctl import die_with_parent, signal
from appagent.shim import cgroup, environment, kept, targets, users
from appagent.shim.failpoint import hit
from appagent.shim.trust import Over, Refused
from appagent.shim.walk import Bases, Directory, Moved, NotFound, filesystem, lstat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from appagent.shim.spec import Spec
    from appagent.shim.trust import Trust

INTERNAL_ERROR = "internal error (this is a bug in appagent; please report it)"
KEEPS_COPY = ("install", "start", "restart")

_RESET = "SIGHUP SIGINT SIGQUIT SIGPIPE SIGTERM SIGCHLD SIGXFSZ".split()


class Missing(Over):
    """The Makefile has no such target."""

    outcome = "missing"


class Child:
    """One attempt at a target, up to the exec of make."""

    def __init__(  # noqa: PLR0913 - all of it is the parent's
        self, spec: Spec, report: int, copy: int, parent: int, *, group: str, call: str
    ) -> None:
        """Take the message, the pipe to the parent, and a file in memory for the Makefile's copy.

        Also who the parent is, the cgroup to be in, if any, and what to call make with, if that
        is known from an attempt before.
        """
        self.spec = spec
        self.pipe = report
        self.copy = copy
        self.parent = parent
        self.group = group
        self.call = call
        self.make = ""
        self.is_bare = False
        self.kept: kept.Kept | None = None  # for a stop

    def main(self, output: int) -> NoReturn:
        """Do it all; never returns, as it ends here or becomes make."""
        try:
            self._set_up(output)
            self._prepare()
        except Over as over:
            end = over
        except BaseException as fault:  # noqa: BLE001 - whatever it is, it must be reported
            end = Over(f"{INTERNAL_ERROR}: {type(fault).__name__}: {fault}")
        try:
            self.report(f"end {end.outcome} {end.status} {end}")
        finally:
            os._exit(0)

    def report(self, text: str) -> None:
        """Send one line to the parent."""
        line = text.replace("\n", " ").encode("utf-8", "replace")
        os.write(self.pipe, line[:2000] + b"\n")

    def _set_up(self, output: int) -> None:
        os.setpgid(0, 0)
        for name in _RESET:
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        self._stay_with_parent()
        if self.group:
            cgroup.enter(self.group)
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)

    def _stay_with_parent(self) -> None:
        """End with the parent, as nothing else keeps the deadline. TERM: make passes it on."""
        die_with_parent(signal.SIGTERM)
        if os.getppid() != self.parent:
            os._exit(1)

    def _prepare(self) -> NoReturn:
        spec = self.spec
        self.make = _find_make(spec["search"] or environment.SEARCH)
        self.report("phase names")
        hit("child.names")
        self.report("phase share")
        hit("child.share")
        if spec["target"] == "stop":
            self.kept = kept.read(spec["kept"])
        owner = self._owner()
        self.report("phase names")
        user = users.find_user(spec["run_as"], owner, self.kept)
        trust = users.trust_of(user, spec["trusted"])
        self.report(f"uid {user.uid}")
        self.report("phase share")
        bases = self._bases(trust)
        where = self._release(bases, owner, user)
        read = environment.read_files(spec, bases)
        environment.verify(spec, read, owner.status.st_uid if owner is not None else -1)
        hit("child.read")
        for warning in read.warnings:
            self.report(f"warn {warning}")
        os.fchdir(where.fd)
        if os.geteuid() == 0 and stat.S_ISREG(os.fstat(1).st_mode):
            os.fchown(1, user.uid, -1)  # so that the app can open /dev/stdout anew
        users.become(user)
        self._stay_with_parent()  # the change of user has undone it
        made = environment.build(spec, user, read.values, where.path)
        self._become_make(made)

    def _owner(self) -> Directory | None:
        """Find the owner of the app's directory, if it matters, before anybody is trusted."""
        spec = self.spec
        if spec["run_as"] != "owner":
            return None
        bases = Bases(spec["root"], spec["release_dirs"], None)
        try:
            return bases.resolve(bases.root, [spec["app"]])
        except (NotFound, Refused) as error:
            if spec["target"] == "stop" and (self.kept is not None or isinstance(error, NotFound)):
                return None
            raise

    def _bases(self, trust: Trust) -> Bases:
        spec = self.spec
        bases = Bases(spec["root"], spec["release_dirs"], trust)
        if spec["fstype"]:
            now = filesystem(bases.root)
            if now != spec["fstype"]:
                raise Moved(
                    f"{spec['root']} is on {now or 'an unknown filesystem'} and not on "
                    f"{spec['fstype']}: is the share mounted?"
                )
        return bases

    def _release(self, bases: Bases, owner: Directory | None, user: users.User) -> Directory:
        """Walk to the release, and judge what will be used of it."""
        spec = self.spec
        try:
            if spec["target"] == "stop" and owner is not None:
                users.demand_same(owner, user)
            where = bases.straight(spec["release_dir"], ids.inode(spec["release"]))
            if spec["target"] != "stop":
                self._still_seen(bases, where, owner)
            hit("child.walked")
            self._judge(bases, where)
        except NotFound as why:
            if spec["target"] != "stop":
                raise
            return self._bare(bases, why, user)
        return where

    def _still_seen(self, bases: Bases, where: Directory, owner: Directory | None) -> None:
        """Judge the way to the app; raise Moved unless it leads to the release where it was seen.

        The way is judged for an earlier release too: whoever makes the entry makes the app.
        """
        spec = self.spec
        app = bases.resolve(bases.root, [spec["app"]])
        if owner is not None and not app.same(owner):
            raise Moved(f"{app.path} has just changed its owner")
        if app.same(where) or not spec["seen"]:
            return
        if spec["layout"] == "symlink":
            now = bases.resolve(app, ["current"])
            if now.same(where):
                return
            app = now
        raise Moved(f"{spec['app']} is at {app.path} now, not at {where.path}")

    def _judge(self, bases: Bases, where: Directory) -> None:
        """Judge each Makefile that make might pick, and the app's own settings; keep a copy."""
        first = ""
        for name in (*targets.MAKEFILES, "appagent.yaml"):
            try:
                bases.file(where, name)
            except NotFound:
                continue
            first = first or name
        if first in {"", "appagent.yaml"}:
            raise NotFound(f"there is no Makefile in {where.path}")
        if any(step in KEEPS_COPY for step in self._steps()):
            data = bases.read(where, first, kept.MAX_BYTES)
            os.truncate(self.copy, 0)
            if len(data) <= kept.MAX_BYTES:
                os.pwrite(self.copy, data, 0)

    def _bare(self, bases: Bases, why: NotFound, user: users.User) -> Directory:
        """Prepare to stop an app of which only the copy of its Makefile is left."""
        spec = self.spec
        lstat(bases.root, ".")  # only from a root that can be read can something be missing
        if self.kept is None:
            raise Missing(f"{why}, and no copy of its Makefile was kept")
        if self.kept.uid != user.uid:
            whose = users.name_of("user", self.kept.uid)
            raise Refused(
                f"{why}, and the copy of its Makefile is {whose}'s, so it is never run as "
                f"{user.name}: set run_as to {whose} until it is stopped"
            )
        os.mkdir(spec["stop_dir"], 0o755)
        fd = os.open(spec["stop_dir"], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open("Makefile", flags, 0o644, dir_fd=fd), "wb") as file:
            file.write(self.kept.makefile)
        self.is_bare = True
        self.report(f"warn {why}: stopped with the copy of its Makefile")
        return Directory(fd, spec["stop_dir"], None, os.fstat(fd))

    def _become_make(self, made: dict[str, str]) -> NoReturn:
        spec = self.spec
        known = spec["targets"]
        if known is None or self.is_bare:
            self.report("phase ask")
            hit("child.ask")
            known = targets.ask(self.make, made)
            self.report("targets " + " ".join(f"{name}={how}" for name, how in known.items()))
        if not self.call:
            step, calls = targets.first(self._steps(), known)
            self.report(" ".join(("step", step, *calls)))
            self.call = calls[0] if calls else step
        if self.call not in known:
            raise Missing(f"the Makefile has no target {self.call}")
        if warning := targets.trap(self.call, known):
            self.report(f"warn {warning}")
        self.report("phase make")
        hit("child.make")
        made["APP_TARGET"] = self.call
        os.execve(self.make, ["make", self.call], made)  # noqa: S606 - just what it is for

    def _steps(self) -> list[str]:
        """The steps that this run may come to, in order."""
        return [self.spec["target"], *(step for step, _ in self.spec["then"])]


def _find_make(search: str) -> str:
    for folder in search.split(":"):
        path = f"{folder}/make"
        if folder.startswith("/") and os.access(path, os.X_OK):
            return path
    raise Refused(f"make is not found in {search}: install GNU make")
