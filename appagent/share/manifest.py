r"""The scan at the time of a deploy, kept compressed on the local disk: what a tree was made of.

`<manifests>/<app>/<hash of the release id>.gz` holds a line for each entry, sorted: path, type,
mode, inode, size, mtime_ns, ctime_ns, link text, parted by tabs; a backslash, tab or newline in a
name is written \\, \t, \n. The watcher writes it; `explain` compares two of them.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from appagent.host import files
from appagent.share.signature import Scan

_FIELDS = ("type", "mode", "inode", "size", "mtime", "ctime", "link")


class Change(NamedTuple):
    """A path that differs between two manifests, and how."""

    path: str
    what: str  # added | removed | the fields that differ: "size, mtime"


def path_of(directory: str, app: str, release: str) -> str:
    """Where the manifest of a release lies."""
    return f"{directory}/{app}/{release.rpartition(':')[2]}.gz"


def write(directory: str, app: str, scan: Scan) -> bool:
    """Keep a scan, unless it is kept already; whole or not at all."""
    path = path_of(directory, app, scan.release)
    if os.path.exists(path):
        return False
    os.makedirs(f"{directory}/{app}", mode=0o700, exist_ok=True)
    compressed = io.BytesIO()
    with gzip.GzipFile(fileobj=compressed, mode="wb", compresslevel=1, mtime=0) as file:
        file.writelines(_lines(scan))
    files.replace(path, compressed.getvalue())
    return True


def _lines(scan: Scan) -> Iterable[bytes]:
    lines = []
    for path, block in scan.blocks.items():
        prefix = os.fsencode(_escape(path)) + b"/" if path else b""
        lines += [prefix + line + b"\n" for line in block.split(b"\n") if line]
    return sorted(lines)


def read(path: str) -> Iterator[tuple[bytes, bytes]]:
    """Read a manifest line by line: path, with the tab by which the lines are sorted, and fields.

    Raises OSError where it is missing or damaged, also after some lines.
    """
    try:
        with gzip.open(path) as file:
            for line in file:
                name, tab, fields = line.rstrip(b"\n").partition(b"\t")
                yield name + tab, fields
    except (EOFError, zlib.error) as error:
        raise OSError(f"{path}: {error}") from error


def compare(old: str, new: str) -> Iterator[Change]:
    """Yield what differs from one manifest to another, by path, with only a line of each in memory.

    Raises OSError as `read` does.
    """
    old_lines, new_lines = read(old), read(new)
    before, after = next(old_lines, None), next(new_lines, None)
    while before or after:
        if before and (not after or before[0] < after[0]):
            yield Change(_name(before[0]), "removed")
            before = next(old_lines, None)
        elif after and (not before or after[0] < before[0]):
            yield Change(_name(after[0]), "added")
            after = next(new_lines, None)
        elif before and after:
            if before[1] != after[1]:
                yield Change(_name(before[0]), _differing(before[1], after[1]))
            before, after = next(old_lines, None), next(new_lines, None)


def _name(key: bytes) -> str:
    return key.rstrip(b"\t").decode("utf-8", "surrogateescape")


def _differing(before: bytes, after: bytes) -> str:
    """Name the fields that are not the same."""
    triples = zip(_FIELDS, before.split(b"\t"), after.split(b"\t"), strict=False)
    return ", ".join(field for field, a, b in triples if a != b)


def prune(directory: str, app: str, keep: Collection[str]) -> None:
    """Remove all manifests of an app but those of these releases."""
    kept = {os.path.basename(path_of(directory, app, release)) for release in keep}
    try:
        names = os.listdir(f"{directory}/{app}")
    except FileNotFoundError:
        return
    for name in names:
        # A release has one temporary file, which a crash may leave.
        if name.removesuffix(".new") not in kept:
            files.remove(f"{directory}/{app}/{name}")


def _escape(text: str) -> str:
    return text.translate({92: "\\\\", 9: "\\t", 10: "\\n", 13: "\\r"})
