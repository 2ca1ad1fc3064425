"""The gradient steps of SAC, many in one compiled call (docs/derivations-sac.md)."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from troupe.learning.networks import Parameters
from troupe.learning.normalisation import Running
from troupe.learning.sac_networks import draw_actions, taken_up, values
from troupe.learning.sac_settings import SACSettings

Figures = dict[str, jax.Array]


class State(NamedTuple):
    """All that gradient steps change.

    Attributes:
        actor: its weights.
        critics: their weights.
        targets: the critics' running means, which give the targets.
        log_temperature: of the entropy.
        actor_optimiser: of actor and temperature.
        critic_optimiser: of the critics.
        observations: moments.
        steps: gradient steps so far.
    """

    actor: Parameters
    critics: Parameters
    targets: Parameters
    log_temperature: jax.Array
    actor_optimiser: optax.OptState
    critic_optimiser: optax.OptState
    observations: Running
    steps: jax.Array


class Batch(NamedTuple):
    """Steps to learn from, with leading axes (G, B): G gradient steps of B steps each."""

    observation: jax.Array
    action: jax.Array
    reward: jax.Array
    next_observation: jax.Array
    terminated: jax.Array
    weight: jax.Array


def initial_state(
    settings: SACSettings, actor: Parameters, critics: Parameters, num_observations: int
) -> State:
    """Return a state with new weights."""
    log_temperature = jnp.log(jnp.asarray(settings.initial_temperature, jnp.float32))
    optimiser = _optimiser(settings)
    return State(
        actor=actor,
        critics=critics,
        targets={name: array.copy() for name, array in critics.items()},
        log_temperature=log_temperature,
        actor_optimiser=optimiser.init((actor, log_temperature)),
        critic_optimiser=optimiser.init(critics),
        observations=Running.empty((num_observations,)),
        steps=jnp.zeros((), jnp.int32),
    )


@partial(jax.jit, donate_argnums=0)
def see(state: State, observations: Running) -> State:
    """Take new moments of observations, and leave the networks as they are."""
    old = state.observations
    return state._replace(
        actor=taken_up(state.actor, "actor", old, observations),
        critics=taken_up(state.critics, "critic", old, observations),
        targets=taken_up(state.targets, "critic", old, observations),
        observations=observations,
    )


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def gradient_steps(
    settings: SACSettings, state: State, batch: Batch, key: jax.Array
) -> tuple[State, Figures, jax.Array]:
    """Take G gradient steps; return also the means of figures, and |TD| of each step, (G, B)."""
    normalise = state.observations.normalised
    batch = batch._replace(
        observation=normalise(batch.observation),
        next_observation=normalise(batch.next_observation),
        reward=batch.reward * settings.reward_scale,
    )
    state, (figures, errors) = jax.lax.scan(partial(_step, settings, key), state, batch)
    return state, {name: array.mean() for name, array in figures.items()}, errors


@partial(jax.jit, static_argnums=0)
def td_errors(settings: SACSettings, state: State, batch: Batch, key: jax.Array) -> jax.Array:
    """Return |TD| of the critics' mean in the units of the critics, (B,); no leading G here."""
    normalise = state.observations.normalised
    observation, following = normalise(batch.observation), normalise(batch.next_observation)
    batch = batch._replace(next_observation=following, reward=batch.reward * settings.reward_scale)
    target = _targets(settings, state, batch, key)
    said = values(
        state.critics, observation, batch.action, settings.activation, settings.critic_layer_norm
    )
    return jnp.abs(said.mean(axis=0) - target)


def _optimiser(settings: SACSettings) -> optax.GradientTransformation:
    return optax.adam(settings.step_size)


def _step(
    settings: SACSettings, key: jax.Array, state: State, batch: Batch
) -> tuple[State, tuple[Figures, jax.Array]]:
    """Take one gradient step of the critics, and in its turn one of actor and temperature."""
    keys = jax.random.split(jax.random.fold_in(key, state.steps), 4)

    # critics
    target = _targets(settings, state, batch, keys[0])
    gradients, (critic_loss, errors, value) = jax.grad(_critic_loss, has_aux=True)(
        state.critics, settings, batch, target, keys[1]
    )
    optimiser = _optimiser(settings)
    changes, critic_optimiser = optimiser.update(gradients, state.critic_optimiser)
    critics = optax.apply_updates(state.critics, changes)
    targets = optax.incremental_update(critics, state.targets, 1 - settings.polyak)
    state = state._replace(critics=critics, targets=targets, critic_optimiser=critic_optimiser)

    # actor and temperature
    def learn(state: State) -> tuple[State, jax.Array]:
        parameters = (state.actor, state.log_temperature)
        gradients, entropy = jax.grad(_actor_loss, has_aux=True)(
            parameters, settings, state.critics, batch, (keys[2], keys[3])
        )
        changes, actor_optimiser = optimiser.update(gradients, state.actor_optimiser)
        actor, log_temperature = optax.apply_updates(parameters, changes)
        learned = state._replace(
            actor=actor, log_temperature=log_temperature, actor_optimiser=actor_optimiser
        )
        return learned, entropy

    if settings.actor_every == 1:
        state, entropy = learn(state)
    else:
        is_turn = (state.steps + 1) % settings.actor_every == 0
        state, entropy = jax.lax.cond(is_turn, learn, lambda s: (s, jnp.zeros(())), state)
        entropy = entropy * settings.actor_every * is_turn
    figures = {
        "critic_loss": critic_loss,
        "value": value,
        "entropy": entropy,
        "temperature": jnp.exp(state.log_temperature),
        "td_error": errors.mean(),
    }
    return state._replace(steps=state.steps + 1), (figures, errors)


def _targets(settings: SACSettings, state: State, batch: Batch, key: jax.Array) -> jax.Array:
    """Return r + gamma (1 - terminated) (least Q' of the next action - temperature log pi)."""
    drawing, dropping = jax.random.split(key)
    noise = jax.random.normal(drawing, batch.action.shape)
    action, log_prob = draw_actions(state.actor, batch.next_observation, settings.activation, noise)
    following = values(
        state.targets,
        batch.next_observation,
        action,
        settings.activation,
        settings.critic_layer_norm,
        settings.critic_dropout,
        dropping,
    ).min(axis=0)
    soft = following - jnp.exp(state.log_temperature) * log_prob
    return batch.reward + settings.gamma * ~batch.terminated * soft


def _critic_loss(
    critics: Parameters, settings: SACSettings, batch: Batch, target: jax.Array, key: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
    said = values(
        critics,
        batch.observation,
        batch.action,
        settings.activation,
        settings.critic_layer_norm,
        settings.critic_dropout,
        key,
    )
    error = said - target
    loss = 0.5 * (batch.weight * error**2).mean(axis=1).sum()
    return loss, (loss, jnp.abs(error.mean(axis=0)), said.mean())


def _actor_loss(
    parameters: tuple[Parameters, jax.Array],
    settings: SACSettings,
    critics: Parameters,
    batch: Batch,
    keys: tuple[jax.Array, jax.Array],
) -> tuple[jax.Array, jax.Array]:
    """Return the losses of actor and temperature, of which neither sees the other's gradient."""
    actor, log_temperature = parameters
    noise = jax.random.normal(keys[0], batch.action.shape)
    action, log_prob = draw_actions(actor, batch.observation, settings.activation, noise)
    value = values(
        critics,
        batch.observation,
        action,
        settings.activation,
        settings.critic_layer_norm,
        settings.critic_dropout,
        keys[1],
    ).min(axis=0)
    temperature = jax.lax.stop_gradient(jnp.exp(log_temperature))
    actor_loss = (batch.weight * (temperature * log_prob - value)).mean()
    entropy = jax.lax.stop_gradient(-log_prob).mean()
    wanted = settings.target_entropy * batch.action.shape[1]
    return actor_loss + log_temperature * (entropy - wanted), entropy
