"""Compiled gradient steps on minibatches of stored transitions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol, cast

# small networks take longer on two threads than on one
os.environ.setdefault("PJRT_NPROC", "1")

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from troupe.core import Streams
from troupe.core.arrays import ArraySpec
from troupe.core.seeding import Generator
from troupe.learning.networks import Parameters
from troupe.learning.normalisation import Running
from troupe.learning.offline.base import OfflineSettings
from troupe.learning.offline.draws import WeightedDraws
from troupe.learning.offline.stored import StoredEpisodes
from troupe.learning.offline.transitions import cut
from troupe.policies import MlpPolicy
from troupe.policies.mlp import Distribution

Figures = dict[str, jax.Array]


class Data(NamedTuple):
    """All transitions, observations as the networks see them, with a leading axis (M,)."""

    observation: jax.Array
    action: jax.Array
    reward: jax.Array
    next_observation: jax.Array
    discount: jax.Array


class Batch(NamedTuple):
    """Transitions of one gradient step, (B, ...), and what each counts."""

    observation: jax.Array
    action: jax.Array
    reward: jax.Array
    next_observation: jax.Array
    discount: jax.Array
    weight: jax.Array


class Shape(NamedTuple):
    """What networks are made for: the width of observations, the actions, their distribution."""

    num_observations: int
    action: ArraySpec
    distribution: Distribution


class State(Protocol):
    """What gradient steps change: a tuple of arrays, by name."""

    @property
    def actor(self) -> Parameters:
        """Weights of the policy."""


class Rule(NamedTuple):
    """What is learned in a gradient step.

    Attributes:
        begin: makes the first state from settings, shape and a generator.
        step: takes one step: returns the new state, figures, and |TD| of the batch, (B,), or zeros.
    """

    begin: Callable[[Any, Shape, Generator], State]
    step: Callable[[Any, Distribution, Any, Batch], tuple[Any, Figures, jax.Array]]


class GradientLearner:
    """Takes gradient steps by a rule, on transitions that follow from the seed."""

    def __init__(
        self,
        settings: OfflineSettings,
        rule: Rule,
        stored: StoredEpisodes,
        action: ArraySpec,
        seed: int,
        gamma: float,
        reward_scale: float = 1.0,
    ) -> None:
        """Draw weights from the seed, and cut the episodes into transitions.

        Args:
            settings: of the learner.
            rule: what a gradient step does.
            stored: the episodes.
            action: of one instance.
            seed: the root seed.
            gamma: discount of a step.
            reward_scale: factor of the rewards.

        Raises:
            UserError: if the episodes have no transition, or lack what a weighting needs.
        """
        self.settings = settings
        self.version = 0
        self._rule = rule
        self._streams = Streams(seed)
        self._distribution: Distribution = "categorical" if action.categories else "normal"
        transitions = cut(stored, gamma)
        self.num_transitions = len(transitions.reward)
        self._draws = WeightedDraws(settings, stored, transitions, seed)
        observation = transitions.observation
        width = observation.shape[1]
        seen = Running.empty((width,))
        if settings.normalise_observations:
            exact = observation.astype(np.float64)
            moments = exact.mean(axis=0), exact.var(axis=0)
            mean, variance = (jnp.asarray(values, jnp.float32) for values in moments)
            seen = Running(mean, variance, jnp.asarray(float(len(exact))))
        self._mean, self._scale = np.array(seen.mean), np.array(seen.informative_scale)
        self._data = Data(
            observation=seen.normalised(jnp.asarray(observation)),
            action=jnp.asarray(transitions.action),
            reward=jnp.asarray(transitions.reward * np.float32(reward_scale)),
            next_observation=seen.normalised(jnp.asarray(transitions.next_observation)),
            discount=jnp.asarray(transitions.discount),
        )
        shape = Shape(width, action, self._distribution)
        self._state: State = rule.begin(settings, shape, self._streams.generator("weights"))
        self._compiled: dict[int, Any] = {}

    def prepare(self, num_steps: int) -> None:
        """Compile for that many gradient steps at a time."""
        if num_steps not in self._compiled:
            size = (num_steps, self.settings.minibatch)
            rows, weight = jnp.zeros(size, jnp.int32), jnp.ones(size)
            steps = gradient_steps.lower(*self._what(), self._state, self._data, rows, weight)
            self._compiled[num_steps] = steps.compile()

    def policy(self) -> MlpPolicy:
        """Return the newest policy, in numpy, with its normalisation."""
        actor = {name: np.array(values) for name, values in self._state.actor.items()}
        return MlpPolicy(
            actor,
            self._mean,
            self._scale,
            self.settings.activation,
            self._distribution,
            self.version,
        )

    def update(self, num_steps: int, progress: float) -> dict[str, float]:
        """Take gradient steps and return the means of their figures by name."""
        self.prepare(num_steps)
        weighed = self._draws.weigh(progress)
        rng = self._streams.generator("transitions", episode=self.version)
        rows, weight = self._draws.draw(rng, (num_steps, self.settings.minibatch))
        self._state, figures, errors = self._compiled[num_steps](
            self._state, self._data, jnp.asarray(rows, jnp.int32), jnp.asarray(weight)
        )
        self._draws.learned(rows, np.asarray(errors))
        self.version += 1
        return {**weighed, **{name: float(value) for name, value in figures.items()}}

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return weights, optimisers, priorities and the version."""
        leaves = jax.tree.leaves(self._state)
        arrays = {f"leaf.{i:03d}": np.array(leaf) for i, leaf in enumerate(leaves)}
        drawn = {f"draws/{name}": array for name, array in self._draws.state().items()}
        return {**arrays, **drawn, "version": np.asarray(self.version)}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state."""
        leaves, structure = jax.tree.flatten(self._state)
        restored = [jnp.asarray(state[f"leaf.{i:03d}"]) for i in range(len(leaves))]
        self._state = jax.tree.unflatten(structure, restored)
        prefix = "draws/"
        drawn = {n.removeprefix(prefix): a for n, a in state.items() if n.startswith(prefix)}
        self._draws.restore(drawn)
        self.version = int(state["version"])

    def _what(self) -> tuple[Any, OfflineSettings, Distribution]:
        """Return what gradient steps are compiled for."""
        return self._rule.step, self.settings, self._distribution


@partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=3)
def gradient_steps(
    step: Callable[..., Any],
    settings: OfflineSettings,
    distribution: Distribution,
    state: Any,
    data: Data,
    rows: jax.Array,
    weight: jax.Array,
) -> tuple[Any, Figures, jax.Array]:
    """Take a gradient step for each of (G, B) rows; return also mean figures and |TD|, (G, B)."""

    def one(state: Any, drawn: tuple[jax.Array, jax.Array]) -> Any:
        chosen = Data(*(array[drawn[0]] for array in data))
        batch = Batch(**chosen._asdict(), weight=drawn[1])
        state, figures, errors = step(settings, distribution, state, batch)
        return state, (figures, errors)

    state, (figures, errors) = jax.lax.scan(one, state, (rows, weight))
    means = {name: array.mean() for name, array in figures.items()}
    return state, means, cast(jax.Array, errors)
