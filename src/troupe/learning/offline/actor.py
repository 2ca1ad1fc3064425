"""What all rules share of the policy: its first weights, and how it is fitted to actions."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from troupe.core.arrays import ArraySpec
from troupe.core.seeding import Generator
from troupe.learning.networks import (
    Parameters,
    forward,
    initial_parameters,
    log_prob_and_entropy,
)
from troupe.learning.offline.base import OfflineSettings
from troupe.learning.offline.learner import Batch, Shape
from troupe.policies.mlp import LOG_STD_RANGE, Distribution


def first_actor(settings: OfflineSettings, shape: Shape, rng: Generator) -> Parameters:
    """Return weights of a policy that at first acts alike everywhere."""
    observation = ArraySpec((shape.num_observations,))
    both = initial_parameters(
        observation, shape.action, shape.distribution, settings.hidden, 1.0, rng
    )
    return {name: jnp.asarray(v) for name, v in both.items() if not name.startswith("critic")}


def log_likelihood(
    actor: Parameters, settings: OfflineSettings, distribution: Distribution, batch: Batch
) -> jax.Array:
    """Return the logarithm of the probability of each stored action, (B,)."""
    output = forward(actor, "actor", batch.observation, settings.activation)
    log_prob, _ = log_prob_and_entropy(actor, distribution, output, batch.action)
    return log_prob


def bounded(actor: Parameters) -> Parameters:
    """Return the weights with deviations in their range, else actions that never vary end all."""
    if "log_std" not in actor:
        return actor
    return {**actor, "log_std": jnp.clip(actor["log_std"], *LOG_STD_RANGE)}
