"""What GlusterFS's client reports: its version, and the options of the volume.

The client shows them in a virtual directory, `.meta` at the mount point, without asking a server:
`.meta/version`, and `.meta/graphs/active/volfile`, the graph in force with every option that is not
at its default. Pure; shares.py reads them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from appagent.doctor.finding import Finding, note, ok, warning
from appagent.doctor.mount_options import seconds
from appagent.doctor.programs import version_of

META_VERSION = ".meta/version"
META_VOLFILE = ".meta/graphs/active/volfile"
_MEASURED, _OLDEST = "10.3", (7,)
_ON = ("on", "yes", "true", "enable", "1")
_PING_LONG, _PING_SHORT = 60, 10  # s; the second is GlusterFS's own advice


class Translator(NamedTuple):
    """One layer of the client: `type performance/md-cache`, its options, the layers below."""

    name: str
    type: str
    options: Mapping[str, str]
    below: Sequence[str]


def volfile(text: str) -> list[Translator]:
    """Parse a graph."""
    found: list[Translator] = []
    name = kind = ""
    options: dict[str, str] = {}
    below: list[str] = []
    for line in text.splitlines():
        match line.split():
            case ["volume", one]:
                name, kind, options, below = one, "", {}, []
            case ["type", one]:
                kind = one
            case ["option", key, *value]:
                options[key] = " ".join(value)
            case ["subvolumes", *ones]:
                below = ones
            case ["end-volume"]:
                found.append(Translator(name, kind, options, below))
            case _:
                pass
    return found


def judge_version(about: str, text: str) -> Finding:
    """Judge the content of `.meta/version`, or the output of `glusterfs --version`."""
    try:
        version = str(json.loads(text)["Package Version"])
    except (ValueError, KeyError, TypeError):
        found = re.search(r"glusterfs (\d[\w.]*)", text)
        version = found[1] if found else ""
    if not version:
        return note(about, "the version of its client is not known", "glusterfs --version")
    if version_of(version) < _OLDEST:
        text = f"its client, GlusterFS {version}, is end-of-life"
        return warning(about, text, f"install GlusterFS {_MEASURED} or newer and mount it again")
    if version_of(version)[:1] != version_of(_MEASURED)[:1]:
        return note(about, f"its client is GlusterFS {version}; tested is {_MEASURED}")
    return ok(about, f"its client is GlusterFS {version}")


def judge_graph(about: str, graph: Sequence[Translator]) -> Iterator[Finding]:
    """Judge the options of a volume, as its client has them."""
    bad = [*_caches(about, graph), *_servers(about, graph)]
    yield from bad
    if not bad:
        yield ok(about, "no option of the volume harms a deploy")


def _caches(about: str, graph: Sequence[Translator]) -> Iterator[Finding]:
    types = {one.type: one.options for one in graph}
    metadata = types.get("performance/md-cache", {})
    timeout = metadata.get("md-cache-timeout", "1")
    if metadata.get("cache-invalidation", "").lower() in _ON:
        text = (
            f"metadata is cached (group metadata-cache, md-cache-timeout {timeout}): a file that "
            "another node rewrote with the same size may be read with its old content forever"
        )
        do = "write new files and rename them; or: gluster volume set VOLUME "
        yield warning(about, text, f"{do}performance.cache-invalidation off")
    elif seconds(timeout) > 1:
        text = f"md-cache-timeout is {timeout} without invalidation: changes are seen that late"
        yield warning(about, text, "gluster volume reset VOLUME performance.md-cache-timeout")
    if "performance/nl-cache" in types:
        text = "nl-cache is on: a new file may be reported as missing for more than a minute"
        yield warning(about, text, "gluster volume set VOLUME performance.nl-cache off")
    if "features/utime" not in types:
        text = (
            "features.ctime is off: times differ from server to server, so a tree may look changed "
            "when it is not"
        )
        yield warning(about, text, "gluster volume set VOLUME features.ctime on")
    if types.keys() & {"features/read-only", "features/worm"}:
        text = "the volume is read-only: neither targets nor the fleet can write there"
        yield note(about, text, "set fleet: off")


def _servers(about: str, graph: Sequence[Translator]) -> Iterator[Finding]:
    pings = [
        seconds(one.options.get("ping-timeout", "42"))
        for one in graph
        if one.type == "protocol/client"
    ]
    if pings and max(pings) >= _PING_LONG:
        text = f"network.ping-timeout is {max(pings):g} s: everything hangs that long, or twice, "
        text += "when a server is lost"
        yield warning(about, text, "gluster volume reset VOLUME network.ping-timeout")
    elif pings and min(pings) < _PING_SHORT:
        text = f"network.ping-timeout is {min(pings):g} s: a busy server is dropped repeatedly"
        yield note(about, text, f"set it to {_PING_SHORT} s or more")
    for one in graph:
        two_copies = one.type == "cluster/replicate" and len(one.below) == 2  # noqa: PLR2004
        if two_copies and one.options.get("quorum-type", "none") == "none":
            text = f"{one.name} has two copies and no quorum: files can go split-brain"
            do = "add a copy or an arbiter: gluster volume add-brick VOLUME replica 3 arbiter 1 …"
            yield note(about, text, do)
            return
