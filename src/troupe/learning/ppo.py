"""Proximal policy optimisation (Schulman et al., 2017): one compiled update for each fragment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

# minibatches of small networks take 30 % longer on two threads than on one
os.environ.setdefault("PJRT_NPROC", "1")

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from troupe.core import Streams
from troupe.core.arrays import ArraySpec
from troupe.episodes import Fragment
from troupe.learning import alignment, ppo_update
from troupe.learning import ppo_stepwise as stepwise
from troupe.learning.networks import initial_parameters
from troupe.learning.normalisation import Running
from troupe.learning.ppo_order import minibatches
from troupe.learning.ppo_settings import PPOSettings
from troupe.learning.ppo_state import State
from troupe.learning.ppo_stepwise import Stepwise
from troupe.learning.ppo_update import Steps
from troupe.policies import MlpPolicy
from troupe.policies.mlp import Distribution

Weights = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[Any]]


class PPO:
    """Actor and critic that learn from fragments.

    Attributes:
        settings: what the user wrote.
        version: of the newest policy, one more after each update. Who applies gradients without
            an update of their own counts it up.
    """

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
        self._compiled: dict[tuple[int, int, bool], jax.stages.Compiled] = {}
        self._begun: Stepwise | None = None
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
            optimiser=ppo_update.optimiser(settings).init(parameters),
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

    def prepare(self, num_steps: int, num_instances: int, weighted: bool = False) -> None:
        """Compile the update for fragments of this shape, with or without weights.

        Fragments of another shape are learned from too, after a compilation of their own.
        """
        shape, minibatch = (num_steps, num_instances), self.settings.minibatch
        weighted = weighted or bool(num_steps * num_instances % minibatch)

        def block(inner: tuple[int, ...], dtype: npt.DTypeLike) -> Any:
            return jax.ShapeDtypeStruct((*shape, *inner), dtype)

        observation = block(self._observation.shape, np.float32)
        action = block(self._action.shape, np.int32 if self._action.categories else np.float32)
        numbers, flags = block((), np.float32), block((), np.bool_)
        steps = Steps(
            observation=observation,
            next_observation=observation,
            action=action,
            log_prob=numbers,
            reward=numbers,
            terminated=flags,
            truncated=flags,
            weight=numbers if weighted else None,
        )
        num_minibatches = -(-num_steps * num_instances // minibatch)
        order = jax.ShapeDtypeStruct((self.settings.epochs, num_minibatches, minibatch), np.int32)
        lowered = ppo_update.update.lower(
            self.settings, self._distribution, self._state, steps, order
        )
        self._compiled[*shape, weighted] = lowered.compile()

    def update(self, fragment: Fragment, weight: Weights | None = None) -> dict[str, float]:
        """Learn from a fragment and return figures by name.

        Args:
            fragment: of any shape; one that was prepared saves the compilation.
            weight: of each step in all losses and moments, (T, N), with mean 1 over real steps
                and 0 on padding, whose values must be finite; None for equal weights.
        """
        steps = self._steps(fragment, weight)
        order = self._order(steps)
        key = (*fragment.reward.shape, steps.weight is not None)
        if key not in self._compiled:
            self.prepare(*key)
        state = self._state._replace(step_size=self._step_size())
        self._state, figures = self._compiled[key](state, steps, order)
        self.version += 1
        return {name: float(value) for name, value in figures.items()}

    def priorities(self, fragment: Fragment) -> Weights:
        """Return how much the steps surprise the present critic: their |advantage|, (T, N)."""
        steps = self._steps(fragment, None)._replace(weight=None)
        return np.array(ppo_update.priorities(self.settings, self._state, steps))

    def parameters(self) -> Arrays:
        """Return the weights, and the moments that they are relative to, by name."""
        state = self._state
        moments = {"observations": state.observations, "returns": state.returns}
        return {
            **{name: np.array(values) for name, values in state.parameters.items()},
            **{
                f"{group}.{name}": np.array(values)
                for group, running in moments.items()
                for name, values in running._asdict().items()
            },
        }

    def aligned(self, models: Sequence[Mapping[str, npt.NDArray[Any]]]) -> list[Arrays]:
        """Return what several learners' `parameters` say, relative to the same moments.

        Only then does an average of their weights mean something.
        """
        return alignment.aligned(models)

    def adopt(self, parameters: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on with other weights and moments; the optimiser and the version stay.

        Between `agree` and `finish` the weights are taken relative to the moments of the update.
        """
        state = self._state
        if self._begun is not None:
            parameters = alignment.relative_to(parameters, self.parameters())

        def moments(group: str) -> Running:
            return Running(*(jnp.array(parameters[f"{group}.{name}"]) for name in Running._fields))

        self._state = state._replace(
            parameters={name: jnp.array(parameters[name]) for name in state.parameters},
            observations=moments("observations"),
            returns=moments("returns"),
        )

    def begin(self, fragment: Fragment, weight: Weights | None = None) -> Arrays:
        """Begin an update that others take part in, and return the statistics to agree on.

        What `update` does in one call is done by `begin`, `agree`, then `gradients` and `apply`
        for each minibatch, and `finish`. Learners that begin alike, and give all that they get to
        `agree` and `apply` averaged over all of them, stay alike.

        Returns:
            Sums over the steps; their average over learners is of the same kind.
        """
        steps = self._steps(fragment, weight)
        self._begun = Stepwise.begin(
            self.settings, self._distribution, self._state, steps, self._order(steps)
        )
        return self._begun.statistics(steps)

    def agree(self, statistics: Mapping[str, npt.NDArray[Any]]) -> int:
        """Take up the statistics of all learners and return the number of minibatches.

        A learner that has begun no update, for it only applies what others find, takes them up
        too, and has no minibatches.
        """
        if self._begun is None:
            self._state = stepwise.take_up(self.settings, self._state, statistics)
            return 0
        self._state = self._begun.agree(self._state, statistics)
        return len(self._begun.minibatches)

    def gradients(self, minibatch: int) -> Arrays:
        """Return the gradients of one minibatch of the update at the present weights, by name."""
        assert self._begun is not None, "begin an update first"
        return self._begun.gradients(self._state, minibatch)

    def apply(self, gradients: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take one step along gradients, whether an update has begun here or elsewhere."""
        state = self._state._replace(step_size=self._step_size())
        self._state = stepwise.apply(self.settings, state, gradients)

    def finish(self) -> dict[str, float]:
        """End the update and return its figures by name."""
        assert self._begun is not None, "begin an update first"
        self._state, figures = self._begun.finish(self._state)
        self._begun = None
        self.version += 1
        return figures

    def state(self) -> Arrays:
        """Return weights, moments of the optimiser and of the data, and the version."""
        leaves = jax.tree.leaves(self._state)
        arrays = {f"leaf.{i:03d}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        return {**arrays, "version": np.asarray(self.version)}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state; an update in progress is forgotten."""
        leaves, structure = jax.tree.flatten(self._state)
        restored = [jnp.asarray(state[f"leaf.{i:03d}"]) for i in range(len(leaves))]
        self._state = jax.tree.unflatten(structure, restored)
        self.version = int(state["version"])
        self._begun = None

    def _steps(self, fragment: Fragment, weight: Weights | None) -> Steps:
        if weight is None and fragment.num_steps % self.settings.minibatch:
            weight = np.ones(fragment.reward.shape, np.float32)
        return Steps(
            observation=jnp.asarray(fragment.observation[:-1]),
            next_observation=jnp.asarray(fragment.next_observation()),
            action=jnp.asarray(fragment.action, np.int32 if self._action.categories else None),
            log_prob=jnp.asarray(fragment.log_prob),
            reward=jnp.asarray(fragment.reward),
            terminated=jnp.asarray(fragment.terminated),
            truncated=jnp.asarray(fragment.truncated),
            weight=None if weight is None else jnp.asarray(weight, np.float32),
        )

    def _order(self, steps: Steps) -> npt.NDArray[np.int32]:
        return minibatches(
            steps.reward.size,
            None if steps.weight is None else np.asarray(steps.weight).reshape(-1),
            self.settings.epochs,
            self.settings.minibatch,
            self._streams.generator("minibatches", episode=self.version),
        )

    def _step_size(self) -> jax.Array:
        if self.settings.schedule != "linear":
            return self._state.step_size
        left = max(0.0, 1.0 - self.version / self._num_updates)
        return jnp.asarray(self.settings.step_size * left)
