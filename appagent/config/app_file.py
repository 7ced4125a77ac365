"""The app's own appagent.yaml, which whoever can push decides.

So it is small, says little, and is never trusted: five keys, of which none says who runs what,
where, or how it goes over the fleet.
"""

from __future__ import annotations

from collections.abc import Mapping

from appagent.config.load import app_fields
from appagent.config.schema import OWN
from appagent.config.validate import ConfigErrors, Reader
from appagent.config.yaml_tree import Limits, TreeError, grow, printable
from appagent.model.settings import Rollout

_LIMITS = Limits(characters=64 * 1024, nodes=2000)
_NOT_ITS = f"is not the app's to say; it may say {', '.join(OWN.keys)}"


def parse_own(text: str, file: str) -> Mapping[str, object]:
    """Read an app's own settings as fields of AppSettings, or raise ConfigErrors.

    Timeouts are as the app wishes them; settings_for holds them to the node's.
    """
    try:
        tree, problems = grow(text, printable(file), _LIMITS)
    except TreeError as error:
        raise ConfigErrors([error.problem]) from None
    reader = Reader(not_here=_NOT_ITS)
    values = reader.table(tree, OWN)
    if problems or reader.problems:
        raise ConfigErrors([*problems, *reader.problems])
    return app_fields(values, Rollout())
