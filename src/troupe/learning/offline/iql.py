"""Implicit Q-learning (docs/derivations-offline.md, "Implicit Q-learning")."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from troupe.core.arrays import ArraySpec
from troupe.core.seeding import Generator
from troupe.learning.networks import Parameters, forward, initial_parameters
from troupe.learning.offline.actor import bounded, first_actor, log_likelihood
from troupe.learning.offline.iql_settings import IQLSettings
from troupe.learning.offline.learner import Batch, Figures, Rule, Shape
from troupe.learning.sac_networks import initial_critics, values
from troupe.policies.mlp import Distribution


class State(NamedTuple):
    """All that gradient steps change.

    Attributes:
        actor: weights of the policy.
        value: weights of the states' value.
        critics: weights of the actions' values.
        targets: the critics' running means.
        optimisers: of actor, value and critics.
    """

    actor: Parameters
    value: Parameters
    critics: Parameters
    targets: Parameters
    optimisers: tuple[optax.OptState, optax.OptState, optax.OptState]


def begin(settings: IQLSettings, shape: Shape, rng: Generator) -> State:
    """Return a state with new weights."""
    observation, one = ArraySpec((shape.num_observations,)), ArraySpec((1,))
    num_actions = shape.action.categories or int(np.prod(shape.action.shape))
    actor = first_actor(settings, shape, rng)
    both = initial_parameters(observation, one, "normal", settings.hidden, 1.0, rng)
    value = {name: jnp.asarray(v) for name, v in both.items() if name.startswith("critic")}
    num_inputs = shape.num_observations + num_actions
    drawn = initial_critics(num_inputs, settings.critics, settings.hidden, rng)
    critics = {name: jnp.asarray(v) for name, v in drawn.items()}
    optimiser = optax.adam(settings.step_size)
    return State(
        actor=actor,
        value=value,
        critics=critics,
        targets={name: array.copy() for name, array in critics.items()},
        optimisers=(optimiser.init(actor), optimiser.init(value), optimiser.init(critics)),
    )


def step(
    settings: IQLSettings, distribution: Distribution, state: State, batch: Batch
) -> tuple[State, Figures, jax.Array]:
    """Take a gradient step of the value, then one of the policy and one of the critics."""
    optimiser = optax.adam(settings.step_size)
    of_actor, of_value, of_critics = state.optimisers
    target = action_values(settings, distribution, state.targets, batch).min(axis=0)

    # the value of states
    def value_loss(parameters: Parameters) -> jax.Array:
        error = target - state_values(settings, parameters, batch.observation)
        return (batch.weight * expectile_loss(error, settings.expectile)).mean()

    loss_of_value, gradients = jax.value_and_grad(value_loss)(state.value)
    changes, of_value = optimiser.update(gradients, of_value)
    value = optax.apply_updates(state.value, changes)

    # the policy
    said = state_values(settings, value, batch.observation)
    counts = advantage_weights(settings, target - said)

    def actor_loss(actor: Parameters) -> jax.Array:
        log_prob = log_likelihood(actor, settings, distribution, batch)
        return -(batch.weight * counts * log_prob).mean()

    changes, of_actor = optimiser.update(jax.grad(actor_loss)(state.actor), of_actor)
    actor = bounded(optax.apply_updates(state.actor, changes))

    # the critics
    following = state_values(settings, value, batch.next_observation)
    wanted = batch.reward + batch.discount * following

    def critic_loss(critics: Parameters) -> tuple[jax.Array, jax.Array]:
        error = action_values(settings, distribution, critics, batch) - wanted
        return (batch.weight * error**2).mean(axis=1).sum(), jnp.abs(error.mean(axis=0))

    (loss_of_critics, errors), gradients = jax.value_and_grad(critic_loss, has_aux=True)(
        state.critics
    )
    changes, of_critics = optimiser.update(gradients, of_critics)
    critics = optax.apply_updates(state.critics, changes)
    figures = {
        "value_loss": loss_of_value,
        "critic_loss": loss_of_critics,
        "td_error": errors.mean(),
        "value": said.mean(),
        "advantage": (target - said).mean(),
        "advantage_weight": counts.mean(),
    }
    learned = State(
        actor=actor,
        value=value,
        critics=critics,
        targets=optax.incremental_update(critics, state.targets, 1 - settings.polyak),
        optimisers=(of_actor, of_value, of_critics),
    )
    return learned, figures, errors


def expectile_loss(error: jax.Array, expectile: float) -> jax.Array:
    """Return |expectile - 1(error < 0)| error², whose minimum is at the expectile of a sample."""
    return jnp.where(error < 0, 1 - expectile, expectile) * error**2


def advantage_weights(settings: IQLSettings, advantage: jax.Array) -> jax.Array:
    """Return what stored actions count when they are imitated, (B,)."""
    raised = jnp.exp(settings.inverse_temperature * advantage)
    return jnp.minimum(raised, settings.max_advantage_weight)


def state_values(
    settings: IQLSettings, parameters: Parameters, observation: jax.Array
) -> jax.Array:
    """Return V of observations, (B,)."""
    return forward(parameters, "critic", observation, settings.activation)[:, 0]


def action_values(
    settings: IQLSettings, distribution: Distribution, critics: Parameters, batch: Batch
) -> jax.Array:
    """Return what critics say of the stored actions, (critics, B); categories are one-hot."""
    action = batch.action
    if distribution == "categorical":
        num_inputs = critics["critic.0.weight"].shape[1]
        action = jax.nn.one_hot(action, num_inputs - batch.observation.shape[1])
    return values(
        critics, batch.observation, action, settings.activation, settings.critic_layer_norm
    )


RULE = Rule(begin, step)
