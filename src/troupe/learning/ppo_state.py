"""What PPO learns, and how its networks take up new moments of what they see and say."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from troupe.learning.networks import Parameters, forward
from troupe.learning.normalisation import Running
from troupe.learning.ppo_settings import PPOSettings


class State(NamedTuple):
    """All that an update changes."""

    parameters: Parameters
    optimiser: optax.OptState
    observations: Running
    returns: Running
    step_size: jax.Array


def normalise(observation: jax.Array, seen: Running) -> jax.Array:
    """Return observations (T, N, ...) as the networks see them, (T, N, D)."""
    return seen.normalised(observation.reshape(*observation.shape[:2], -1))


def values(settings: PPOSettings, state: State, observation: jax.Array) -> jax.Array:
    """Return what the critic says of normalised observations, in units of the reward."""
    value = forward(state.parameters, "critic", observation, settings.activation)[..., 0]
    return value / state.returns.scale + state.returns.mean


def with_returns(settings: PPOSettings, state: State, returns: Running) -> State:
    """Return the state with new moments of the returns, and what the critic says unchanged.

    The last layer is rescaled as in PopArt (van Hasselt et al., 2016).
    """
    old, new = state.returns, returns
    last = len(settings.hidden)
    weight, bias = f"critic.{last}.weight", f"critic.{last}.bias"
    ratio = new.scale / old.scale
    shift = (old.mean - new.mean) * new.scale
    parameters = {
        **state.parameters,
        weight: state.parameters[weight] * ratio,
        bias: state.parameters[bias] * ratio + shift,
    }
    return state._replace(parameters=parameters, returns=new)


def with_observations(state: State, observations: Running) -> State:
    """Return the state with new moments of the observations, and the networks as they are.

    The first layers take up what changes (docs/derivations.md, "Normalisation"), or each new
    moment would disturb a policy that has become precise. The very first moments are not taken
    up: they give the networks inputs of the same size, which is what normalisation is for.
    """
    old, new = state.observations, observations
    old_scale, new_scale = old.informative_scale, new.informative_scale
    is_known = (old.num_samples > 0) & (old_scale > 0) & (new_scale > 0)
    ratio = jnp.where(is_known, new_scale / old_scale, 1.0)
    shift = jnp.where(is_known, (new.mean - old.mean) * old_scale, 0.0)
    parameters = dict(state.parameters)
    for network in ("actor", "critic"):
        weight, bias = f"{network}.0.weight", f"{network}.0.bias"
        parameters[bias] = parameters[bias] + shift @ parameters[weight]
        parameters[weight] = parameters[weight] / ratio[:, None]
    return state._replace(parameters=parameters, observations=new)
