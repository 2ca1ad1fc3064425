"""What a user writes about implicit Q-learning; importable without JAX."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from troupe.core.arrays import ArraySpec
from troupe.learning.offline.base import OfflineLearner, OfflineSettings
from troupe.learning.offline.stored import StoredEpisodes


class IQLSettings(OfflineSettings):
    """Implicit Q-learning (Kostrikov et al., 2021): of what was done, the good is imitated.

    Attributes:
        gamma: discount of a step.
        expectile: of the values of stored actions that counts as the value of a state; 0.5 is
            their mean, towards 1 it is the best of them.
        inverse_temperature: of the advantages; 0 imitates all actions alike, the higher the more
            only the best ones.
        max_advantage_weight: what an action counts at most.
        polyak: share of the target networks that a gradient step keeps.
        critics: how many; the least of their values counts.
        critic_layer_norm: whether the critics' hidden layers are normalised.
        reward_scale: factor of the rewards; default: the one with which the best and the worst
            episode differ by 1 for each step.
    """

    has_priorities: ClassVar[bool] = True

    type: Literal["iql"] = "iql"
    gamma: float = Field(0.99, ge=0, le=1)
    expectile: float = Field(0.7, gt=0, lt=1)
    inverse_temperature: float = Field(3.0, ge=0)
    max_advantage_weight: float = Field(100.0, gt=0)
    polyak: float = Field(0.995, ge=0, lt=1)
    critics: int = Field(2, ge=1)
    critic_layer_norm: bool = False
    reward_scale: float | None = Field(None, gt=0)

    def build(self, stored: StoredEpisodes, action: ArraySpec, seed: int) -> OfflineLearner:
        """Return a new learner with weights drawn from the seed.

        Raises:
            UserError: if the episodes have no transition, or lack what a weighting needs.
        """
        from troupe.learning.offline.iql import RULE
        from troupe.learning.offline.learner import GradientLearner

        scale = stored.reward_scale() if self.reward_scale is None else self.reward_scale
        return GradientLearner(self, RULE, stored, action, seed, self.gamma, scale)
