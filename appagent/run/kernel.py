"""The kernel's calls that a run needs, reached without the modules that would make it slow.

Every run starts one small Python process. Of the 30 ms that it may cost, `signal` (which imports
`enum`) would take 6, so its C half is used where that is there, and the module where it is not.
"""

from __future__ import annotations

from appagent.prctl import adopt_orphans, die_with_parent, prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    try:
        import _signal as signal
    except ImportError:
        import signal

__all__ = ["adopt_orphans", "die_with_parent", "prctl", "signal", "signal_name"]


def signal_name(number: int) -> str:
    """Give "KILL" for 9."""
    for name in dir(signal):
        if name.startswith("SIG") and name[3].isalpha() and getattr(signal, name) == number:
            return name[3:]
    return str(number)
