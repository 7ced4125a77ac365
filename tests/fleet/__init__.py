"""A fleet of real servers on one Linux machine, for the tests and for people.

Each host has real systemd as its first process, its own network and its own disk; the file servers
carry a GlusterFS volume, the app servers mount it and run appagent as a service. See `Fleet`.
"""

from .developer import Developer, Noted, app_files, noted
from .fleet import Fleet, Shape
from .host import CommandFailed, CommandHung, Done, Host
from .wait import TookTooLong, wait_until

__all__ = [
    "CommandFailed",
    "CommandHung",
    "Developer",
    "Done",
    "Fleet",
    "Host",
    "Noted",
    "Shape",
    "TookTooLong",
    "app_files",
    "noted",
    "wait_until",
]
