"""The loss of PPO (docs/derivations.md, "Proximal policy optimisation")."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from troupe.learning.networks import Parameters, forward, log_prob_and_entropy
from troupe.learning.normalisation import weighted_mean
from troupe.learning.ppo_settings import PPOSettings
from troupe.policies.mlp import Distribution

MAX_LOG_RATIO = 10.0
"""Where logarithms of ratios are cut: beyond, clipping has decided, and exp would overflow."""


class Batch(NamedTuple):
    """What the loss needs of B steps, all with leading axis B.

    Attributes:
        observation: normalised.
        action: that was taken.
        log_prob: of the action under the policy that the clip range lies about.
        importance: weight of the surrogate, for steps of other policies; None for 1.
        advantage: of the action.
        target: of the critic, normalised.
        weight: of the step in all means; None for equal ones.
    """

    observation: jax.Array
    action: jax.Array
    log_prob: jax.Array
    importance: jax.Array | None
    advantage: jax.Array
    target: jax.Array
    weight: jax.Array | None = None

    def take(self, indices: jax.Array) -> Batch:
        """Return the steps of these indices; behind the last there are steps of weight 0."""

        def taken(values: jax.Array) -> jax.Array:
            if self.weight is None:
                return values[indices]
            return values.at[indices].get(mode="fill", fill_value=0)

        batch: Batch = jax.tree.map(taken, self)
        return batch


def loss_and_figures(
    parameters: Parameters, settings: PPOSettings, distribution: Distribution, batch: Batch
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return the clipped surrogate, value, entropy and divergence losses together."""
    weight = batch.weight
    output = forward(parameters, "actor", batch.observation, settings.activation)
    log_prob, entropy = log_prob_and_entropy(parameters, distribution, output, batch.action)
    log_ratio = jnp.clip(log_prob - batch.log_prob, -MAX_LOG_RATIO, MAX_LOG_RATIO)
    ratio = jnp.exp(log_ratio)
    advantage = batch.advantage
    if settings.normalise_advantages == "minibatch":
        advantage = standardised(advantage, weight)
    clipped = jnp.clip(ratio, 1 - settings.clip, 1 + settings.clip)
    surrogates = jnp.minimum(ratio * advantage, clipped * advantage)
    if batch.importance is not None:
        surrogates = batch.importance * surrogates
    surrogate = weighted_mean(surrogates, weight)
    value = forward(parameters, "critic", batch.observation, settings.activation)[:, 0]
    value_loss = 0.5 * weighted_mean((value - batch.target) ** 2, weight)
    kl = weighted_mean(ratio - 1 - log_ratio, weight)
    mean_entropy = weighted_mean(entropy, weight)
    loss = (
        -surrogate
        + settings.value_coefficient * value_loss
        - settings.entropy_coefficient * mean_entropy
        + settings.kl_coefficient * kl
    )
    return loss, {
        "policy_loss": -surrogate,
        "value_loss": value_loss,
        "entropy": mean_entropy,
        "kl": kl,
        "clipped": weighted_mean(jnp.abs(ratio - 1) > settings.clip, weight),
    }


def standardised(values: jax.Array, weight: jax.Array | None) -> jax.Array:
    """Return values (B,) less their mean, over their standard deviation."""
    mean = weighted_mean(values, weight)
    if weight is None:
        return (values - mean) / (values.std() + 1e-8)
    return (values - mean) / (jnp.sqrt(weighted_mean((values - mean) ** 2, weight)) + 1e-8)
