"""The kernel's calls that a run needs, reached without the modules that would make it slow.

Every run starts one small Python process. Of the 30 ms that it may cost, `signal` (which imports
`enum`) would take 6, so its C half is used where that is there, and the module where it is not.
"""

from __future__ import annotations

import os
import sys

from appagent.host.prctl import adopt_orphans, die_with_parent, libc, prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    try:
        import _signal as signal
    except ImportError:
        import signal

_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}
_KEYCTL_JOIN_SESSION_KEYRING = 1
_LARGEST_32 = 2**31 - 1  # sys.maxsize of a 32-bit process, whose calls have other numbers

__all__ = ["adopt_orphans", "die_with_parent", "leave_keyring", "prctl", "signal", "signal_name"]


def leave_keyring() -> bool:
    """Join an empty session keyring: a change of user does not remove what is in the old one.

    An agent that a person started as root has that session's, with its tickets and keys; systemd
    gives a service one of its own.
    """
    number = _KEYCTL.get(os.uname().machine, -1) if sys.maxsize > _LARGEST_32 else -1
    return number >= 0 and libc("syscall", number, _KEYCTL_JOIN_SESSION_KEYRING, 0) > 0


def signal_name(number: int) -> str:
    """The name of a signal: "KILL" for 9."""
    for name in dir(signal):
        if name.startswith("SIG") and name[3].isalpha() and getattr(signal, name) == number:
            return name[3:]
    return str(number)
