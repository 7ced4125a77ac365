"""Who permits the steps of this node's apps. Without other nodes to ask, the node itself does."""

from __future__ import annotations

from appagent.model.commands import AskPermit
from appagent.model.events import PermitGranted
from appagent.model.permit import ALONE, Permit


class LocalPermits:
    """Grants every permit at once, and knows which ones are held."""

    def __init__(self) -> None:
        self.held: set[tuple[str, Permit]] = set()

    def ask(self, asked: AskPermit) -> PermitGranted:
        """Answer for a step of an app."""
        permit = Permit(asked.step, asked.version, ALONE)
        self.held.add((asked.app, permit))
        return PermitGranted(asked.app, permit)

    def give_back(self, app: str, permit: Permit) -> None:
        """Take back what is not needed any more."""
        self.held.discard((app, permit))
