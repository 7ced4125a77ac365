r"""The scan at the time of a deploy, kept compressed on the local disk: what a tree was made of.

`<manifests>/<app>/<hash of the release id>.gz` holds a line for each entry, sorted: path, type,
mode, inode, size, mtime_ns, ctime_ns, link text, parted by tabs; a backslash, tab or newline in a
name is written \\, \t, \n. The eye writes it; `explain` reads two and tells what changed.
"""

from __future__ import annotations

import gzip
import os
import time
import zlib
from collections.abc import Collection, Iterable
from typing import NamedTuple

from appagent.share.scan import Scan

_FIELDS = ("type", "mode", "inode", "size", "mtime", "ctime", "link")
_STALE = 3600.0  # seconds until a temporary file that a crash left is removed


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
    try:
        os.stat(path)
    except FileNotFoundError:
        pass
    else:
        return False
    os.makedirs(f"{directory}/{app}", mode=0o700, exist_ok=True)
    temporary = f"{path}.{os.getpid()}.new"
    try:
        with gzip.GzipFile(temporary, "wb", compresslevel=1, mtime=0) as file:
            file.writelines(_lines(scan))
        os.replace(temporary, path)
    except OSError:
        _remove(temporary)
        raise
    return True


def _lines(scan: Scan) -> Iterable[bytes]:
    lines = []
    for path, block in scan.blocks.items():
        prefix = os.fsencode(_escape(path)) + b"/" if path else b""
        lines += [prefix + line + b"\n" for line in block.split(b"\n") if line]
    return sorted(lines)


def read(path: str) -> dict[str, tuple[str, ...]]:
    """Read a manifest: path → fields. Raises OSError where it is missing or damaged."""
    entries = {}
    try:
        with gzip.open(path) as file:
            for line in file:
                name, *fields = line.rstrip(b"\n").decode("utf-8", "surrogateescape").split("\t")
                entries[name] = tuple(fields)
    except (EOFError, zlib.error) as error:
        raise OSError(f"{path}: {error}") from error
    return entries


def compare(old: dict[str, tuple[str, ...]], new: dict[str, tuple[str, ...]]) -> list[Change]:
    """Tell what differs from one manifest to another, by path."""
    changes = []
    for path in sorted(old.keys() | new.keys()):
        before, after = old.get(path), new.get(path)
        if before == after:
            continue
        if before is None or after is None:
            changes.append(Change(path, "added" if before is None else "removed"))
            continue
        pairs = zip(_FIELDS, before, after, strict=False)
        changes.append(Change(path, ", ".join(field for field, a, b in pairs if a != b)))
    return changes


def prune(directory: str, app: str, keep: Collection[str]) -> None:
    """Remove all manifests of an app but those of these releases."""
    kept = {os.path.basename(path_of(directory, app, release)) for release in keep}
    try:
        names = os.listdir(f"{directory}/{app}")
    except FileNotFoundError:
        return
    now = time.time()
    for name in names:
        path = f"{directory}/{app}/{name}"
        if name.endswith(".gz") and name not in kept:
            _remove(path)
        elif name.endswith(".new"):
            try:
                stale = now - os.stat(path).st_mtime > _STALE
            except FileNotFoundError:
                continue
            if stale:
                _remove(path)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _escape(text: str) -> str:
    return text.translate({92: "\\\\", 9: "\\t", 10: "\\n", 13: "\\r"})
