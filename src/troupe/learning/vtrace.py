"""V-trace: what steps are worth to a policy other than the one that acted.

See docs/derivations.md, "V-trace".
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from troupe.learning.gae import sums_backward


def targets_and_advantages(
    reward: jax.Array,
    value: jax.Array,
    next_value: jax.Array,
    terminated: jax.Array,
    truncated: jax.Array,
    ratio: jax.Array,
    gamma: float,
    gae_lambda: float,
    rho_bar: float,
    c_bar: float,
) -> tuple[jax.Array, jax.Array]:
    """Return the targets of the values and the advantages, (T, N) each.

    ``target_t - V_t = rho_t delta_t + gamma c_t (target_(t+1) - V_(t+1))`` within an episode, with
    ``rho = min(ratio, rho_bar)`` and ``c = gae_lambda min(ratio, c_bar)``. Ends of episodes count
    as in `troupe.learning.gae`. The advantage of a step does not hold its own ratio: whoever uses
    it weighs the step with ``rho``, once.

    Args:
        reward: (T, N).
        value: of the observation before each step, (T, N).
        next_value: of the observation that each step led to, (T, N).
        terminated: (T, N).
        truncated: (T, N).
        ratio: probability of the action under the policy to judge, over that under the policy
            that acted, (T, N).
        gamma: discount of a step.
        gae_lambda: weight of longer estimates.
        rho_bar: where the ratio that weighs a step is cut: decides whose values are learned.
        c_bar: where the ratio that carries later steps back is cut: decides how fast.
    """
    delta = reward + gamma * next_value * ~terminated - value
    within = gamma * gae_lambda * ~(terminated | truncated)
    correction = sums_backward(
        jnp.minimum(ratio, rho_bar) * delta, within * jnp.minimum(ratio, c_bar)
    )
    following = jnp.concatenate([correction[1:], jnp.zeros_like(correction[:1])])
    return value + correction, delta + within * following
