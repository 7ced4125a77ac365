"""A reload: the configuration is read again, and taken whole or not at all.

One that is refused changes nothing: the agent goes on with what it has, and says why in its log and
in `status`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appagent import config
from appagent.model.events import Configured
from appagent.model.notices import NoticeKind
from appagent.state.directory import StateError

if TYPE_CHECKING:
    from appagent.daemon.loop import Agent


def reload(agent: Agent) -> None:
    """Read the configuration again; keep the old one if the new one is bad."""
    agent.service.reloading()
    try:
        loaded = loaded_anew(agent)
    except (config.ConfigErrors, StateError) as wrong:
        agent.config_refused = str(wrong).replace("\n", "; ")
        agent.note(NoticeKind.CONFIG_REFUSED, error=agent.config_refused)
    else:
        take(agent, loaded)
    agent.service.ready()


def take(agent: Agent, loaded: config.Loaded) -> None:
    """Put a configuration in force."""
    agent.config_refused = ""
    agent.settings, agent.config_files = loaded.settings, loaded.files
    agent.log.set_level(loaded.settings.log_level)
    for warning in loaded.warnings:
        agent.note(NoticeKind.CONFIG_WARNING, line=warning)
    agent.note(NoticeKind.CONFIG_LOADED, path=", ".join(loaded.files))
    agent.feed(Configured(loaded.settings))
    agent.runner.keep_limits()


def loaded_anew(agent: Agent) -> config.Loaded:
    """Read the configuration as it is now; StateError where it moves the agent.

    Where the agent lives cannot change while it runs.
    """
    loaded = config.load(agent.config_path)
    for name in ("state_dir", "runtime_dir"):
        if getattr(loaded.settings, name) != getattr(agent.settings, name):
            raise StateError(f"{name} changes only with a restart of the agent")
    return loaded
