"""The contract of a learner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from troupe.core.arrays import ArraySpec
from troupe.core.goals import Goals
from troupe.core.settings import Settings
from troupe.episodes import Fragment
from troupe.learning.weighting import UniformSettings, WeightingChoice, check_fit
from troupe.policies import MlpPolicy

Parameters = Mapping[str, npt.NDArray[Any]]
Weights = npt.NDArray[np.float32]


class Learner(Protocol):
    """Turns fragments into new versions of a policy.

    Attributes:
        version: of the newest policy, one more after each update.
    """

    version: int

    def policy(self) -> MlpPolicy:
        """Return the newest policy, in numpy, with its normalisation."""

    def prepare(self, num_steps: int, num_instances: int, weighted: bool = False) -> None:
        """Compile for fragments of this shape, so that the first update takes no longer."""

    def update(self, fragment: Fragment, weight: Weights | None = None) -> dict[str, float]:
        """Learn from a fragment and return figures of the update by name.

        Args:
            fragment: of steps, of this or older versions.
            weight: how much each step counts, (T, N), with mean 1 over real steps and 0 on
                padding; None if all count the same.
        """

    def priorities(self, fragment: Fragment) -> Weights:
        """Return how much each step surprises the present critic, (T, N)."""

    def parameters(self) -> dict[str, npt.NDArray[Any]]:
        """Return weights and the moments that they are relative to, to merge them with others'."""

    def aligned(self, models: Sequence[Parameters]) -> list[dict[str, npt.NDArray[Any]]]:
        """Return several learners' `parameters` relative to the same moments.

        Only then does an average of them mean something.
        """

    def adopt(self, parameters: Parameters) -> None:
        """Go on with other weights and moments; the optimiser and the version stay."""

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything that `restore` needs to go on bitwise the same."""

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state."""


class SharesGradients(Learner, Protocol):
    """A learner whose update several learners can make together, minibatch by minibatch."""

    def begin(self, fragment: Fragment, weight: Weights | None = None) -> Parameters:
        """Begin an update and return statistics, whose average over all learners `agree` takes."""

    def agree(self, statistics: Parameters) -> int:
        """Take up the statistics of all learners and return the number of minibatches.

        A learner that has begun no update, since it only applies what others find, has none.
        """

    def gradients(self, minibatch: int) -> Parameters:
        """Return the gradients of one minibatch at the present weights."""

    def apply(self, gradients: Parameters) -> None:
        """Take one step along gradients, own or averaged over all learners."""

    def finish(self) -> dict[str, float]:
        """End the update and return its figures by name."""


class AnyLearnerSettings(Settings):
    """What is asked of the settings of every learner, wherever its steps come from."""

    free_on_resume: ClassVar[frozenset[str]] = frozenset()
    """Keys that a run may change when it goes on, as `steps` of its experiment."""

    def run_steps(self, experiment_steps: int) -> int:
        """Return after how many steps a run ends.

        Args:
            experiment_steps: what the experiment says.
        """
        return experiment_steps


class LearnerSettings(AnyLearnerSettings):
    """What a user writes about a learner; subclasses add their own keys.

    Attributes:
        batch: steps of all instances together for one update.
        lag: 1 to sample with the policy before the newest while the newest is being learned, 0
            to do one after the other. Both are deterministic.
        weighting: how much each step counts: one weighting, or a list whose product counts.
    """

    has_priorities: ClassVar[bool] = True
    weighs_fragments: ClassVar[bool] = True
    """Whether the weighting is of what is sampled; else it is of what is drawn from a replay."""

    type: str
    batch: int
    lag: int
    weighting: WeightingChoice = (UniformSettings(),)

    @model_validator(mode="after")
    def _check_weighting(self) -> Self:
        check_fit(self.weighting, self.type, has_priorities=self.has_priorities)
        return self

    def build(
        self,
        observation: ArraySpec,
        action: ArraySpec,
        seed: int,
        num_updates: int,
        goals: Goals | None = None,
    ) -> Learner:
        """Return a new learner.

        Args:
            observation: of one instance.
            action: of one instance.
            seed: the root seed.
            num_updates: how many updates the run will have, for schedules.
            goals: of the task, if it has some that could be changed in hindsight.
        """
        raise NotImplementedError
