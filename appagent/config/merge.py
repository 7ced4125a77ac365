"""Several files as one: maps merge by key, and anything else in a later file wins.

`roots` is a list, and yet each root has an identity, its path: a later file's root with a new path
is added, and one with a known path is merged into that root, key by key. So a file in conf.d can
add a root, or one setting of a root. Every other list is replaced as a whole; `roots: []` adds
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from appagent.config.values import BadValueError, directory
from appagent.config.yaml_tree import List, Map, Node, Scalar


def merge(trees: Iterable[Map]) -> Map:
    """Merge the trees in their order. At least one is given; none is changed."""
    first, *later = trees
    for tree in later:
        roots = _roots(first.entries.get("roots"), tree.entries.get("roots"))
        first = _map(first, tree)
        if roots is not None:
            first.entries["roots"] = roots
    return first


def root_path(item: Node) -> str | None:
    """Return the normalized path of an item of `roots`, if it has a valid one."""
    path = item.entries.get("path") if isinstance(item, Map) else None
    if not isinstance(path, Scalar):
        return None
    try:
        return directory(path.text)
    except BadValueError:
        return None


def duplicate_roots(tree: Map) -> Iterator[tuple[int, Map, Map]]:
    """Find the roots of one file whose path an earlier one has: index, root, the first."""
    roots = tree.entries.get("roots")
    known: dict[str, Map] = {}
    for number, item in enumerate(roots.items if isinstance(roots, List) else ()):
        path = root_path(item)
        if path is not None and isinstance(item, Map) and known.setdefault(path, item) is not item:
            yield number, item, known[path]


def _map(early: Map, late: Map) -> Map:
    both = Map(early.position, dict(early.entries), dict(early.keys))
    for key, value in late.entries.items():
        before = both.entries.get(key)
        if isinstance(before, Map) and isinstance(value, Map):
            both.entries[key] = _map(before, value)
        elif isinstance(before, Map) and isinstance(value, Scalar) and value.is_null:
            continue  # `apps:` with nothing below it removes nothing
        else:
            both.entries[key] = value
            both.keys[key] = late.keys[key]
    return both


def _roots(early: Node | None, late: Node | None) -> List | None:
    """Merge two lists of roots; None where the usual rule is right."""
    if not isinstance(early, List) or not isinstance(late, List):
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
    return List(early.position, items)
