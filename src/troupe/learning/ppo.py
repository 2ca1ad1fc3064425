"""Proximal policy optimisation (Schulman et al., 2017): one compiled update for each fragment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

# minibatches of small networks take 30 % longer on two threads than on one
os.environ.setdefault("PJRT_NPROC", "1")

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from troupe.core import Streams
from troupe.core.arrays import ArraySpec
from troupe.episodes import Fragment
from troupe.learning.gae import advantages
from troupe.learning.networks import (
    Parameters,
    forward,
    initial_parameters,
    log_prob_and_entropy,
)
from troupe.learning.normalisation import Running
from troupe.learning.ppo_settings import PPOSettings
from troupe.policies import MlpPolicy
from troupe.policies.mlp import OBSERVATION_CLIP, Distribution

MAX_IMPORTANCE = 2.0
"""Where the ratio of the policy before the update to the one that acted is cut."""


MAX_LOG_RATIO = 10.0
"""Where logarithms of ratios are cut: beyond, clipping has decided, and exp would overflow."""


class State(NamedTuple):
    """All that an update changes."""

    parameters: Parameters
    optimiser: optax.OptState
    observations: Running
    returns: Running
    step_size: jax.Array


class Batch(NamedTuple):
    """What the loss needs of B steps, all with leading axis B."""

    observation: jax.Array
    action: jax.Array
    log_prob: jax.Array
    importance: jax.Array
    advantage: jax.Array
    target: jax.Array


class PPO:
    """Actor and critic that learn from fragments."""

    def __init__(
        self,
        settings: PPOSettings,
        observation: ArraySpec,
        action: ArraySpec,
        seed: int,
        num_updates: int,
    ) -> None:
        """Draw weights from the seed."""
        self.settings = settings
        self.version = 0
        self._observation, self._action = observation, action
        self._distribution: Distribution = settings.distribution(action)
        self._num_updates = num_updates
        self._streams = Streams(seed)
        parameters = initial_parameters(
            observation,
            action,
            self._distribution,
            settings.hidden,
            settings.initial_std,
            self._streams.generator("weights"),
        )
        self._state = State(
            parameters={name: jnp.asarray(values) for name, values in parameters.items()},
            optimiser=_optimiser(settings).init(parameters),
            observations=Running.empty((int(np.prod(observation.shape)),)),
            returns=Running.empty(()),
            step_size=jnp.asarray(settings.step_size),
        )

    def policy(self) -> MlpPolicy:
        """Return the newest policy, in numpy, with its normalisation."""
        actor = {
            name: np.array(values)
            for name, values in self._state.parameters.items()
            if not name.startswith("critic")
        }
        observations = self._state.observations
        mean, scale = np.array(observations.mean), np.array(observations.informative_scale)
        return MlpPolicy(
            actor, mean, scale, self.settings.activation, self._distribution, self.version
        )

    def prepare(self, num_steps: int, num_instances: int) -> None:
        """Compile the update for fragments of this shape."""
        shape = (num_steps, num_instances)

        def block(inner: tuple[int, ...], dtype: npt.DTypeLike) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((*shape, *inner), dtype)

        observation = block(self._observation.shape, np.float32)
        discrete = bool(self._action.categories)
        action = block(self._action.shape, np.int32 if discrete else np.float32)
        rewards, ends = block((), np.float32), block((), np.bool_)
        order = jax.ShapeDtypeStruct((self.settings.epochs, num_steps * num_instances), np.int32)
        self._compiled = _update.lower(
            self.settings,
            self._distribution,
            self._state,
            observation,
            observation,
            action,
            rewards,
            rewards,
            ends,
            ends,
            order,
        ).compile()

    def update(self, fragment: Fragment) -> dict[str, float]:
        """Learn from a fragment of ``settings.batch`` steps and return figures by name."""
        rng = self._streams.generator("minibatches", episode=self.version)
        epochs = [rng.permutation(fragment.num_steps) for _ in range(self.settings.epochs)]
        order = np.stack(epochs).astype(np.int32)
        state = self._state
        if self.settings.schedule == "linear":
            left = max(0.0, 1.0 - self.version / self._num_updates)
            state = state._replace(step_size=jnp.asarray(self.settings.step_size * left))
        self._state, figures = self._compiled(
            state,
            fragment.observation[:-1],
            fragment.next_observation(),
            fragment.action.astype(np.int32) if self._action.categories else fragment.action,
            fragment.log_prob,
            fragment.reward,
            fragment.terminated,
            fragment.truncated,
            order,
        )
        self.version += 1
        return {name: float(value) for name, value in figures.items()}

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return weights, moments of the optimiser and of the data, and the version."""
        leaves = jax.tree.leaves(self._state)
        arrays = {f"leaf.{i:03d}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        return {**arrays, "version": np.asarray(self.version)}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state."""
        leaves, structure = jax.tree.flatten(self._state)
        restored = [jnp.asarray(state[f"leaf.{i:03d}"]) for i in range(len(leaves))]
        self._state = jax.tree.unflatten(structure, restored)
        self.version = int(state["version"])


def _optimiser(settings: PPOSettings) -> optax.GradientTransformation:
    return optax.chain(
        optax.clip_by_global_norm(settings.max_gradient_norm), optax.scale_by_adam(eps=1e-5)
    )


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def _update(
    settings: PPOSettings,
    distribution: Distribution,
    state: State,
    observation: jax.Array,
    next_observation: jax.Array,
    action: jax.Array,
    log_prob: jax.Array,
    reward: jax.Array,
    terminated: jax.Array,
    truncated: jax.Array,
    order: jax.Array,
) -> tuple[State, dict[str, jax.Array]]:
    """Return the next state and figures; `order` holds a permutation of the steps an epoch."""
    # normalise as the policy that acted did
    seen = state.observations
    seen_observation = _normalise(observation, seen)

    # values, advantages and targets
    value = _values(settings, state, seen_observation)
    next_value = _values(settings, state, _normalise(next_observation, seen))
    advantage = advantages(
        reward, value, next_value, terminated, truncated, settings.gamma, settings.gae_lambda
    )
    target = (value + advantage).reshape(-1)
    state = _merge_returns(settings, state, target)
    if settings.normalise_advantages == "batch":
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)

    # the policy before this update; older ones acted if sampling ran ahead
    flat_observation = seen_observation.reshape(-1, seen_observation.shape[-1])
    flat_action = action.reshape(-1, *action.shape[2:])
    output = forward(state.parameters, "actor", flat_observation, settings.activation)
    proximal, _ = log_prob_and_entropy(state.parameters, distribution, output, flat_action)
    log_importance = jnp.clip(proximal - log_prob.reshape(-1), -MAX_LOG_RATIO, MAX_LOG_RATIO)
    importance = jnp.exp(log_importance)

    # epochs of minibatches
    batch = Batch(
        observation=flat_observation,
        action=flat_action,
        log_prob=proximal,
        importance=jnp.minimum(importance, MAX_IMPORTANCE),
        advantage=advantage.reshape(-1),
        target=(target - state.returns.mean) * state.returns.scale,
    )
    minibatches = order.reshape(order.shape[0], -1, settings.minibatch)
    epoch = partial(_epoch, settings, distribution, batch)
    state, figures = jax.lax.scan(epoch, state, minibatches)

    # the next policy sees with what this fragment taught
    if settings.normalise_observations:
        state = _merge_observations(state, observation.reshape(-1, observation.shape[-1]))
    error = target - value.reshape(-1)
    return state, {
        **{name: values[-1] for name, values in figures.items()},
        "explained_variance": 1 - error.var() / (target.var() + 1e-8),
        "step_size": state.step_size,
        "staleness": (importance - 1 - log_importance).mean(),
    }


def _normalise(observation: jax.Array, seen: Running) -> jax.Array:
    flat = observation.reshape(*observation.shape[:2], -1)
    scaled = (flat - seen.mean) * seen.informative_scale
    return jnp.clip(scaled, -OBSERVATION_CLIP, OBSERVATION_CLIP)


def _values(settings: PPOSettings, state: State, observation: jax.Array) -> jax.Array:
    value = forward(state.parameters, "critic", observation, settings.activation)[..., 0]
    return value / state.returns.scale + state.returns.mean


def _merge_returns(settings: PPOSettings, state: State, target: jax.Array) -> State:
    """Merge targets into the moments of the returns, and leave what the critic says unchanged.

    The last layer is rescaled as in PopArt (van Hasselt et al., 2016).
    """
    if not settings.normalise_returns:
        return state
    old, new = state.returns, state.returns.merge(target)
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


def _merge_observations(state: State, samples: jax.Array) -> State:
    """Merge samples into the moments of the observations, and leave the networks as they are.

    The first layers take up what changes (docs/derivations.md, "Normalisation"), or each new
    moment would disturb a policy that has become precise. The very first moments are not taken
    up: they give the networks inputs of the same size, which is what normalisation is for.
    """
    old, new = state.observations, state.observations.merge(samples)
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


def _epoch(
    settings: PPOSettings,
    distribution: Distribution,
    batch: Batch,
    state: State,
    minibatches: jax.Array,
) -> tuple[State, dict[str, jax.Array]]:
    """Pass over the batch once; `minibatches` holds the indices of each, (M, B)."""
    minibatch = partial(_minibatch, settings, distribution, batch)
    state, figures = jax.lax.scan(minibatch, state, minibatches)
    means = {name: values.mean() for name, values in figures.items()}
    if settings.schedule == "kl-adaptive":
        state = state._replace(step_size=_adapted(state.step_size, means["kl"], settings.target_kl))
    return state, means


def _adapted(step_size: jax.Array, kl: jax.Array, target: float) -> jax.Array:
    factor = jnp.where(kl > 2 * target, 1 / 1.5, jnp.where(kl < target / 2, 1.5, 1.0))
    return jnp.clip(step_size * factor, 1e-6, 1e-2)


def _minibatch(
    settings: PPOSettings,
    distribution: Distribution,
    batch: Batch,
    state: State,
    indices: jax.Array,
) -> tuple[State, dict[str, jax.Array]]:
    """Take one gradient step."""
    minibatch = jax.tree.map(lambda values: values[indices], batch)
    gradients, figures = jax.grad(_loss, has_aux=True)(
        state.parameters, settings, distribution, minibatch
    )
    direction, optimiser = _optimiser(settings).update(gradients, state.optimiser)
    parameters = jax.tree.map(lambda p, d: p - state.step_size * d, state.parameters, direction)
    return state._replace(parameters=parameters, optimiser=optimiser), figures


def _loss(
    parameters: Parameters, settings: PPOSettings, distribution: Distribution, batch: Batch
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return the clipped surrogate, value, entropy and divergence losses together."""
    output = forward(parameters, "actor", batch.observation, settings.activation)
    log_prob, entropy = log_prob_and_entropy(parameters, distribution, output, batch.action)
    log_ratio = jnp.clip(log_prob - batch.log_prob, -MAX_LOG_RATIO, MAX_LOG_RATIO)
    ratio = jnp.exp(log_ratio)
    advantage = batch.advantage
    if settings.normalise_advantages == "minibatch":
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    clipped = jnp.clip(ratio, 1 - settings.clip, 1 + settings.clip)
    surrogate = (batch.importance * jnp.minimum(ratio * advantage, clipped * advantage)).mean()
    value = forward(parameters, "critic", batch.observation, settings.activation)[:, 0]
    value_loss = 0.5 * ((value - batch.target) ** 2).mean()
    kl = (ratio - 1 - log_ratio).mean()
    loss = (
        -surrogate
        + settings.value_coefficient * value_loss
        - settings.entropy_coefficient * entropy.mean()
        + settings.kl_coefficient * kl
    )
    clipped_share = (jnp.abs(ratio - 1) > settings.clip).mean()
    return loss, {
        "policy_loss": -surrogate,
        "value_loss": value_loss,
        "entropy": entropy.mean(),
        "kl": kl,
        "clipped": clipped_share,
    }
