"""The app's own appagent.yaml, which whoever can push decides.

So it is small and never trusted: five keys, none of which decides who runs what, where, or how it
is rolled out.
"""

from __future__ import annotations

from collections.abc import Mapping

from appagent.config.build import app_fields
from appagent.config.problems import ParseError, printable
from appagent.config.schema import APP_FILE
from appagent.config.validate import ConfigErrors, Validator
from appagent.config.yaml_tree import Limits, parse
from appagent.model.settings import Rollout

_LIMITS = Limits(characters=64 * 1024, values=2000, aliases=False)
_NOT_ALLOWED = f"cannot be set by the app; it can set {', '.join(APP_FILE.keys)}"


def parse_app_file(text: str, file: str) -> Mapping[str, object]:
    """Parse an app's own settings as fields of AppSettings, or raise ConfigErrors.

    Timeouts are as the app wants them; `settings_for` limits them to the node's.
    """
    try:
        tree, problems = parse(text, printable(file), _LIMITS)
    except ParseError as error:
        raise ConfigErrors([error.problem]) from None
    validator = Validator(not_allowed=_NOT_ALLOWED)
    values = validator.table(tree, APP_FILE)
    if problems or validator.problems:
        raise ConfigErrors([*problems, *validator.problems])
    return app_fields(values, Rollout())
