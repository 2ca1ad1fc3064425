"""Behaviour cloning (docs/derivations-offline.md, "Behaviour cloning")."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from troupe.core.seeding import Generator
from troupe.learning.networks import Parameters
from troupe.learning.offline.actor import bounded, first_actor, log_likelihood
from troupe.learning.offline.bc_settings import BCSettings
from troupe.learning.offline.learner import Batch, Figures, Rule, Shape
from troupe.policies.mlp import Distribution


class State(NamedTuple):
    """Weights of the policy and its optimiser."""

    actor: Parameters
    optimiser: optax.OptState


def begin(settings: BCSettings, shape: Shape, rng: Generator) -> State:
    """Return a state with new weights."""
    actor = first_actor(settings, shape, rng)
    return State(actor, optax.adam(settings.step_size).init(actor))


def step(
    settings: BCSettings, distribution: Distribution, state: State, batch: Batch
) -> tuple[State, Figures, jax.Array]:
    """Take a gradient step towards the stored actions."""

    def loss(actor: Parameters) -> tuple[jax.Array, jax.Array]:
        log_prob = log_likelihood(actor, settings, distribution, batch)
        return -(batch.weight * log_prob).mean(), log_prob.mean()

    gradients, log_prob = jax.grad(loss, has_aux=True)(state.actor)
    changes, optimiser = optax.adam(settings.step_size).update(gradients, state.optimiser)
    actor = bounded(optax.apply_updates(state.actor, changes))
    return State(actor, optimiser), {"log_likelihood": log_prob}, jnp.zeros_like(batch.weight)


RULE = Rule(begin, step)
