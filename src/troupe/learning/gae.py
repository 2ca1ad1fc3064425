"""Generalised advantage estimation (docs/derivations.md, "Generalised advantage estimation")."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def advantages(
    reward: jax.Array,
    value: jax.Array,
    next_value: jax.Array,
    terminated: jax.Array,
    truncated: jax.Array,
    gamma: float,
    gae_lambda: float,
) -> jax.Array:
    """Return the advantages of steps, (T, N).

    A_t = delta_t + gamma lambda A_(t+1) within an episode, where
    delta_t = r_t + gamma V(s_(t+1)) - V(s_t), and V(s_(t+1)) counts as 0 only where the episode
    terminated: a truncated one would have gone on.

    Args:
        reward: (T, N).
        value: of the observation before each step, (T, N).
        next_value: of the observation that each step led to, (T, N).
        terminated: (T, N).
        truncated: (T, N).
        gamma: discount of a step.
        gae_lambda: weight of longer estimates.
    """
    delta = reward + gamma * next_value * ~terminated - value
    decay = gamma * gae_lambda * ~(terminated | truncated)
    return sums_backward(delta, decay)


def sums_backward(values: jax.Array, decay: jax.Array) -> jax.Array:
    """Return S_t = values_t + decay_t S_(t+1), (T, N), with S_T = 0."""

    def backward(
        following: jax.Array, step: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        current = step[0] + step[1] * following
        return current, current

    _, sums = jax.lax.scan(backward, jnp.zeros_like(values[0]), (values, decay), reverse=True)
    return sums
