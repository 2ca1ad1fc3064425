"""What a user writes about behaviour cloning; importable without JAX."""

from __future__ import annotations

from typing import Literal

from troupe.core.arrays import ArraySpec
from troupe.learning.offline.base import OfflineLearner, OfflineSettings
from troupe.learning.offline.stored import StoredEpisodes


class BCSettings(OfflineSettings):
    """Behaviour cloning: what was done is imitated, the better the higher its weight."""

    type: Literal["bc"] = "bc"

    def build(self, stored: StoredEpisodes, action: ArraySpec, seed: int) -> OfflineLearner:
        """Return a new learner with weights drawn from the seed.

        Raises:
            UserError: if the episodes have no transition, or lack what a weighting needs.
        """
        from troupe.learning.offline.bc import RULE
        from troupe.learning.offline.learner import GradientLearner

        return GradientLearner(self, RULE, stored, action, seed, gamma=1.0)
