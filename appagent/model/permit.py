"""A permit: permission to begin one step of one version."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from appagent.model.words import Target, Version

ALONE = "alone"  # nobody else was asked: this node decides for itself


@dataclass(frozen=True, slots=True)
class Permit:
    """Permission to begin a step. It is held until the run is over, and then given back."""

    step: Target
    version: Version
    by: str  # who gave it: ALONE, or a name for the agreement with other nodes
    until: float = inf  # mono; a run may not begin under it later

    def allows(self, step: Target, version: Version, mono: float) -> bool:
        """Whether this step may begin now."""
        return (self.step, self.version) == (step, version) and mono < self.until
