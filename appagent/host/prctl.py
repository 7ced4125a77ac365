"""Calls of the kernel that Python does not have, and signals, without slow imports.

Every run starts one small Python process, which may cost 30 ms. `ctypes` would take 6 of them, and
`signal` (which imports `enum`) 6 more; so their C halves are used where those exist.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    try:
        import _signal as signal
    except ImportError:
        import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}
_KEYCTL_JOIN_SESSION_KEYRING = 1
_LARGEST_32 = 2**31 - 1  # sys.maxsize of a 32-bit process, whose calls have other numbers

__all__ = ["adopt_orphans", "die_with_parent", "leave_keyring", "signal", "signal_name"]


def adopt_orphans() -> bool:
    """Become the parent of whatever is orphaned below, setsid and double fork or not."""
    return _libc("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def die_with_parent(number: int) -> bool:
    """Get this signal when the thread that forked this process ends, or its whole process.

    A parent that ended before is not noticed: compare os.getppid() after this. A change of user
    resets it, so call it after that.
    """
    return _libc("prctl", _PR_SET_PDEATHSIG, number, 0, 0, 0) == 0


def leave_keyring() -> bool:
    """Join an empty session keyring: a change of user does not remove what is in the old one.

    An agent that a person started as root has that session's, with its tickets and keys; systemd
    gives a service one of its own.
    """
    number = _KEYCTL.get(os.uname().machine, -1) if sys.maxsize > _LARGEST_32 else -1
    return number >= 0 and _libc("syscall", number, _KEYCTL_JOIN_SESSION_KEYRING, 0) > 0


def signal_name(number: int) -> str:
    """The name of a signal: "KILL" for 9."""
    for name in dir(signal):
        if name.startswith("SIG") and name[3].isalpha() and getattr(signal, name) == number:
            return name[3:]
    return str(number)


def _libc(name: str, *arguments: int) -> int:
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
