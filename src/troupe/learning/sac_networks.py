"""Actor and critics of SAC as dictionaries of arrays."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from troupe.core.arrays import ArraySpec
from troupe.core.seeding import Generator
from troupe.learning.networks import ACTIVATIONS, Parameters, forward, initial_parameters
from troupe.learning.normalisation import Running
from troupe.policies.mlp import LOG_STD_RANGE


def initial_actor(
    observation: ArraySpec,
    action: ArraySpec,
    hidden: Sequence[int],
    initial_std: float,
    rng: Generator,
) -> dict[str, npt.NDArray[np.float32]]:
    """Return weights of an actor that at first acts alike everywhere, and widely."""
    both = initial_parameters(observation, action, "state-normal", hidden, initial_std, rng)
    return {name: values for name, values in both.items() if name.startswith("actor")}


def initial_critics(
    num_inputs: int, num_critics: int, hidden: Sequence[int], rng: Generator
) -> dict[str, npt.NDArray[np.float32]]:
    """Return weights of several critics, each array (critics, ...)."""
    inputs, one = ArraySpec((num_inputs,)), ArraySpec((1,))
    each = [initial_parameters(inputs, one, "normal", hidden, 1.0, rng) for _ in range(num_critics)]
    names = [name for name in each[0] if name.startswith("critic")]
    return {name: np.stack([parameters[name] for parameters in each]) for name in names}


def values(
    parameters: Parameters,
    observation: jax.Array,
    action: jax.Array,
    activation: str,
    layer_norm: bool,
    dropout: float = 0.0,
    key: jax.Array | None = None,
) -> jax.Array:
    """Return what the critics say, (critics, B).

    Args:
        parameters: with ``critic.<layer>.weight``, (critics, in, out).
        observation: normalised, (B, D).
        action: (B, A).
        activation: between layers.
        layer_norm: whether hidden layers are normalised.
        dropout: share of hidden units that are dropped; the others grow by as much.
        key: of what is dropped; None drops nothing.
    """
    num_critics = len(parameters["critic.0.bias"])
    x = jnp.concatenate([observation, action], axis=1)
    x = jnp.broadcast_to(x, (num_critics, *x.shape))
    for layer in itertools.count():
        x = x @ parameters[f"critic.{layer}.weight"]
        x = x + parameters[f"critic.{layer}.bias"][:, None]
        if f"critic.{layer + 1}.weight" not in parameters:
            return x[..., 0]
        if key is not None and dropout:
            kept = jax.random.bernoulli(jax.random.fold_in(key, layer), 1 - dropout, x.shape)
            x = jnp.where(kept, x / (1 - dropout), 0.0)
        if layer_norm:
            centred = x - x.mean(axis=-1, keepdims=True)
            x = centred * jax.lax.rsqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6)
        x = ACTIVATIONS[activation](x)
    raise AssertionError


def draw_actions(
    parameters: Parameters, observation: jax.Array, activation: str, noise: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return actions (B, A) and their log-probabilities (B,).

    See docs/derivations-sac.md, "Squashed actions".
    """
    mean, log_std = jnp.split(forward(parameters, "actor", observation, activation), 2, axis=1)
    log_std = jnp.clip(log_std, *LOG_STD_RANGE)
    drawn = mean + jnp.exp(log_std) * noise
    log_prob = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi)
    log_slope = 2 * (np.log(2.0) - drawn - jax.nn.softplus(-2 * drawn))
    return jnp.tanh(drawn), (log_prob - log_slope).sum(axis=1)


def taken_up(parameters: Parameters, name: str, old: Running, new: Running) -> Parameters:
    """Return parameters that compute with new moments of observations what they did with old ones.

    The first layer of a network takes up what changes (docs/derivations.md, "Normalisation"). The
    very first moments are not taken up.

    Args:
        parameters: of which ``<name>.0`` is changed.
        name: of the network, or networks.
        old: moments that the network has learned with.
        new: moments that it will see with.
    """
    old_scale, new_scale = old.informative_scale, new.informative_scale
    is_known = (old.num_samples > 0) & (old_scale > 0) & (new_scale > 0)
    ratio = jnp.where(is_known, new_scale / old_scale, 1.0)
    shift = jnp.where(is_known, (new.mean - old.mean) * old_scale, 0.0)
    weight, bias = parameters[f"{name}.0.weight"], parameters[f"{name}.0.bias"]
    seen = weight[..., : len(shift), :]  # a critic's further inputs are actions
    return {
        **parameters,
        f"{name}.0.bias": bias + shift @ seen,
        f"{name}.0.weight": jnp.concatenate(
            [seen / ratio[:, None], weight[..., len(shift) :, :]], axis=-2
        ),
    }
