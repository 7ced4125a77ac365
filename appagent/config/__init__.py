"""The configuration: which settings a person may write, and the Settings that they make.

- files.py: which files, their text
- yaml_tree.py: text → a bounded tree with the line of every value
- schema.py: every key: what it may hold, its default, what it does
- values.py: what a single value may be
- validate.py: tree + schema → values, and everything that is wrong (problems.py)
- merge.py: several files as one
- build.py: the merged tree → Settings
- load.py: all of this together
- effective.py: the configuration in force as YAML, with the origin of each value
- locate.py: the directories of the agent, also where the rest is wrong
- app_file.py: the app's own appagent.yaml
- users.py: whether the users it names exist here, for `check-config` and `doctor`
"""

from appagent.config.app_file import parse_app_file
from appagent.config.build import Machine
from appagent.config.effective import effective, planned
from appagent.config.load import Loaded, load
from appagent.config.locate import Located, locate
from appagent.config.validate import ConfigErrors
from appagent.config.values import BadValueError, seconds

__all__ = [
    "BadValueError",
    "ConfigErrors",
    "Loaded",
    "Located",
    "Machine",
    "effective",
    "load",
    "locate",
    "parse_app_file",
    "planned",
    "seconds",
]
