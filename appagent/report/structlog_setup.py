"""structlog, without what it imports by itself where it happens to be installed.

rich alone costs 5 MiB and twice the time of a start, and nothing of ours uses it. An entry of None
in sys.modules is Python's own way to say that a module cannot be imported; the entries are taken
back, so that somebody else's `import rich` works.
"""

import sys

_UNWANTED = [name for name in ("rich", "better_exceptions", "twisted") if name not in sys.modules]

for _name in _UNWANTED:
    sys.modules[_name] = None  # type: ignore[assignment]
try:
    import structlog
finally:
    for _name in _UNWANTED:
        del sys.modules[_name]

__all__ = ["structlog"]
