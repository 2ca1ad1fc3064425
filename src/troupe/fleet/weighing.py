"""How much each step of a batch counts, from what the fleet knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.episodes import Fragment
from troupe.experiments.schema import Experiment
from troupe.learning.base import Learner, LearnerSettings, Weights
from troupe.learning.weighting import (
    StepRecords,
    Uniform,
    build_weighting,
    check_sample_size,
    summarise,
)


class Weigher:
    """Weighs batches as an experiment's learner says, and notes what came of it.

    Attributes:
        is_uniform: whether all steps count the same, so that there is nothing to do.
        alarm: what is wrong with the last weights; None if nothing is.
    """

    def __init__(self, experiment: Experiment, settings: LearnerSettings) -> None:
        """Begin without any history."""
        self._weighting = build_weighting(settings.weighting, experiment.seed)
        self._episode_steps = experiment.max_episode_steps
        self.is_uniform = isinstance(self._weighting, Uniform) or not settings.weighs_fragments
        self.alarm: str | None = None

    def weigh(
        self,
        fragment: Fragment,
        learner: Learner,
        version: int,
        owners: npt.NDArray[np.int64],
        progress: float,
    ) -> tuple[Weights, dict[str, float]]:
        """Return the weight of each step, (T, N), and figures by name.

        Args:
            fragment: the steps.
            learner: that tells priorities, where they are needed.
            version: newest one of the policy.
            owners: number of the worker that took each step, (T, N).
            progress: share of the run that is done.
        """
        priority = learner.priorities(fragment) if self._weighting.needs_priority else None
        trajectory, place = np.unique(
            np.stack([fragment.instance.ravel(), fragment.episode.ravel()]),
            axis=1,
            return_inverse=True,
        )
        # of pieces of different length, and of episodes that go on, the mean reward tells most
        num_steps = np.bincount(place, minlength=trajectory.shape[1])
        mean_reward = np.bincount(place, fragment.reward.ravel()) / num_steps
        records = StepRecords(
            lag=version - fragment.version.ravel(),
            source=owners.ravel(),
            trajectory=place,
            trajectory_return=(mean_reward * self._episode_steps)[place],
            observation=fragment.observation[:-1].reshape(fragment.num_steps, -1),
            priority=None if priority is None else priority.ravel(),
            progress=progress,
        )
        weights = self._weighting.weigh(records)
        summary = summarise(weights, records.source)
        self.alarm = check_sample_size(summary.sample_size)
        return weights.astype(np.float32).reshape(fragment.reward.shape), summary.figures()

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything that `restore` needs."""
        return self._weighting.state()

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state."""
        self._weighting.restore(state)
