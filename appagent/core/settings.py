"""The settings of one app, from the three that may speak of it.

Later ones win: the node's defaults, the app's own appagent.yaml, the node's `apps.<name>`. An app
may shorten its timeouts and its grace and not lengthen them: a run holds a place that others wait
for. It speaks of nothing but the fields in OWN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from appagent.model.settings import AppSettings, Settings
from appagent.model.words import Target

# What an app may say of itself. Never who it runs as, where, or how it rolls out.
OWN = ("settle", "ignore", "timeout", "grace", "install")


def settings_for(settings: Settings, name: str, own: Mapping[str, object]) -> AppSettings:
    """Give the settings of the app `name`, whose own file says `own`."""
    said: dict[str, object] = {field: own[field] for field in OWN if field in own}
    if "timeout" in said:
        wished = cast("Mapping[Target, float]", said["timeout"])
        most = settings.defaults.timeout
        said["timeout"] = {target: min(wished[target], most[target]) for target in wished}
    if "grace" in said:
        said["grace"] = min(cast("float", said["grace"]), settings.defaults.grace)
    return laid_over(laid_over(settings.defaults, said), settings.apps.get(name, {}))


def laid_over(base: AppSettings, fields: Mapping[str, object]) -> AppSettings:
    """Lay some fields over whole settings; timeouts and limits are merged one by one."""
    changes: dict[str, Any] = dict(fields)
    if "timeout" in changes:
        changes["timeout"] = {**base.timeout, **changes["timeout"]}
    if "limits" in changes:
        changes["limits"] = {**base.limits, **changes["limits"]}
    return replace(base, **changes)
