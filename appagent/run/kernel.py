"""The kernel's calls that a run needs, reached without the modules that would make it slow.

Every run starts one small Python process. Of the 30 ms that it may cost, `signal` (which imports
`enum`) and `ctypes` would take 6 each, so their C halves are used where they are there, and the
modules themselves where they are not.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    try:
        import _signal as signal
    except ImportError:
        import signal

__all__ = ["adopt_orphans", "die_with_parent", "prctl", "signal", "signal_name"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> bool:
    """Set one thing with prctl; False if that is impossible here."""
    try:
        import _ctypes  # noqa: PLC0415 - only in the shim, and only once

        call = _ctypes.dlsym(_ctypes.dlopen("", os.RTLD_NOW), "prctl")
        answer: int = _ctypes.call_cdeclfunction(call, (option, value, 0, 0, 0))
    except (ImportError, AttributeError, OSError, TypeError):
        try:
            import ctypes  # noqa: PLC0415 - the slow way, where the quick one is missing

            answer = ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
        except (ImportError, AttributeError, OSError):
            return False
    return answer == 0


def adopt_orphans() -> bool:
    """Become the parent of whatever is orphaned below, setsid and double fork or not."""
    return prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(number: int) -> bool:
    """Get this signal when the parent ends. Lost by a change of user: call it after that."""
    return prctl(_PR_SET_PDEATHSIG, number)


def signal_name(number: int) -> str:
    """Give "KILL" for 9."""
    for name in dir(signal):
        if name.startswith("SIG") and name[3].isalpha() and getattr(signal, name) == number:
            return name[3:]
    return str(number)
