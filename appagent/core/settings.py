"""The settings of one app, merged from three sources.

Later ones win: the node's defaults, the app's own appagent.yaml, the node's `apps.<name>`. An app
may shorten its timeouts and its grace but not lengthen them: its runs use a slot that other apps
wait for. It can set nothing but the fields in OWN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from appagent.model.settings import AppSettings, Settings
from appagent.model.words import Target

# What an app may set itself. Never who it runs as, where, or how it rolls out.
OWN = ("settle", "ignore", "timeout", "grace", "install")


def settings_for(settings: Settings, name: str, own: Mapping[str, object]) -> AppSettings:
    """The settings of the app `name`; `own` are those of its own file, by field."""
    allowed: dict[str, object] = {field: own[field] for field in OWN if field in own}
    if "timeout" in allowed:
        wished = cast("Mapping[Target, float]", allowed["timeout"])
        most = settings.defaults.timeout
        allowed["timeout"] = {target: min(wished[target], most[target]) for target in wished}
    if "grace" in allowed:
        allowed["grace"] = min(cast("float", allowed["grace"]), settings.defaults.grace)
    return laid_over(laid_over(settings.defaults, allowed), settings.apps.get(name, {}))


def laid_over(base: AppSettings, fields: Mapping[str, object]) -> AppSettings:
    """Lay some fields over whole settings; timeouts and limits are merged one by one."""
    changes: dict[str, Any] = dict(fields)
    if "timeout" in changes:
        changes["timeout"] = {**base.timeout, **changes["timeout"]}
    if "limits" in changes:
        changes["limits"] = {**base.limits, **changes["limits"]}
    return replace(base, **changes)
