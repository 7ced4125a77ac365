"""prctl(2), for the processes that must not outlive the one that started them.

Light: importing `ctypes` would cost each run 6 ms, so its C half is used where it exists.
"""

from __future__ import annotations

import os

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> bool:
    """Set one thing with prctl; False if that is not possible here."""
    return libc("prctl", option, value, 0, 0, 0) == 0


def libc(name: str, *arguments: int) -> int:
    """Call a function of the C library; -1 if there is none, as where it fails."""
    answer: int
    try:
        import _ctypes  # noqa: PLC0415 - only where it is called, and only once

        call = _ctypes.dlsym(_ctypes.dlopen("", os.RTLD_NOW), name)
        answer = _ctypes.call_cdeclfunction(call, arguments)
    except (ImportError, AttributeError, OSError, TypeError):
        try:
            import ctypes  # noqa: PLC0415 - slow; where the C half is missing

            answer = ctypes.CDLL(None)[name](*arguments)
        except (ImportError, AttributeError, OSError):
            return -1
    return answer


def adopt_orphans() -> bool:
    """Become the parent of whatever is orphaned below, setsid and double fork or not."""
    return prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(number: int) -> bool:
    """Get this signal when the thread that forked this process ends, or its whole process.

    A parent that ended before is not noticed: compare os.getppid() after this. A change of user
    resets it, so call it after that.
    """
    return prctl(_PR_SET_PDEATHSIG, number)
