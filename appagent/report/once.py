"""What stands is said once, until it changes.

A root that is away, an eye that is stuck, a disk that is full: whoever finds it finds it again
each second. A person wants to hear of it when it begins, when it changes and when it is over.
"""

from __future__ import annotations

from appagent.model import Fact

# What stands, and what ends it.
STANDING = {
    "app.unknown": "app.known",
    "app.waiting": "app.known",
    "app.refused": "app.known",
    "root.unknown": "root.known",
    "eye.stuck": "eye.back",
    "store.failed": "store.works",
    "history.failed": "history.works",
    "config.refused": "config.loaded",
}
_ENDS = {end: [kind for kind, its in STANDING.items() if its == end] for end in STANDING.values()}

_MOST = 10_000


class Once:
    """Remembers what was said of each thing that stands."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], tuple[str, str]] = {}

    def is_new(self, fact: Fact) -> bool:
        """Whether a fact is to be said: anything that is over in a moment, or news of what stands.

        Things are told apart by their kind and their app, or the path where there is no app.
        """
        about = fact.app or str(fact.fields.get("path", ""))
        for kind in _ENDS.get(fact.kind, ()):
            self._said.pop((kind, about), None)
        if fact.kind not in STANDING:
            return True
        key, words = (fact.kind, about), (fact.level.value, fact.text)
        if self._said.get(key) == words:
            return False
        if len(self._said) >= _MOST:
            self._said.pop(next(iter(self._said)))
        self._said[key] = words
        return True

    def forget(self, kind: str, about: str) -> None:
        """Say it again the next time."""
        self._said.pop((kind, about), None)
