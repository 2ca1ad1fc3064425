"""The contract of a learner that learns from stored episodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Protocol, Self

import numpy.typing as npt
from pydantic import Field, model_validator

from troupe.core.arrays import ArraySpec
from troupe.learning.base import AnyLearnerSettings
from troupe.learning.offline.stored import StoredEpisodes
from troupe.learning.weighting import UniformSettings, WeightingChoice, check_fit
from troupe.policies import MlpPolicy
from troupe.policies.mlp import Activation


class OfflineLearner(Protocol):
    """Turns stored episodes into better and better policies.

    Attributes:
        version: of the newest policy, one more after each update.
        num_transitions: that are learned from.
    """

    version: int
    num_transitions: int

    def prepare(self, num_steps: int) -> None:
        """Compile for that many gradient steps at a time, so that the first take no longer."""

    def policy(self) -> MlpPolicy:
        """Return the newest policy, in numpy, with its normalisation."""

    def update(self, num_steps: int, progress: float) -> dict[str, float]:
        """Take gradient steps and return the means of their figures by name.

        Args:
            num_steps: how many gradient steps.
            progress: share of the run that is done.
        """

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything that `restore` needs to go on bitwise the same."""

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state, with the same stored episodes."""


class OfflineSettings(AnyLearnerSettings):
    """What a user writes about a learner of stored episodes; subclasses add their own keys.

    Attributes:
        gradient_steps: after which training ends.
        minibatch: transitions for one gradient step.
        weighting: how often a transition is drawn: one weighting, or a list whose product counts.
        evaluate_every: gradient steps between two looks at how good the policy is, in 10
            deterministic episodes; 0 for none before the end.
        source: what tells an episode's source to weightings: a column of the store's view
            ``episodes``.
        step_size: of the gradient steps (Adam).
        normalise_observations: by the mean and deviation of the stored ones.
        hidden: widths of the hidden layers of all networks.
        activation: between layers.
    """

    free_on_resume: ClassVar[frozenset[str]] = frozenset({"gradient_steps"})
    has_priorities: ClassVar[bool] = False

    type: str
    gradient_steps: int = Field(20_000, ge=1)
    minibatch: int = Field(256, ge=1)
    weighting: WeightingChoice = (UniformSettings(),)
    evaluate_every: int = Field(1000, ge=0)
    source: str = "policy_version"
    step_size: float = Field(1e-3, gt=0)
    normalise_observations: bool = True
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (128, 128)
    activation: Activation = "relu"

    @model_validator(mode="after")
    def _check_weighting(self) -> Self:
        check_fit(self.weighting, self.type, has_priorities=self.has_priorities)
        return self

    def run_steps(self, experiment_steps: int) -> int:
        """Return after how many gradient steps a run ends, whatever the experiment says."""
        return self.gradient_steps

    def build(self, stored: StoredEpisodes, action: ArraySpec, seed: int) -> OfflineLearner:
        """Return a new learner.

        Args:
            stored: the episodes.
            action: of one instance.
            seed: the root seed, from which weights and the order of steps follow.

        Raises:
            UserError: if the episodes have no transition, or lack what a weighting needs.
        """
        raise NotImplementedError
