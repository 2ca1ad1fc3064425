"""The update of PPO one gradient at a time, so that several learners can share each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from troupe.learning import ppo_update
from troupe.learning.normalisation import Running
from troupe.learning.ppo_loss import Batch
from troupe.learning.ppo_settings import PPOSettings
from troupe.learning.ppo_state import State, with_observations, with_returns
from troupe.learning.ppo_update import Steps
from troupe.policies.mlp import Distribution

Arrays = dict[str, npt.NDArray[Any]]

EPOCH_KL = "epoch.kl"
"""Name beside the gradients of an epoch's last minibatch: the epoch's divergence, which step sizes
may follow."""

_estimate = jax.jit(ppo_update.estimate, static_argnums=(0, 1))
_normalise_target = jax.jit(ppo_update.normalise_target)
_gradients = jax.jit(ppo_update.gradients, static_argnums=(0, 1))
_descend = jax.jit(ppo_update.descend, static_argnums=0)
_with_returns = jax.jit(with_returns, static_argnums=0)
_with_observations = jax.jit(with_observations)


@dataclass
class Stepwise:
    """An update in progress.

    Attributes:
        settings: of the learner.
        distribution: of its actions.
        batch: to learn from; its targets are in units of the reward until `agree`.
        minibatches: indices of each, (K, B), of all epochs one after the other.
        per_epoch: minibatches of an epoch.
        figures: of the estimates.
        observations: moments to take up at the end.
        seen: figures of the minibatches so far.
    """

    settings: PPOSettings
    distribution: Distribution
    batch: Batch
    minibatches: npt.NDArray[np.int32]
    per_epoch: int
    figures: dict[str, jax.Array]
    observations: Running | None = None
    seen: list[dict[str, jax.Array]] = field(default_factory=list)

    @classmethod
    def begin(
        cls,
        settings: PPOSettings,
        distribution: Distribution,
        state: State,
        steps: Steps,
        order: npt.NDArray[np.int32],
    ) -> Stepwise:
        """Estimate what the steps were worth; `order` as in `ppo_update.update`."""
        batch, figures = _estimate(settings, distribution, state, steps)
        is_used = order[0, :, 0] < steps.reward.size
        used = order[:, is_used]
        return cls(
            settings,
            distribution,
            batch,
            used.reshape(-1, order.shape[-1]),
            per_epoch=used.shape[1],
            figures=figures,
        )

    def statistics(self, steps: Steps) -> Arrays:
        """Return sums over observations and targets, for `agree`."""
        flat = np.asarray(steps.observation).reshape(steps.reward.size, -1)
        groups = {"observations": flat, "returns": np.asarray(self.batch.target)}
        weight = np.ones(steps.reward.size) if steps.weight is None else np.asarray(steps.weight)
        return _sums(groups, weight.reshape(-1))

    def agree(self, state: State, statistics: Mapping[str, npt.NDArray[Any]]) -> State:
        """Return the state with the moments of the returns, and keep those of observations."""
        self.observations = _merged(state.observations, "observations", statistics)
        if self.settings.normalise_returns:
            returns = _merged(state.returns, "returns", statistics)
            state = _with_returns(self.settings, state, returns)
        self.batch = _normalise_target(state, self.batch)
        return state

    def gradients(self, state: State, index: int) -> Arrays:
        """Return the gradients of a minibatch."""
        indices = self.minibatches[index]
        found, figures = _gradients(
            self.settings, self.distribution, state.parameters, self.batch, indices
        )
        self.seen.append(figures)
        arrays = {name: np.array(values) for name, values in found.items()}
        if self.settings.schedule == "kl-adaptive" and (index + 1) % self.per_epoch == 0:
            arrays[EPOCH_KL] = np.asarray(self._means()["kl"], np.float32)
        return arrays

    def finish(self, state: State) -> tuple[State, dict[str, float]]:
        """Return the state with the moments of the observations, and figures of the update."""
        assert self.observations is not None
        if self.settings.normalise_observations:
            state = _with_observations(state, self.observations)
        figures = {name: float(value) for name, value in self.figures.items()}
        return state, {**self._means(), **figures, "step_size": float(state.step_size)}

    def _means(self) -> dict[str, float]:
        """Return the means over the last epoch."""
        last = self.seen[-self.per_epoch :]
        return {name: float(np.mean([row[name] for row in last])) for name in last[0]}


def take_up(
    settings: PPOSettings, state: State, statistics: Mapping[str, npt.NDArray[Any]]
) -> State:
    """Return the state of a learner without an update in progress with all moments taken up."""
    if settings.normalise_returns:
        returns = _merged(state.returns, "returns", statistics)
        state = _with_returns(settings, state, returns)
    if settings.normalise_observations:
        observations = _merged(state.observations, "observations", statistics)
        state = _with_observations(state, observations)
    return state


def apply(settings: PPOSettings, state: State, gradients: Mapping[str, npt.NDArray[Any]]) -> State:
    """Return the state after a step along gradients."""
    found = {name: jnp.asarray(gradients[name]) for name in state.parameters}
    state = _descend(settings, state, found)
    if EPOCH_KL in gradients:
        kl = jnp.asarray(gradients[EPOCH_KL], jnp.float32)
        state = state._replace(
            step_size=ppo_update.adapted(state.step_size, kl, settings.target_kl)
        )
    return state


def _sums(groups: Mapping[str, npt.NDArray[Any]], weight: npt.NDArray[Any]) -> Arrays:
    """Return the sums of values (B, ...) and of their squares; what has no weight is not read."""
    chosen = np.flatnonzero(weight)
    weights = weight[chosen].astype(np.float64)
    sums = {"num_samples": weights.sum()}
    for group, values in groups.items():
        counted = values[chosen].astype(np.float64)
        sums[f"{group}.sum"] = np.tensordot(weights, counted, 1)
        sums[f"{group}.squares"] = np.tensordot(weights, counted**2, 1)
    return {name: np.asarray(value) for name, value in sums.items()}


def _merged(running: Running, group: str, statistics: Mapping[str, npt.NDArray[Any]]) -> Running:
    """Return moments with sums added."""
    num_samples = statistics["num_samples"]
    mean = statistics[f"{group}.sum"] / num_samples
    variance = np.maximum(statistics[f"{group}.squares"] / num_samples - mean**2, 0)
    return running.merge_moments(
        *(jnp.asarray(value, jnp.float32) for value in (mean, variance, num_samples))
    )
