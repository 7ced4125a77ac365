"""What GlusterFS's client itself says: its version, and the options of the volume.

The client shows them in a virtual directory, `.meta` at the mount point, without asking a server:
`.meta/version`, and `.meta/graphs/active/volfile`, the graph that is in force with every option
that is not at its default. Where that cannot be read, a file server can be asked (`gluster volume
get`). Judging is pure; reading is done in a process of its own, as all that touches a share.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from appagent.doctor.finding import Finding, note, ok, warning
from appagent.doctor.software import numbers

META_VERSION = ".meta/version"
META_VOLFILE = ".meta/graphs/active/volfile"
MEASURED = "10.3"
_OLDEST = (7,)
_ON = ("on", "yes", "true", "enable", "1")
_SECONDS_LONG = 60


@dataclass(frozen=True, slots=True)
class Translator:
    """One layer of the client: `type performance/md-cache` and its options."""

    name: str
    type: str
    options: Mapping[str, str] = field(default_factory=dict)
    below: Sequence[str] = ()

    def is_on(self, option: str) -> bool:
        """Whether an option was switched on."""
        return self.options.get(option, "").lower() in _ON


def volfile(text: str) -> list[Translator]:
    """Read a graph."""
    found: list[Translator] = []
    name = kind = ""
    said: dict[str, str] = {}
    below: list[str] = []
    for line in text.splitlines():
        words = line.split()
        match words:
            case ["volume", one]:
                name, kind, said, below = one, "", {}, []
            case ["type", one]:
                kind = one
            case ["option", key, *value]:
                said[key] = " ".join(value)
            case ["subvolumes", *ones]:
                below = ones
            case ["end-volume"]:
                found.append(Translator(name, kind, said, tuple(below)))
            case _:
                pass
    return found


def judge_version(about: str, text: str) -> Finding:
    """Judge what `.meta/version` says."""
    try:
        version = str(json.loads(text)["Package Version"])
    except (ValueError, KeyError, TypeError):
        found = re.search(r"glusterfs (\d[\w.]*)", text)
        version = found[1] if found else ""
    if not version:
        return note(about, "the version of its client cannot be told", "glusterfs --version")
    if numbers(version) < _OLDEST:
        text = f"its client is GlusterFS {version}, which nobody looks after any more"
        return warning(about, text, f"GlusterFS {MEASURED} or newer, and mount it again")
    if numbers(version)[:1] != numbers(MEASURED)[:1]:
        text = f"its client is GlusterFS {version}; appagent was measured with {MEASURED}"
        return note(about, text)
    return ok(about, f"its client is GlusterFS {version}")


def judge_graph(about: str, graph: Sequence[Translator]) -> Iterator[Finding]:
    """Judge the options of a volume, as its client has them."""
    wrong = [*_caches(about, graph), *_servers(about, graph)]
    yield from wrong
    if graph and not wrong:
        yield ok(about, "no option of the volume gets in the way")


def _caches(about: str, graph: Sequence[Translator]) -> Iterator[Finding]:
    by_type: dict[str, Translator] = {one.type: one for one in graph}
    metadata = by_type.get("performance/md-cache")
    if metadata is not None and metadata.is_on("cache-invalidation"):
        kept = metadata.options.get("md-cache-timeout", "1")
        text = (
            f"metadata is cached (group metadata-cache, md-cache-timeout {kept}): a file that "
            "another node rewrote with the same size may be read as it was, without any bound"
        )
        do = "apps: new files and rename, never a rewrite in place; or: gluster volume set VOLUME "
        yield warning(about, text, f"{do}performance.cache-invalidation off")
    elif metadata is not None and _number(metadata.options.get("md-cache-timeout")) > 1:
        text = (
            f"md-cache-timeout is {metadata.options['md-cache-timeout']} without invalidation: "
            "what others write is seen that many seconds later"
        )
        yield warning(about, text, "gluster volume reset VOLUME performance.md-cache-timeout")
    if "performance/nl-cache" in by_type:
        text = (
            "nl-cache is on: a file that was missing once may stay missing for more than a minute "
            "(the agent lists instead; apps that test for a file are misled)"
        )
        yield warning(about, text, "gluster volume set VOLUME performance.nl-cache off")
    if graph and "features/utime" not in by_type:
        text = (
            "features.ctime is off: times differ from server to server, and a tree may look "
            "changed when it is not"
        )
        yield warning(about, text, "gluster volume set VOLUME features.ctime on")
    if "features/read-only" in by_type or "features/worm" in by_type:
        yield note(about, "the volume is read-only: nothing can be written there", "fleet: off")


def _servers(about: str, graph: Sequence[Translator]) -> Iterator[Finding]:
    pings = {
        _number(one.options.get("ping-timeout", "42"))
        for one in graph
        if one.type == "protocol/client"
    }
    if pings and max(pings) >= _SECONDS_LONG:
        text = (
            f"network.ping-timeout is {max(pings):g} s: when a server goes without a word, "
            f"everything hangs for up to {2 * max(pings):g} s"
        )
        yield warning(about, text, "gluster volume reset VOLUME network.ping-timeout")
    elif pings and min(pings) < 10:  # noqa: PLR2004 - GlusterFS's own advice
        text = f"network.ping-timeout is {min(pings):g} s: a busy server is dropped again and again"
        yield note(about, text, "not below 10 s")
    for one in graph:
        pair = one.type == "cluster/replicate" and len(one.below) == 2  # noqa: PLR2004
        if pair and one.options.get("quorum-type", "none") == "none":
            text = (
                f"{one.name} has two copies and no quorum: two servers that lose each other both "
                "go on, and files split"
            )
            do = "a third copy or an arbiter: gluster volume add-brick VOLUME replica 3 arbiter 1 …"
            yield note(about, text, do)
            return


def from_volume_get(text: str) -> list[Translator]:
    """Read `gluster volume get VOLUME all` as a graph, as far as it is judged."""
    values = {words[0]: words[1] for words in map(str.split, text.splitlines()) if len(words) > 1}
    if "performance.md-cache-timeout" not in values:
        return []
    get = values.get
    graph = [
        Translator(
            "md-cache",
            "performance/md-cache",
            {
                "cache-invalidation": get("performance.cache-invalidation", "off"),
                "md-cache-timeout": get("performance.md-cache-timeout", "1"),
            },
        ),
        Translator(
            "client", "protocol/client", {"ping-timeout": get("network.ping-timeout", "42")}
        ),
    ]
    for option, kind, default in (
        ("performance.nl-cache", "performance/nl-cache", "off"),
        ("features.ctime", "features/utime", "on"),
        ("features.read-only", "features/read-only", "off"),
    ):
        if get(option, default).lower() in _ON:
            graph.append(Translator(kind, kind))
    return graph


def _number(text: str | None) -> float:
    found = re.match(r"\d+(\.\d+)?", text or "")
    return float(found[0]) if found else 0.0
