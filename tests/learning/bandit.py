"""Small PPO learners, and steps of a bandit to learn from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from troupe.core.arrays import ArraySpec
from troupe.episodes import Fragment
from troupe.learning.ppo import PPO
from troupe.learning.ppo_settings import PPOSettings
from troupe.policies import MlpPolicy
from troupe.policies.base import ActionNoise

OBSERVATION = ArraySpec((3,), dtype=np.dtype(np.float32))
CONTINUOUS = ArraySpec((2,), low=np.asarray(-1.0), high=np.asarray(1.0))
DISCRETE = ArraySpec((), categories=4)
T, N = 16, 8
SMALL = PPOSettings(batch=T * N, minibatch=32, epochs=2, hidden=(16, 16))


def make_learner(
    settings: PPOSettings = SMALL, action: ArraySpec = CONTINUOUS, seed: int = 0, **changes: Any
) -> PPO:
    """Return a learner that has compiled nothing yet."""
    changed = PPOSettings(**{**settings.model_dump(), **changes})
    return changed.build(OBSERVATION, action, seed, num_updates=10)


def sample(
    policy: MlpPolicy,
    seed: int = 0,
    best: float = 0.3,
    shape: tuple[int, int] = (T, N),
    scale: float = 1.0,
    shift: float = 0.0,
) -> Fragment:
    """Return steps whose reward is highest for actions near `best`, or the last category."""
    num_steps, num_instances = shape
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((num_steps + 1, num_instances, 3))
    observation = (scale * normal + shift).astype(np.float32)
    noise = ActionNoise(seed, 0, num_instances, policy.noise_size)
    steps = [policy.act(observation[t], noise.draw()) for t in range(num_steps)]
    action = np.stack([step.action for step in steps])
    if action.ndim == 2:
        reward = (action == 3).astype(np.float32)
    else:
        reward = -np.abs(action - best).sum(axis=-1).astype(np.float32)
    ends = np.zeros(shape, np.bool_)
    integers = np.zeros(shape, np.int64)
    return Fragment(
        observation=observation,
        action=action,
        log_prob=np.stack([step.log_prob for step in steps]),
        reward=reward,
        terminated=~ends,
        truncated=ends,
        final_step=np.argwhere(~ends),
        final_observation=observation[1:].reshape(-1, 3),
        version=integers,
        time_ns=integers,
        instance=integers,
        episode=integers,
    )


def long_episodes(fragment: Fragment, seed: int = 0) -> Fragment:
    """Return the same steps with few ends of episodes, of both kinds."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, size=fragment.reward.shape, p=[0.8, 0.1, 0.1])
    final_step = np.argwhere(kind > 0)
    return replace(
        fragment,
        terminated=kind == 1,
        truncated=kind == 2,
        final_step=final_step,
        final_observation=rng.standard_normal((len(final_step), 3)).astype(np.float32),
    )
