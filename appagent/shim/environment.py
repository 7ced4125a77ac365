"""The environment that a target gets: clean, then the app's env files, then what the agent sets.

Nothing is inherited from the agent. An env file may set anything, PATH, HOME and LD_PRELOAD too
(it takes effect only behind the change of user), but two kinds of names, which are ignored
with a warning: the agent's own APP_ names, which must be true, and names that would change make
itself or let the app talk to systemd as the agent.
"""

from __future__ import annotations

from appagent.core import envfile, ids
from appagent.shim.trust import Refused
from appagent.shim.walk import Bases, Moved, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from appagent.shim.spec import Spec
    from appagent.shim.users import User

SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

AGENTS_OWN = frozenset(
    f"APP_{name}" for name in "NAME ENV DIR RELEASE PREVIOUS_RELEASE NODE REASON TARGET".split()
)
_RESERVED = AGENTS_OWN.union(
    "MAKEFLAGS MFLAGS GNUMAKEFLAGS MAKELEVEL MAKEFILES NOTIFY_SOCKET INVOCATION_ID".split(),
    "JOURNAL_STREAM CREDENTIALS_DIRECTORY".split(),
)
_RESERVED_PREFIXES = ("WATCHDOG_", "LISTEN_")
_NAMED = 5  # of the ignored names, in the warning


class Read:
    """The content of all env files of one app."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.digests: list[str] = []
        self.warnings: list[str] = []

    def add(self, items: list[tuple[str, str]], path: str) -> None:
        """Take the assignments of one file; a later file wins."""
        ignored: dict[str, str] = {}
        for name, value in items:
            reserved = name in _RESERVED or name.startswith(_RESERVED_PREFIXES)
            (ignored if reserved else self.values)[name] = value
        if ignored:
            names = ", ".join(list(ignored)[:_NAMED])
            more = f" and {len(ignored) - _NAMED} more" if len(ignored) > _NAMED else ""
            self.warnings.append(f"{path}: ignored {names}{more} (reserved names)")


def read_files(spec: Spec, bases: Bases) -> Read:
    """Read the env files through descriptors that are judged, each in its own directory.

    A missing or broken file blocks the run; a stop continues without it, as an app that is removed
    may have taken its files along.
    """
    read = Read()
    stopping = spec["target"] == "stop"
    for written in spec["env_files"]:
        optional = written.startswith("-")
        path = written.removeprefix("-")
        try:
            items = _read_one(path, bases)
        except NotFound:
            if not (optional or stopping):
                raise Moved(f"env file {path} does not exist") from None
            if not optional:
                read.warnings.append(f"env file {path} does not exist: stopped without it")
            read.digests.append(ids.NO_FILE)
        except (envfile.EnvFileError, Refused) as error:
            if not stopping:
                raise Refused(str(error)) from None
            read.warnings.append(f"{error}: stopped without this file")
        else:
            read.digests.append(envfile.digest(spec["secret"], items))
            read.add(items, path)
    return read


def _read_one(path: str, bases: Bases) -> list[tuple[str, str]]:
    """Read one file. Below a base the walk begins there; else in the file's own directory."""
    folder, _, name = path.rpartition("/")
    found = bases.find(folder or "/")
    if found is not None:
        start = bases.resolve(*found)
    else:
        bases = Bases(folder or "/", [], bases.trust)
        start = bases.root
    data = bases.read(start, name, envfile.MAX_BYTES)
    return envfile.parse(envfile.decode(data, path), path)


def verify(spec: Spec, read: Read, owner: int) -> None:
    """Raise Moved unless this is the environment that was decided on."""
    if not spec["conf"] or spec["target"] == "stop":
        return
    now = ids.conf_id(ids.user_text(spec["run_as"], owner), read.digests)
    if now != spec["conf"]:
        raise Moved("the env files or the user have changed since they were last read")


def build(spec: Spec, user: User, values: dict[str, str], where: str) -> dict[str, str]:
    """Put the environment together."""
    return {
        "PATH": spec["search"] or SEARCH,
        "HOME": user.home,
        "USER": user.name,
        "LOGNAME": user.name,
        "SHELL": user.shell,
        "LANG": spec["lang"] or "C.UTF-8",
        "PWD": where,
        **values,
        **spec["variables"],
    }
