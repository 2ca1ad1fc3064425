"""Fragments made by hand for tests of what learns from them."""

import numpy as np

from troupe.core.arrays import ArraySpec
from troupe.episodes import Fragment

OBSERVATION = ArraySpec((2,), dtype=np.dtype(np.float32))
ACTION = ArraySpec((1,), low=np.asarray(-1.0), high=np.asarray(1.0))


def walk(
    first_step: int = 0,
    num_steps: int = 4,
    num_instances: int = 2,
    episode_steps: int = 3,
    version: int = 0,
) -> Fragment:
    """Instances whose observation is (steps of the run, instance); all episodes are truncated."""
    t = first_step + np.arange(num_steps + 1)
    shape = (num_steps, num_instances)
    instance = np.broadcast_to(np.arange(num_instances), shape)
    step = np.broadcast_to(t[:-1, None], shape)
    observation = np.empty((num_steps + 1, num_instances, 2), np.float32)
    observation[..., 0] = t[:, None]
    observation[..., 1] = np.arange(num_instances)
    truncated = step % episode_steps == episode_steps - 1
    final_step = np.argwhere(truncated)
    following = observation[1:].copy()
    following[..., 0] += 0.5 * truncated
    return Fragment(
        observation=observation,
        action=np.full((*shape, 1), 0.25, np.float32),
        log_prob=np.full(shape, -0.5, np.float32),
        reward=step.astype(np.float32),
        terminated=np.zeros(shape, np.bool_),
        truncated=truncated,
        final_step=final_step,
        final_observation=following[final_step[:, 0], final_step[:, 1]],
        version=np.full(shape, version, np.int64),
        time_ns=(step % episode_steps) * 20_000_000,
        instance=instance.copy(),
        episode=step // episode_steps,
    )
