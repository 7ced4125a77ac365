"""Several files as one: maps merge by key, and anything else in a later file wins.

`roots` is a list, and yet each root is a thing of its own with a path: a later file's root with a
new path is added, and one with a path that is known is merged into that root, key by key. So a file
in conf.d can bring a root, or say one thing more about one. Every other list is replaced as a
whole; `roots: []` therefore adds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from appagent.config.values import BadValueError, directory
from appagent.config.yaml_tree import Listing, Map, Node, Scalar


def merged(trees: Iterable[Map]) -> Map:
    """Merge the trees in their order. At least one is given; none is changed."""
    first, *later = trees
    for tree in later:
        roots = _roots(first.entries.get("roots"), tree.entries.get("roots"))
        first = _map(first, tree)
        if roots is not None:
            first.entries["roots"] = roots
    return first


def root_path(item: Node) -> str | None:
    """Give the path of an item of `roots` in its one plain form, if it has a readable one."""
    path = item.entries.get("path") if isinstance(item, Map) else None
    if not isinstance(path, Scalar):
        return None
    try:
        return directory(path.text)
    except BadValueError:
        return None


def same_root_twice(tree: Map) -> Iterator[tuple[int, Map, Map]]:
    """Find the roots of one file with a path that a root before it has: number, it, the first."""
    roots = tree.entries.get("roots")
    seen: dict[str, Map] = {}
    for number, item in enumerate(roots.items if isinstance(roots, Listing) else ()):
        path = root_path(item)
        if path is not None and isinstance(item, Map) and seen.setdefault(path, item) is not item:
            yield number, item, seen[path]


def _map(early: Map, late: Map) -> Map:
    whole = Map(early.place, dict(early.entries), dict(early.keys))
    for key, value in late.entries.items():
        before = whole.entries.get(key)
        if isinstance(before, Map) and isinstance(value, Map):
            whole.entries[key] = _map(before, value)
        elif isinstance(before, Map) and isinstance(value, Scalar) and value.nothing:
            continue  # `apps:` with nothing below it takes nothing away
        else:
            whole.entries[key] = value
            whole.keys[key] = late.keys[key]
    return whole


def _roots(early: Node | None, late: Node | None) -> Listing | None:
    """Merge two lists of roots; None where the usual rule is right."""
    if not isinstance(early, Listing) or not isinstance(late, Listing):
        return None
    items = list(early.items)
    for item in late.items:
        path = root_path(item)
        for number, known in enumerate(items):
            if path is None or root_path(known) != path:
                continue
            if isinstance(known, Map) and isinstance(item, Map):
                items[number] = _map(known, item)
                break
        else:
            items.append(item)
    return Listing(early.place, items)
