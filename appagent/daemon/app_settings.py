"""The apps' own appagent.yaml, read once for each text: reading YAML costs more than a look."""

from __future__ import annotations

from appagent import config
from appagent.model.seen import AppSeen

Own = tuple[dict[str, object], str]


class OwnSettings:
    """What the apps of a node say of themselves; the last text of each app is kept."""

    def __init__(self) -> None:
        """Nothing has been read yet."""
        self._read: dict[str, tuple[str, Own]] = {}

    def of(self, look: AppSeen) -> Own:
        """What the app's own appagent.yaml says, or what is wrong with it."""
        if look.settings is None:
            return {}, ""
        text, own = self._read.get(look.app, (None, None))
        if own is None or text != look.settings:
            own = _parsed(look.settings, f"{look.release_dir}/appagent.yaml")
            self._read[look.app] = (look.settings, own)
        return own

    def drop(self, app: str) -> None:
        """The app is gone."""
        self._read.pop(app, None)

    def __len__(self) -> int:
        """How many apps something is kept of."""
        return len(self._read)


def _parsed(text: str, file: str) -> Own:
    try:
        return dict(config.parse_app_file(text, file)), ""
    except config.ConfigErrors as wrong:
        return {}, "; ".join(wrong.errors[:3])
