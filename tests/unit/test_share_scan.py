"""The signature of a tree: what changes it, what does not, and what an error does to it."""

from __future__ import annotations

import errno
import gzip
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appagent.share import manifest
from appagent.share.disk import Disk, Listing
from appagent.share.markers import NotDeployable
from appagent.share.signature import Scan, SignatureScanner
from tests.share_disk import AWAY, NO_FAULT, Fault, Faults, FaultyDisk
from tests.share_watcher import put, swap


def scan(
    base: Path,
    *ignore: str,
    before: Scan | None = None,
    disk: Disk | None = None,
    others: frozenset[str] = frozenset(),
) -> Scan:
    return SignatureScanner(ignore).scan(disk or Disk(), str(base), 1.0, others, before)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    base = tmp_path / "web"
    put(base / "Makefile", "all:\n")
    put(base / "lib" / "code", "1")
    put(base / "lib" / "deep" / "er" / "file", "2")
    (base / "lib" / "readlink").symlink_to("code")
    return base


def rewrite(path: Path) -> None:
    """Other content of the same size, with the old times put back."""
    status = path.stat()
    path.write_text("9")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def become_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


CHANGES: dict[str, Callable[[Path], object]] = {
    "a new file": lambda base: put(base / "lib" / "new"),
    "a new directory": lambda base: (base / "empty").mkdir(),
    "a file gone": lambda base: (base / "lib" / "code").unlink(),
    "another content": lambda base: put(base / "lib" / "code", "22"),
    "another content, same size, same mtime": lambda base: rewrite(base / "lib" / "code"),
    "an older mtime": lambda base: os.utime(base / "lib" / "code", (1, 1)),
    "another mode": lambda base: (base / "lib" / "code").chmod(0o700),
    "another mode of a directory": lambda base: (base / "lib").chmod(0o700),
    "a rename": lambda base: (base / "lib" / "code").rename(base / "lib" / "edoc"),
    "a move": lambda base: (base / "lib" / "code").rename(base / "code"),
    "a link elsewhere": lambda base: swap(base / "lib" / "readlink", "deep"),
    "a file that became a directory": lambda base: become_directory(base / "lib" / "code"),
    "a fifo": lambda base: os.mkfifo(base / "fifo"),
}


def test_a_tree_that_stands_has_one_signature(tree: Path) -> None:
    first = scan(tree)
    again = scan(tree, before=first)
    assert first.release == again.release == scan(tree).release
    assert again.changed_since(first) == ()
    assert sum(block.count(b"\n") for block in first.blocks.values()) == 7


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_every_change_makes_another_one(tree: Path, change: Callable[[Path], object]) -> None:
    before = scan(tree)
    change(tree)
    after = scan(tree, before=before)
    assert after.release != before.release
    assert after.changed_since(before)


def test_the_paths_that_changed_are_named_and_at_most_ten(tree: Path) -> None:
    before = scan(tree)
    put(tree / "lib" / "code", "22")
    put(tree / "top", "")
    assert scan(tree).changed_since(before) == ("top", "lib/code")
    for number in range(50):
        put(tree / "lib" / "deep" / f"n{number}")
    assert len(scan(tree).changed_since(before)) == 10


def test_what_is_ignored_is_neither_seen_nor_looked_at(tree: Path) -> None:
    before = scan(tree, "/uploads/", "*.bak")
    put(tree / "uploads" / "deep" / "file")
    put(tree / "lib" / "a.bak")
    put(tree / "node_modules" / "x" / "y")
    put(tree / ".deploying")
    faults = Faults()
    seen: list[str] = []

    class Telling(FaultyDisk):
        def _meet(self, call: str, path: str) -> Fault:
            del call
            seen.append(path)
            return NO_FAULT

    after = scan(tree, "/uploads/", "*.bak", disk=Telling(lambda: faults))
    assert after.release == before.release
    assert not [path for path in seen if "uploads" in path or "node_modules" in path]
    assert scan(tree).release != before.release


def test_the_id_says_which_lines_were_ignored(tree: Path) -> None:
    assert scan(tree, "x").release.split(":")[:2] != scan(tree, "y").release.split(":")[:2]
    scheme, lines, signature = scan(tree).release.split(":")
    assert (scheme, len(lines), len(signature)) == ("tree.1", 8, 32)


def test_odd_names_are_names(tree: Path) -> None:
    odd = ["a\tb", "a\nb", "back\\slash", "ünï", os.fsdecode(b"\xff\xfe"), " "]
    for name in odd:
        put(tree / "odd" / name)
    before = scan(tree)
    for name in odd:
        put(tree / "odd" / name, "changed")
        after = scan(tree)
        assert after.release != before.release
        before = after


def test_names_cannot_be_made_to_look_like_other_entries(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    put(one / "a")
    put(two / "a\tf\t644\t1\t0\t0\t0\t\nb")
    assert scan(one).release != scan(two).release


def test_equal_directories_cost_no_second_copy(tree: Path) -> None:
    first = scan(tree)
    put(tree / "lib" / "code", "22")
    second = scan(tree, before=first)
    assert second.blocks["lib/deep"] is first.blocks["lib/deep"]
    assert second.blocks["lib"] is not first.blocks["lib"]


def test_another_filesystem_in_the_tree_is_not_entered(tree: Path) -> None:
    others = frozenset([str(tree / "lib" / "deep")])
    before = scan(tree, others=others)
    put(tree / "lib" / "deep" / "er" / "file", "changed")
    assert scan(tree, others=others).release == before.release
    assert "lib/deep" not in before.blocks


def test_a_tree_that_is_too_deep_is_unclear(tmp_path: Path) -> None:
    base = tmp_path / "web"
    base.mkdir()
    fd = os.open(base, os.O_RDONLY)
    for _ in range(150):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    with pytest.raises(NotDeployable, match="too deep"):
        scan(base)


def test_a_link_in_the_tree_is_not_followed(tree: Path, tmp_path: Path) -> None:
    put(tmp_path / "outside" / "file")
    (tree / "out").symlink_to(tmp_path / "outside")
    before = scan(tree)
    put(tmp_path / "outside" / "file", "changed")
    assert scan(tree).release == before.release


class Vanishing(Disk):
    """Lists a file that is gone before its status is read."""

    def entries(self, fd: int, path: str, skip: Callable[[str, bool], bool]) -> Listing:
        listing = super().entries(fd, path, skip)
        if path.endswith("/lib"):
            listing.vanished.append("temporary")
        return listing


def test_a_file_that_vanishes_during_the_scan_makes_it_like_no_other(tree: Path) -> None:
    first = SignatureScanner(()).scan(Vanishing(), str(tree), 1.0, frozenset(), None)
    second = SignatureScanner(()).scan(Vanishing(), str(tree), 2.0, frozenset(), first)
    assert first.torn == ("lib/temporary",)
    assert len({first.release, second.release, scan(tree).release}) == 3
    assert "lib/temporary" in second.changed_since(first)


def test_a_directory_that_vanishes_during_the_scan_does_too(tree: Path) -> None:
    class Swapped(Disk):
        def open_dir(self, path: str, name: str = "", at: int | None = None) -> int:
            if name == "deep":
                raise FileNotFoundError(errno.ENOENT, "gone", path)
            return super().open_dir(path, name, at)

    assert scan(tree, disk=Swapped()).torn == ("lib/deep",)


def failing(faults: Faults) -> Disk:
    return FaultyDisk(lambda: faults)


@pytest.mark.parametrize("error", AWAY, ids=errno.errorcode.get)
def test_an_error_in_one_directory_fails_the_whole_scan(tree: Path, error: int) -> None:
    for calls in (("open_dir",), ("entries",), ("readlink_at",)):
        for where in ("", "/lib"):
            if calls == ("readlink_at",) and not where:
                continue
            disk = failing(Faults.at(calls, f"{tree}{where}", error))
            with pytest.raises(OSError, match=os.strerror(error)):
                scan(tree, disk=disk)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_is_left_open(tree: Path) -> None:
    before = descriptors()
    scan(tree)
    disk = failing(Faults.at(("entries",), f"{tree}/lib/deep", errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        scan(tree, disk=disk)
    assert descriptors() == before


# --- what is kept of it --------------------------------------------------------------------------


def test_two_manifests_tell_what_changed(tree: Path, tmp_path: Path) -> None:
    kept = str(tmp_path / "manifests")
    put(tree / "tab\there" / "x")
    old = scan(tree)
    assert manifest.write(kept, "web", old)
    assert not manifest.write(kept, "web", old)
    (tree / "lib" / "code").chmod(0o600)
    put(tree / "lib" / "new")
    (tree / "lib" / "deep" / "er" / "file").unlink()
    new = scan(tree)
    manifest.write(kept, "web", new)
    before, after = (manifest.path_of(kept, "web", s.release) for s in (old, new))
    names = [name for name, _ in manifest.read(before)]
    assert names == sorted(names)
    assert b"tab\\there/x\t" in names
    assert list(manifest.compare(before, after)) == [
        ("lib/code", "mode, ctime"),
        ("lib/deep/er/file", "removed"),
        ("lib/new", "added"),
    ]


NAMES = ["a", "a b", "a-b", "a\\tb", "a\x01b", "a/b", "a/\x1fb", "\udcff", "é", "z"]


def kept_as(path: Path, entries: Mapping[str, str]) -> str:
    """Write a manifest of paths with a size."""
    lines = [f"{n}\tf\t644\t1\t{size}\t1\t1\t\n" for n, size in entries.items()]
    path.write_bytes(gzip.compress(b"".join(sorted(map(os.fsencode, lines)))))
    return str(path)


@given(
    old=st.dictionaries(st.sampled_from(NAMES), st.sampled_from("12")),
    new=st.dictionaries(st.sampled_from(NAMES), st.sampled_from("12")),
)
def test_manifests_of_any_names_are_compared_name_by_name(
    old: dict[str, str], new: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as place:
        before, after = (
            kept_as(Path(place, name), each) for name, each in (("old", old), ("new", new))
        )
        told = {change.path: change.what for change in manifest.compare(before, after)}
    expected = dict.fromkeys(old.keys() - new.keys(), "removed")
    expected |= dict.fromkeys(new.keys() - old.keys(), "added")
    expected |= {name: "size" for name in old.keys() & new.keys() if old[name] != new[name]}
    assert told == expected


def test_manifests_that_nobody_needs_are_removed(tree: Path, tmp_path: Path) -> None:
    kept = tmp_path / "manifests"
    old = scan(tree)
    manifest.write(str(kept), "web", old)
    put(tree / "new")
    new = scan(tree)
    manifest.write(str(kept), "web", new)
    put(kept / "web" / "left.gz.1.new")
    os.utime(kept / "web" / "left.gz.1.new", (1, 1))
    manifest.prune(str(kept), "web", [new.release])
    assert [path.name for path in (kept / "web").iterdir()] == [f"{new.release[-32:]}.gz"]
    manifest.prune(str(kept), "nobody", [])


def test_a_damaged_manifest_is_an_error_and_no_surprise(tree: Path, tmp_path: Path) -> None:
    kept = str(tmp_path / "manifests")
    saved = scan(tree)
    manifest.write(kept, "web", saved)
    path = Path(manifest.path_of(kept, "web", saved.release))
    whole = path.read_bytes()
    for damaged in (b"", b"nonsense", whole[: len(whole) // 2], whole[:20] + b"\0\0" + whole[22:]):
        path.write_bytes(damaged)
        try:
            list(manifest.read(str(path)))
        except OSError:
            continue
        assert damaged == b""  # an empty file is an empty manifest


def test_a_disk_that_is_full_leaves_nothing_behind(tree: Path, tmp_path: Path) -> None:
    kept = put(tmp_path / "manifests")  # a file where the directory should be
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        manifest.write(str(kept), "web", scan(tree))
