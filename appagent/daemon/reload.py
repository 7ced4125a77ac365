"""The configuration in force. It is read again on SIGHUP, and taken as a whole or not at all.

One that is refused changes nothing: the agent keeps the one it has, and the log and `status` say
why.
"""

from __future__ import annotations

from collections.abc import Callable

from appagent import config
from appagent.daemon.loop import Loop
from appagent.model.events import Configured
from appagent.model.notices import NoticeKind
from appagent.model.settings import Settings
from appagent.report.sd_notify import Service
from appagent.state.directory import StateError

FIXED = ("state_dir", "runtime_dir")  # cannot change while the agent runs


class Configuration:
    """What the agent was told to do, and where it is written."""

    def __init__(
        self,
        loop: Loop,
        loaded: config.Loaded,
        path: str | None,
        service: Service,
        on_change: Callable[[], None],
    ) -> None:
        """`path` is the file that was named, None for the default."""
        self.loop = loop
        self.loaded = loaded
        self.path = path
        self.service = service
        self.on_change = on_change
        self.refused = ""  # why the newest one was not taken

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.loaded.settings

    def reload(self) -> None:
        """Read the configuration again; keep the old one if the new one is wrong."""
        self.service.reloading()
        try:
            loaded = self._read()
        except (config.ConfigErrors, StateError) as wrong:
            self.refused = str(wrong).replace("\n", "; ")
            self.loop.note(NoticeKind.CONFIG_REFUSED, error=self.refused)
        else:
            self._take(loaded)
        self.service.ready()

    def _read(self) -> config.Loaded:
        loaded = config.load(self.path)
        for name in FIXED:
            if getattr(loaded.settings, name) != getattr(self.settings, name):
                raise StateError(f"{name} cannot change while the agent runs: restart it")
        return loaded

    def _take(self, loaded: config.Loaded) -> None:
        self.refused, self.loaded = "", loaded
        self.loop.log.set_level(loaded.settings.log_level)
        for warning in loaded.warnings:
            self.loop.note(NoticeKind.CONFIG_WARNING, line=warning)
        self.loop.note(NoticeKind.CONFIG_LOADED, path=", ".join(loaded.files))
        self.loop.feed(Configured(loaded.settings))
        self.on_change()
