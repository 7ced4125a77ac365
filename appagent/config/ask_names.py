"""The child that asks the name service: names in as one JSON list, a line of JSON out for each.

It is run by its path, isolated, and imports nothing of ours; see users.py.
"""

from __future__ import annotations

import contextlib
import grp
import json
import pwd
import sys


def main() -> None:
    """Answer each name with [name, uid or null, whether a group has it], as soon as it is known."""
    for name in json.load(sys.stdin):
        uid, group = None, False
        with contextlib.suppress(KeyError, ValueError, OSError):
            uid = pwd.getpwnam(name).pw_uid
        with contextlib.suppress(KeyError, ValueError, OSError):
            group = bool(grp.getgrnam(name))
        sys.stdout.write(json.dumps([name, uid, group]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
