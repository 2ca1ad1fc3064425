"""The update of PPO as compiled functions: whole, and one gradient at a time."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from troupe.learning import gae, vtrace
from troupe.learning.networks import Parameters, forward, log_prob_and_entropy
from troupe.learning.normalisation import moments, weighted_mean
from troupe.learning.ppo_loss import MAX_LOG_RATIO, Batch, loss_and_figures, standardised
from troupe.learning.ppo_settings import PPOSettings
from troupe.learning.ppo_state import State, normalise, values, with_observations, with_returns
from troupe.policies.mlp import Distribution

MAX_TRACE = 1.0
"""Where V-trace cuts the ratios that carry later steps back, as in IMPALA."""

Figures = dict[str, jax.Array]


class Steps(NamedTuple):
    """What an update needs of a fragment, all with leading axes (T, N)."""

    observation: jax.Array
    next_observation: jax.Array
    action: jax.Array
    log_prob: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    weight: jax.Array | None = None


def optimiser(settings: PPOSettings) -> optax.GradientTransformation:
    """Return what turns gradients into directions of unit step size."""
    return optax.chain(
        optax.clip_by_global_norm(settings.max_gradient_norm), optax.scale_by_adam(eps=1e-5)
    )


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def update(
    settings: PPOSettings,
    distribution: Distribution,
    state: State,
    steps: Steps,
    order: jax.Array,
) -> tuple[State, Figures]:
    """Return the next state and figures; `order` holds the minibatches of each epoch, (E, M, B)."""
    # values, advantages and targets
    batch, estimated = estimate(settings, distribution, state, steps)
    if settings.normalise_returns:
        returns = state.returns.merge(batch.target, batch.weight)
        state = with_returns(settings, state, returns)
    batch = normalise_target(state, batch)

    # epochs of minibatches
    epoch = partial(_epoch, settings, distribution, batch)
    state, figures = jax.lax.scan(epoch, state, order)

    # the next policy sees with what this fragment taught
    if settings.normalise_observations:
        samples = steps.observation.reshape(steps.reward.size, -1)
        state = with_observations(state, state.observations.merge(samples, batch.weight))
    last = {name: values[-1] for name, values in figures.items()}
    return state, {**last, **estimated, "step_size": state.step_size}


def estimate(
    settings: PPOSettings, distribution: Distribution, state: State, steps: Steps
) -> tuple[Batch, Figures]:
    """Return the batch, its targets in units of the reward, and figures of the estimates."""
    weight = None if steps.weight is None else steps.weight.reshape(-1)
    # normalise as the policy that acted did
    seen_observation = normalise(steps.observation, state.observations)
    value = values(settings, state, seen_observation)
    next_value = values(settings, state, normalise(steps.next_observation, state.observations))

    # the policy before this update; older ones acted if sampling ran ahead
    flat_observation = seen_observation.reshape(-1, seen_observation.shape[-1])
    flat_action = steps.action.reshape(-1, *steps.action.shape[2:])
    output = forward(state.parameters, "actor", flat_observation, settings.activation)
    proximal, _ = log_prob_and_entropy(state.parameters, distribution, output, flat_action)
    log_importance = jnp.clip(proximal - steps.log_prob.reshape(-1), -MAX_LOG_RATIO, MAX_LOG_RATIO)
    importance = jnp.exp(log_importance)

    # what its actions were worth
    rewards = (steps.reward, value, next_value, steps.terminated, steps.truncated)
    if settings.correction == "vtrace":
        target, advantage = vtrace.targets_and_advantages(
            *rewards,
            ratio=importance.reshape(value.shape),
            gamma=settings.gamma,
            gae_lambda=settings.gae_lambda,
            rho_bar=settings.max_importance,
            c_bar=MAX_TRACE,
        )
    else:
        advantage = gae.advantages(*rewards, settings.gamma, settings.gae_lambda)
        target = value + advantage
    target, advantage = target.reshape(-1), advantage.reshape(-1)
    _, error_variance, _ = moments(target - value.reshape(-1), weight)
    _, target_variance, _ = moments(target, weight)
    figures = {
        "explained_variance": 1 - error_variance / (target_variance + 1e-8),
        "staleness": weighted_mean(importance - 1 - log_importance, weight),
    }
    if settings.normalise_advantages == "batch":
        advantage = standardised(advantage, weight)
    batch = Batch(flat_observation, flat_action, proximal, None, advantage, target, weight)
    if settings.correction == "none":
        return batch._replace(log_prob=steps.log_prob.reshape(-1)), figures
    figures["truncated"] = weighted_mean(importance > settings.max_importance, weight)
    return batch._replace(importance=jnp.minimum(importance, settings.max_importance)), figures


def normalise_target(state: State, batch: Batch) -> Batch:
    """Return the batch with targets as the critic learns them."""
    return batch._replace(target=(batch.target - state.returns.mean) * state.returns.scale)


def gradients(
    settings: PPOSettings,
    distribution: Distribution,
    parameters: Parameters,
    batch: Batch,
    indices: jax.Array,
) -> tuple[Parameters, Figures]:
    """Return the gradients of a minibatch, and its figures."""
    found, figures = jax.grad(loss_and_figures, has_aux=True)(
        parameters, settings, distribution, batch.take(indices)
    )
    return found, figures


def descend(settings: PPOSettings, state: State, gradients: Parameters) -> State:
    """Return the state after a gradient step."""
    direction, moved = optimiser(settings).update(gradients, state.optimiser)
    parameters = jax.tree.map(lambda p, d: p - state.step_size * d, state.parameters, direction)
    return state._replace(parameters=parameters, optimiser=moved)


def adapted(step_size: jax.Array, kl: jax.Array, target: float) -> jax.Array:
    """Return the step size that follows a divergence."""
    factor = jnp.where(kl > 2 * target, 1 / 1.5, jnp.where(kl < target / 2, 1.5, 1.0))
    return jnp.clip(step_size * factor, 1e-6, 1e-2)


@partial(jax.jit, static_argnums=0)
def priorities(settings: PPOSettings, state: State, steps: Steps) -> jax.Array:
    """Return the sizes of the advantages under the present critic, (T, N)."""
    value, next_value = (
        values(settings, state, normalise(observation, state.observations))
        for observation in (steps.observation, steps.next_observation)
    )
    ends = (steps.terminated, steps.truncated)
    found = gae.advantages(
        steps.reward, value, next_value, *ends, settings.gamma, settings.gae_lambda
    )
    return jnp.abs(found)


def _epoch(
    settings: PPOSettings,
    distribution: Distribution,
    batch: Batch,
    state: State,
    minibatches: jax.Array,
) -> tuple[State, Figures]:
    """Pass over the batch once; `minibatches` holds the indices of each, (M, B)."""
    used = None
    if batch.weight is not None:
        used = (minibatches[:, 0] < len(batch.weight)).astype(jnp.float32)
    minibatch = partial(_minibatch, settings, distribution, batch)
    state, figures = jax.lax.scan(minibatch, state, minibatches)
    means = {name: weighted_mean(values, used) for name, values in figures.items()}
    if settings.schedule == "kl-adaptive":
        state = state._replace(step_size=adapted(state.step_size, means["kl"], settings.target_kl))
    return state, means


def _minibatch(
    settings: PPOSettings,
    distribution: Distribution,
    batch: Batch,
    state: State,
    indices: jax.Array,
) -> tuple[State, Figures]:
    """Take one gradient step, unless the minibatch is empty."""

    def step(state: State) -> tuple[State, Figures]:
        found, figures = gradients(settings, distribution, state.parameters, batch, indices)
        return descend(settings, state, found), figures

    def skip(state: State) -> tuple[State, Figures]:
        _, figures = jax.eval_shape(step, state)
        return state, jax.tree.map(lambda figure: jnp.zeros(figure.shape, figure.dtype), figures)

    if batch.weight is None:
        return step(state)
    state, figures = jax.lax.cond(indices[0] < len(batch.weight), step, skip, state)
    return state, figures
