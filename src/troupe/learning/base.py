"""The contract of a learner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy.typing as npt

from troupe.core.arrays import ArraySpec
from troupe.core.settings import Settings
from troupe.episodes import Fragment
from troupe.policies import MlpPolicy


class Learner(Protocol):
    """Turns fragments into new versions of a policy."""

    def policy(self) -> MlpPolicy:
        """Return the newest policy, in numpy, with its normalisation."""

    def prepare(self, num_steps: int, num_instances: int) -> None:
        """Compile for fragments of this shape, so that the first update takes no longer."""

    def update(self, fragment: Fragment) -> dict[str, float]:
        """Learn from a fragment and return figures of the update by name."""

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything that `restore` needs to go on bitwise the same."""

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state."""


class LearnerSettings(Settings):
    """What a user writes about a learner; subclasses add their own keys.

    Attributes:
        batch: steps of all instances together for one update.
        lag: 1 to sample with the policy before the newest while the newest is being learned, 0
            to do one after the other. Both are deterministic.
    """

    type: str
    batch: int
    lag: int

    def build(
        self, observation: ArraySpec, action: ArraySpec, seed: int, num_updates: int
    ) -> Learner:
        """Return a new learner.

        Args:
            observation: of one instance.
            action: of one instance.
            seed: the root seed.
            num_updates: how many updates the run will have, for schedules.
        """
        raise NotImplementedError
