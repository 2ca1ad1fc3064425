"""Stored episodes made by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from troupe.core.arrays import ArraySpec
from troupe.learning.offline.stored import StoredEpisodes

ACTION = ArraySpec((1,), low=np.asarray(-1.0), high=np.asarray(1.0))


def stored(
    lengths: Sequence[int],
    reward: Sequence[float],
    *,
    terminated: Sequence[bool] | None = None,
    faulty: Sequence[bool] | None = None,
    decides: Sequence[bool] | None = None,
    observation: Any = None,
    next_observation: Any = None,
    action: Any = None,
    **about: Any,
) -> StoredEpisodes:
    """Episodes whose observations count the steps of all, unless they are given."""
    num, steps = len(lengths), sum(lengths)
    count = np.arange(steps, dtype=np.float32)[:, None]
    return StoredEpisodes(
        ids=[f"episode-{i}" for i in range(num)],
        about={name: np.asarray(values) for name, values in about.items()},
        length=np.asarray(lengths),
        terminated=np.zeros(num, np.bool_) if terminated is None else np.asarray(terminated),
        faulty=np.zeros(num, np.bool_) if faulty is None else np.asarray(faulty),
        observation=count if observation is None else np.asarray(observation, np.float32),
        next_observation=count + 1
        if next_observation is None
        else np.asarray(next_observation, np.float32),
        action=count / steps if action is None else np.asarray(action),
        reward=np.asarray(reward, np.float32),
        decides=np.ones(steps, np.bool_) if decides is None else np.asarray(decides),
    )


def random_walks(num: int = 6, length: int = 10, seed: int = 0, **about: Any) -> StoredEpisodes:
    """Random episodes of one component, some of which terminate."""
    rng = np.random.default_rng(seed)
    steps = num * length
    return stored(
        [length] * num,
        rng.normal(size=steps),
        terminated=rng.random(num) < 0.5,
        observation=rng.normal(2.0, 3.0, (steps, 2)),
        next_observation=rng.normal(2.0, 3.0, (steps, 2)),
        action=rng.uniform(-1, 1, (steps, 1)).astype(np.float32),
        **about,
    )
