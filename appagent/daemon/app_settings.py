"""The apps' own appagent.yaml, parsed once for each text: parsing YAML costs more than a poll."""

from __future__ import annotations

from appagent import config
from appagent.model.seen import AppSeen

Own = tuple[dict[str, object], str]


class OwnSettings:
    """The own settings of the apps of a node; the last text of each app is kept."""

    def __init__(self) -> None:
        """Nothing has been read yet."""
        self._read: dict[str, tuple[str, Own]] = {}

    def of(self, seen: AppSeen) -> Own:
        """What the app's own appagent.yaml says, or what is wrong with it."""
        if seen.settings is None:
            return {}, ""
        text, own = self._read.get(seen.app, (None, None))
        if own is None or text != seen.settings:
            own = _parsed(seen.settings, f"{seen.release_dir}/appagent.yaml")
            self._read[seen.app] = (seen.settings, own)
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
