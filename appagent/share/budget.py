"""How much scanning may be done: a bounded part of the time, shared fairly between the trees.

Theory of operation. Each tree has a budget, and pays for its scans what they cost (`price`). A
tenth of the time that passes goes to the budgets, in equal parts to all that are not full; so
what a small tree leaves goes to the large ones, and a large or broken tree only ever waits for
itself. Who is in debt is not scanned until that is paid, unless the scan is urgent; that one is
paid too.
"""

from __future__ import annotations

SHARE = 0.1  # of the time, for scanning: of the processor's, if that is what it costs
_WAITING = 0.25  # of the time that may be spent on a share: nearly all of that is waiting
# … and how many directories of a share may be read in a second. Each is 5 to 7 operations of its
# servers, so this keeps a node below 300 of these a second, and ten trees of 1,000 files in 20
# directories are scanned every 4.2 s, as long as each scan takes no more than 0.1 s.
_DIRECTORIES = 50.0
_SAVED = 1.0  # s that all budgets may hold together, for a change after a quiet time
_DEEPEST = 12  # scans that a budget may owe: those that people request wait for nothing


def price(processor: float, shared: float, directories: int) -> float:
    """What a scan costs its budget, in s of the processor's time or as much as that.

    `shared` is how long a share was kept busy (s), `directories` how many of it were read.
    """
    return max(processor, shared * SHARE / _WAITING, directories * SHARE / _DIRECTORIES)


class Budget:
    """The budgets, by what is scanned. All times are in seconds."""

    def __init__(self, now: float, share: float = SHARE) -> None:
        self._share = share
        self._saved: dict[object, float] = {}
        self._needy: set[object] = set()  # those that are not full
        self._at = now

    def drop(self, key: object) -> None:
        """Forget a budget."""
        self._saved.pop(key, None)
        self._needy.discard(key)

    def pay(self, key: object, now: float, seconds: float) -> None:
        """Pay for a scan that ended now."""
        self._fill(now)
        if key not in self._saved:
            self._open(key)
        self._saved[key] = max(self._saved[key] - seconds, -_DEEPEST * seconds)
        self._needy.add(key)

    def _open(self, key: object) -> None:
        """Open a budget that is full, and have none that holds more."""
        self._saved[key] = full = _SAVED / (len(self._saved) + 1)
        for other, saved in self._saved.items():
            self._saved[other] = min(saved, full)

    def free_at(self, key: object, now: float) -> float:
        """When its next scan may begin, if nobody pays for another one until then."""
        self._fill(now)
        debt = -self._saved.get(key, 0.0)
        if debt <= 0:
            return now
        full = self._full
        return now + sum(min(full - self._saved[one], debt) for one in self._needy) / self._share

    def owes(self, key: object, seconds: float) -> bool:
        """Whether it owes more than this."""
        return self._saved.get(key, 0.0) < -seconds

    @property
    def _full(self) -> float:
        return _SAVED / max(1, len(self._saved))

    def _fill(self, now: float) -> None:
        """Give what the time since then brought: who needs least is served first."""
        full, remaining = self._full, (now - self._at) * self._share
        self._at = now
        needs = [(max(0.0, full - self._saved[key]), key) for key in self._needy]
        needs.sort(key=lambda pair: pair[0])
        for served, (need, key) in enumerate(needs):
            part = min(need, remaining / (len(needs) - served))
            remaining -= part
            self._saved[key] += part
            if part >= need:
                self._needy.discard(key)
