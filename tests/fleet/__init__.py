"""A fleet of real servers on one Linux machine, for the tests and for people.

Each host has real systemd as its first process, its own network and its own disk; the file servers
carry a GlusterFS volume, the app servers mount it and run appagent as a service. See `Fleet`.
"""

from .fleet import Fleet, Shape
from .host import CommandFailed, CommandHung, Done, Host
from .wait import TookTooLong, wait_until

__all__ = [
    "CommandFailed",
    "CommandHung",
    "Done",
    "Fleet",
    "Host",
    "Shape",
    "TookTooLong",
    "wait_until",
]
