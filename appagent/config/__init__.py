"""The configuration: which settings a person may write, and what they come to.

- files.py: which files, their text
- tree.py: text → a bounded tree that knows its lines
- schema.py: every key: what it may hold, its default, what it is for
- values.py: what a single value may be
- reading.py: tree + schema → values, and everything that is wrong
- merge.py: several files as one
- load.py: → Settings
- locate.py: where the agent lives, also where the rest is wrong
- own.py: the app's own appagent.yaml
- users.py: whether the users it names exist here, for `check-config` and `doctor`
"""

from appagent.config.app_file import parse_own
from appagent.config.load import Loaded, Machine, load
from appagent.config.locate import Located, locate
from appagent.config.validate import ConfigErrors
from appagent.config.values import BadValueError, seconds

__all__ = [
    "BadValueError",
    "ConfigErrors",
    "Loaded",
    "Located",
    "Machine",
    "load",
    "locate",
    "parse_own",
    "seconds",
]
