"""A time-major block of steps, each stamped with the policy that acted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

EpisodeTable = dict[str, npt.NDArray[Any]]
"""Columns over the episodes that ended, in the order of (step, instance)."""

EPISODE_FIELDS = {
    "step": np.int64,
    "instance": np.int64,
    "episode": np.int64,
    "return": np.float64,
    "length": np.int64,
    "truncated": np.bool_,
}
"""Columns that every episode table has; the task's final metrics follow."""


def no_episodes(metric_names: Iterable[str]) -> EpisodeTable:
    """Return the table without any row."""
    own: EpisodeTable = {name: np.empty(0, dtype) for name, dtype in EPISODE_FIELDS.items()}
    return own | {name: np.empty(0) for name in metric_names}


@dataclass(frozen=True)
class Fragment:
    """T steps of N instances.

    Attributes:
        observation: before each step, and after the last one, (T + 1, N, ...).
        action: (T, N, ...).
        log_prob: of the action under the policy that drew it, (T, N).
        reward: (T, N).
        terminated: the step ended the episode by itself, (T, N).
        truncated: the step was the last before a time limit or a fault, (T, N).
        final_step: where an episode ended, (K, 2) pairs of step and instance.
        final_observation: the last observations of those episodes, (K, ...), since
            ``observation`` goes on with the next episode's first.
        version: of the policy that acted, (T, N).
        time_ns: simulated time since the episode's begin, before the step, (T, N).
        instance: global id of the instance that stepped, (T, N).
        episode: number of that instance's episode, (T, N).
    """

    observation: npt.NDArray[Any]
    action: npt.NDArray[Any]
    log_prob: npt.NDArray[np.float32]
    reward: npt.NDArray[np.float32]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    final_step: npt.NDArray[np.int64]
    final_observation: npt.NDArray[Any]
    version: npt.NDArray[np.int64]
    time_ns: npt.NDArray[np.int64]
    instance: npt.NDArray[np.int64]
    episode: npt.NDArray[np.int64]

    @property
    def num_steps(self) -> int:
        """Steps of all instances together."""
        return int(self.reward.size)

    def next_observation(self) -> npt.NDArray[Any]:
        """Return the observations that the steps led to, (T, N, ...), the final ones included."""
        following = self.observation[1:].copy()
        steps, instances = self.final_step.T
        following[steps, instances] = self.final_observation
        return following

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays by name, for storage."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Fragment:
        """Return the fragment of stored arrays."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def join_instances(fragments: Sequence[Fragment]) -> Fragment:
    """Return fragments of the same length side by side, in the order of their instances."""
    if len(fragments) == 1:
        return fragments[0]
    offsets = np.cumsum([0, *(f.reward.shape[1] for f in fragments[:-1])])
    shifted = [f.final_step + [0, o] for f, o in zip(fragments, offsets, strict=True)]
    final_step = np.concatenate(shifted)
    order = np.lexsort(final_step.T[::-1])
    beside = {
        field.name: np.concatenate([getattr(f, field.name) for f in fragments], axis=1)
        for field in fields(Fragment)
        if not field.name.startswith("final")
    }
    final_observation = np.concatenate([f.final_observation for f in fragments])
    return Fragment(
        **beside, final_step=final_step[order], final_observation=final_observation[order]
    )
