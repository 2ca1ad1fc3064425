"""Soft actor-critic (Haarnoja et al., 2018): replayed steps, many compiled gradient steps each."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# small networks take longer on two threads than on one
os.environ.setdefault("PJRT_NPROC", "1")

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from troupe.core import Streams
from troupe.core.arrays import ArraySpec
from troupe.core.errors import UserError
from troupe.core.goals import Goals
from troupe.core.seeding import Generator
from troupe.episodes import Fragment
from troupe.learning import alignment
from troupe.learning.her import Hindsight
from troupe.learning.normalisation import Running
from troupe.learning.replay import SUFFIX, Drawn, Replay, ReplayWriter
from troupe.learning.sac_networks import initial_actor, initial_critics
from troupe.learning.sac_settings import SACSettings
from troupe.learning.sac_update import Batch, gradient_steps, initial_state, see, td_errors
from troupe.learning.sac_weighting import ReplayWeighting
from troupe.learning.weighting import Uniform, build_weighting
from troupe.policies import MlpPolicy

Arrays = dict[str, npt.NDArray[Any]]

MAX_CHUNK = 64
"""Gradient steps of one compiled call."""

MAX_CHUNKS = 64
"""Compiled calls of one update; what a fragment would need beyond that is not made up for."""


class SAC:
    """Actor and critics that learn from all the steps of a replay.

    The replay's content is a part of the state, so that a restored learner goes on exactly. Only
    other writers' files in `SACSettings.replay_directory` are not.
    """

    def __init__(
        self,
        settings: SACSettings,
        observation: ArraySpec,
        action: ArraySpec,
        seed: int,
        num_updates: int,
        goals: Goals | None = None,
    ) -> None:
        """Draw weights from the seed, and make the replay.

        Raises:
            UserError: if the learner does not fit the task.
        """
        if action.categories:
            raise UserError("learner.type: 'sac' needs continuous actions, not categories.")
        if settings.hindsight and goals is None:
            raise UserError(
                "learner.hindsight: the task has no goals that could be changed in hindsight, or "
                "its observations have noise or delays; take 0."
            )
        self.settings = settings
        self.version = 0
        self._num_updates = num_updates
        self._streams = Streams(seed)
        self._key = jax.random.key(self._streams.seed("gradient-steps"), impl="rbg")
        self._chunk = min(MAX_CHUNK, max(1, round(settings.updates_per_step * settings.batch)))
        self._due = 0.0
        num_observations = int(np.prod(observation.shape))
        num_inputs = num_observations + int(np.prod(action.shape))
        rng = self._streams.generator("weights")
        actor = initial_actor(observation, action, settings.hidden, settings.initial_std, rng)
        critics = initial_critics(num_inputs, settings.critics, settings.hidden, rng)
        self._state = initial_state(
            settings, _on_device(actor), _on_device(critics), num_observations
        )
        capacity = min(settings.replay_capacity, num_updates * settings.batch)
        self._writer, self._replay = _open_replay(settings, observation, action, capacity)
        weighting = build_weighting(settings.weighting, seed)
        is_uniform = isinstance(weighting, Uniform)
        self._weighting = None if is_uniform else ReplayWeighting(weighting, self._replay)
        self._hindsight: Hindsight | None = None
        if goals is not None and settings.hindsight:
            self._hindsight = Hindsight(self._replay, goals, settings.hindsight)

    def policy(self) -> MlpPolicy:
        """Return the newest policy, in numpy, with its normalisation."""
        actor = {name: np.array(values) for name, values in self._state.actor.items()}
        seen = self._state.observations
        mean, scale = np.array(seen.mean), np.array(seen.informative_scale)
        return MlpPolicy(
            actor, mean, scale, self.settings.activation, "squashed-normal", self.version
        )

    def prepare(self, num_steps: int, num_instances: int, weighted: bool = False) -> None:
        """Compile the gradient steps, which are the same for all shapes of fragments."""
        records = np.zeros(self._chunk * self.settings.minibatch, self._writer.ring.dtype)
        rows = np.zeros(len(records), np.int64)
        batch = self._batch(Drawn(records, rows, rows, np.ones(len(records), np.float32)))
        steps = gradient_steps.lower(self.settings, self._state, batch, self._key)
        self._compiled = steps.compile()

    def update(
        self, fragment: Fragment, weight: npt.NDArray[np.float32] | None = None
    ) -> dict[str, float]:
        """Add a fragment to the replay, learn from what it holds, and return figures by name.

        Args:
            fragment: of steps, (T, N).
            weight: 0 on padding, (T, N); how much steps count otherwise is decided by the
                learner's own weighting when they are drawn.
        """
        num_steps = self._writer.append(fragment, weight)
        if self.settings.normalise_observations and num_steps:
            real = slice(None) if weight is None else weight > 0
            self._see(fragment.observation[:-1][real])
        self._replay.refresh()
        figures = {"replay_steps": float(len(self._replay))}
        if len(self._replay) >= max(self.settings.start_steps, 1):
            self._due += self.settings.updates_per_step * num_steps
            figures |= self._learn()
        self.version += 1
        return figures

    def priorities(self, fragment: Fragment) -> npt.NDArray[np.float32]:
        """Return |TD| of a fragment's steps under the present critics, (T, N)."""
        shape = fragment.reward.shape
        flat = shape[0] * shape[1]
        batch = Batch(
            observation=jnp.asarray(fragment.observation[:-1].reshape(flat, -1)),
            action=jnp.asarray(fragment.action.reshape(flat, -1)),
            reward=jnp.asarray(fragment.reward.reshape(flat)),
            next_observation=jnp.asarray(fragment.next_observation().reshape(flat, -1)),
            terminated=jnp.asarray(fragment.terminated.reshape(flat)),
            weight=jnp.ones(flat),
        )
        errors = td_errors(self.settings, self._state, batch, self._key)
        return np.asarray(errors).reshape(shape)

    def parameters(self) -> Arrays:
        """Return what merging averages: weights, temperature and moments of observations."""
        state = self._state
        networks = {"actor": state.actor, "critics": state.critics, "targets": state.targets}
        every = {"log_temperature": state.log_temperature}
        for name, network in networks.items():
            every |= _named(name, network)
        every |= _named("observations", state.observations._asdict())
        return {name: np.array(array) for name, array in every.items()}

    def aligned(
        self, models: Sequence[Mapping[str, npt.NDArray[Any]]]
    ) -> list[dict[str, npt.NDArray[Any]]]:
        """Return several learners' `parameters` relative to the same moments."""
        return alignment.aligned(models)

    def adopt(self, parameters: Mapping[str, npt.NDArray[Any]]) -> None:
        """Replace what `parameters` returns; optimisers and replay stay."""
        moments = _on_device(_part("observations", parameters))
        self._state = self._state._replace(
            actor=_on_device(_part("actor", parameters)),
            critics=_on_device(_part("critics", parameters)),
            targets=_on_device(_part("targets", parameters)),
            log_temperature=jnp.asarray(parameters["log_temperature"]),
            observations=Running(**moments),
        )

    def state(self) -> Arrays:
        """Return weights, optimisers, moments, the replay's content and the version."""
        leaves = jax.tree.leaves(self._state)
        arrays = {f"leaf.{i:03d}": np.array(leaf) for i, leaf in enumerate(leaves)}
        arrays |= _named("replay", self._writer.state())
        if self._weighting is not None:
            arrays |= _named("weighting", self._weighting.state())
        return {**arrays, "version": np.asarray(self.version), "due": np.asarray(self._due)}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state."""
        leaves, structure = jax.tree.flatten(self._state)
        restored = [jnp.asarray(state[f"leaf.{i:03d}"]) for i in range(len(leaves))]
        self._state = jax.tree.unflatten(structure, restored)
        self._writer.restore(_part("replay", state))
        if self._weighting is not None:
            self._weighting.restore(_part("weighting", state))
        if self._hindsight is not None:
            self._hindsight.forget()
        self.version, self._due = int(state["version"]), float(state["due"])

    def _see(self, observation: npt.NDArray[Any]) -> None:
        seen = self._state.observations
        flat = observation.reshape(-1, len(seen.mean))
        # by numpy, or it would be compiled for each number of steps
        self._state = see(self._state, seen.merge(flat))  # type: ignore[arg-type]

    def _learn(self) -> dict[str, float]:
        """Take the gradient steps that are due, in whole chunks."""
        rng = self._streams.generator("replay", episode=self.version)
        chunks = min(int(self._due // self._chunk), MAX_CHUNKS)
        self._due = min(self._due - chunks * self._chunk, self._chunk)
        if not chunks:
            return {}
        weighed = {}
        if self._weighting is not None:
            weighed = self._weighting.weigh(self.version, self.version / self._num_updates)
        if self._hindsight is not None:
            self._hindsight.refresh()
        rows = [self._learn_chunk(rng) for _ in range(chunks)]
        return {**weighed, **{n: float(np.mean([row[n] for row in rows])) for n in rows[0]}}

    def _learn_chunk(self, rng: Generator) -> dict[str, float]:
        size = self._chunk * self.settings.minibatch
        source = self._weighting or self._replay
        drawn = source.draw(rng, size)
        relabelled = np.zeros(size, np.bool_)
        if self._hindsight is not None:
            relabelled = self._hindsight.relabel(rng, drawn)
        self._state, figures, errors = self._compiled(self._state, self._batch(drawn), self._key)
        if self._weighting is not None:
            self._weighting.learned(drawn, np.asarray(errors).reshape(-1), ~relabelled)
        return {name: float(value) for name, value in figures.items()}

    def _batch(self, drawn: Drawn) -> Batch:
        shape = (self._chunk, self.settings.minibatch)
        fields = {name: drawn.records[name] for name in Batch._fields if name != "weight"}
        fields["weight"] = drawn.weight
        return Batch(**{n: jnp.asarray(a.reshape(*shape, *a.shape[1:])) for n, a in fields.items()})


def _named(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def _part(prefix: str, arrays: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    start = f"{prefix}/"
    return {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}


def _on_device(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, jax.Array]:
    return {name: jnp.asarray(array) for name, array in arrays.items()}


def _open_replay(
    settings: SACSettings, observation: ArraySpec, action: ArraySpec, capacity: int
) -> tuple[ReplayWriter, Replay]:
    """Return the learner's own ring file, and what is drawn from."""
    given = settings.replay_directory
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
    directory = given or Path(tempfile.mkdtemp(prefix="troupe-replay-"))
    try:
        writer = ReplayWriter(directory / f"learner{SUFFIX}", observation, action, capacity)
        return writer, Replay(directory, writer.ring.dtype)
    finally:
        if given is None:
            # what is mapped stays until the last one lets go of it, and nothing is left behind
            shutil.rmtree(directory)
