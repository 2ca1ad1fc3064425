"""Actor and critic as dictionaries of arrays, and the distributions of actions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from troupe.core.arrays import ArraySpec
from troupe.core.seeding import Generator
from troupe.policies.mlp import LOG_STD_RANGE, Distribution

Parameters = dict[str, jax.Array]

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
}


def initial_parameters(
    observation: ArraySpec,
    action: ArraySpec,
    distribution: Distribution,
    hidden: Sequence[int],
    initial_std: float,
    rng: Generator,
) -> dict[str, npt.NDArray[np.float32]]:
    """Return orthogonal weights and zero biases for actor and critic.

    The actor's last layer begins small (gain 0.01), so that first actions are near 0.
    """
    num_observations = int(np.prod(observation.shape))
    num_actions = int(np.prod(action.shape))
    log_std = np.full(num_actions, np.log(initial_std), np.float32)
    num_outputs = {"normal": num_actions, "state-normal": 2 * num_actions}.get(
        distribution, action.categories
    )
    parameters = {
        **_layers("actor", [num_observations, *hidden, num_outputs], 0.01, rng),
        **_layers("critic", [num_observations, *hidden, 1], 1.0, rng),
    }
    if distribution == "normal":
        parameters["log_std"] = log_std
    elif distribution == "state-normal":
        parameters[f"actor.{len(hidden)}.bias"][num_actions:] = log_std
    return parameters


def _layers(
    name: str, widths: Sequence[int], last_gain: float, rng: Generator
) -> dict[str, npt.NDArray[np.float32]]:
    parameters = {}
    for layer, (before, after) in enumerate(itertools.pairwise(widths)):
        gain = last_gain if layer == len(widths) - 2 else np.sqrt(2.0)
        weight = gain * _orthogonal(before, after, rng)
        parameters[f"{name}.{layer}.weight"] = weight.astype(np.float32)
        parameters[f"{name}.{layer}.bias"] = np.zeros(after, np.float32)
    return parameters


def _orthogonal(rows: int, columns: int, rng: Generator) -> npt.NDArray[np.float64]:
    normal = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    q = q * np.sign(np.diag(r))
    return q if rows >= columns else q.T


def forward(parameters: Parameters, name: str, x: jax.Array, activation: str) -> jax.Array:
    """Return the output of the network of that name, (..., out) for (..., in)."""
    for layer in itertools.count():
        x = x @ parameters[f"{name}.{layer}.weight"] + parameters[f"{name}.{layer}.bias"]
        if f"{name}.{layer + 1}.weight" not in parameters:
            return x
        x = ACTIVATIONS[activation](x)
    raise AssertionError


def log_prob_and_entropy(
    parameters: Parameters, distribution: Distribution, output: jax.Array, action: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the log-probabilities of actions and the entropy of their distributions, (B,) each.

    Args:
        parameters: with ``log_std`` for the distribution ``normal``.
        distribution: that the actor's output stands for.
        output: of the actor, (B, A).
        action: (B, A) continuous, or (B,) categories.
    """
    if distribution == "categorical":
        log_probs = jax.nn.log_softmax(output)
        chosen = jnp.take_along_axis(log_probs, action[:, None].astype(jnp.int32), axis=1)
        return chosen[:, 0], -(jnp.exp(log_probs) * log_probs).sum(-1)
    if distribution == "normal":
        mean, log_std = output, jnp.broadcast_to(parameters["log_std"], output.shape)
    else:
        mean, log_std = jnp.split(output, 2, axis=1)
        log_std = jnp.clip(log_std, *LOG_STD_RANGE)
    noise = (action - mean) * jnp.exp(-log_std)
    constant = log_std.sum(-1) + 0.5 * mean.shape[1] * np.log(2 * np.pi)
    return -0.5 * (noise**2).sum(-1) - constant, constant + 0.5 * mean.shape[1]
