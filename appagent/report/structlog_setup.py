"""structlog, without the optional modules that it imports where they are installed.

rich alone costs 5 MiB and doubles the time of a start, and appagent does not use it. An entry of
None in sys.modules makes an import fail; the entries are removed afterwards, so that `import rich`
works elsewhere.
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
