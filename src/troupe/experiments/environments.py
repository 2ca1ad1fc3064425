"""Gymnasium environments made from experiments, for learners of any framework."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from troupe.core import UserError
from troupe.core.arrays import ArraySpec, Ids
from troupe.experiments.load import apply_overrides, build_experiment, read_description
from troupe.experiments.schema import Experiment
from troupe.experiments.simulation import Simulation, Step

Observation = npt.NDArray[np.float32]
Info = dict[str, Any]
Source = str | Path | Mapping[str, Any] | Experiment
"""A name in the catalog, the path of a file, a plain description, or an experiment."""

MAX_SEED = 2**63


class TroupeEnv(gymnasium.Env[Observation, npt.NDArray[Any]]):
    """One instance of an experiment.

    The information of an episode's last step holds the task's metrics, e.g. ``success`` and
    ``error_m``. Episodes are truncated at the task's time limit. Seeds are root seeds: the
    episodes are those of instance 0 of a simulation with that seed.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, experiment: Source, overrides: Iterable[str] = ()) -> None:
        """Build the engines.

        Args:
            experiment: name in the catalog, path of a file, description, or experiment.
            overrides: of what is not an experiment yet, each "key.key=value".

        Raises:
            UserError: if there is no such experiment or it has no task.
        """
        self._simulation = _simulation(experiment, overrides, num_instances=1, num_threads=1)
        self.observation_space = space_of(self._simulation.observation_spec)
        self.action_space = space_of(self._simulation.action_spec)
        self._seeded = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Begin the next episode, or with a seed its first one."""
        super().reset(seed=seed)
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(MAX_SEED))
        self._seeded = True
        self._simulation.reset(seed=None if seed is None else seed % MAX_SEED)
        return self._simulation.observe()[0], {}

    def step(self, action: npt.NDArray[Any]) -> tuple[Observation, float, bool, bool, Info]:
        """Act for one step of the loop."""
        step = self._simulation.step(np.asarray(action)[None])
        terminated, truncated = bool(step.terminated[0]), bool(step.truncated[0])
        info = {}
        if terminated or truncated:
            info = {name: float(v[0]) for name, v in self._simulation.metrics().items()}
        return step.observation[0], float(step.reward[0]), terminated, truncated, info

    def close(self) -> None:
        """Close the engines."""
        self._simulation.close()


class TroupeVectorEnv(VectorEnv[Observation, npt.NDArray[Any], npt.NDArray[Any]]):
    """Many instances of an experiment, stepped together by its engines.

    Instance i does the same as a `TroupeEnv` with the same seed. An episode that ends is followed
    by the next one in the same step: its last observation and metrics are in ``final_obs`` and
    ``final_info``.
    """

    metadata: dict[str, Any] = {
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int,
        experiment: Source,
        overrides: Iterable[str] = (),
        num_threads: int = 0,
    ) -> None:
        """Build the engines.

        Args:
            num_envs: how many instances.
            experiment: name in the catalog, path of a file, description, or experiment.
            overrides: of what is not an experiment yet, each "key.key=value".
            num_threads: native threads, 0 for one a core.

        Raises:
            UserError: if there is no such experiment or it has no task.
        """
        if num_envs < 1:
            raise UserError(f"num_envs: at least 1, not {num_envs}.")
        self._simulation = _simulation(experiment, overrides, num_envs, num_threads)
        self.num_envs = num_envs
        self.single_observation_space = space_of(self._simulation.observation_spec)
        self.single_action_space = space_of(self._simulation.action_spec)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._unseeded = np.ones(num_envs, np.bool_)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, Info]:
        """Begin the next episodes, or with seeds the first ones.

        Args:
            seed: a list of one seed for each instance, or the seed of the first, from which the
                others count on.
            options: ``reset_mask``, (num_envs,) bool: which instances to reset; default: all.
        """
        super().reset(seed=seed if isinstance(seed, int) else None)
        ids = np.flatnonzero(_reset_mask(options or {}, self.num_envs))
        seeds = self._seeds(seed)
        if any(seeds[i] is not None for i in ids):
            self._reset_seeded(ids, seeds)
        else:
            self._simulation.reset(ids)
        return self._simulation.observe(), {}

    def step(
        self, actions: npt.NDArray[Any]
    ) -> tuple[Observation, npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], Info]:
        """Act for one step of the loop, then begin the next episode where one ended."""
        step = self._simulation.step(np.asarray(actions))
        done = np.flatnonzero(step.terminated | step.truncated)
        observation, info = step.observation, {}
        if len(done):
            info = self._final(step, done)
            self._simulation.reset(done)
            observation = self._simulation.observe()
        return observation, step.reward, step.terminated, step.truncated, info

    def close_extras(self, **kwargs: Any) -> None:
        """Close the engines."""
        self._simulation.close()

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        if isinstance(seed, int | np.integer):
            return [(int(seed) + i) % MAX_SEED for i in range(self.num_envs)]
        if seed is None:
            seed = [None] * self.num_envs
        if len(seed) != self.num_envs:
            raise ValueError(f"a seed for each of the {self.num_envs} instances, not {len(seed)}")
        return [
            int(self.np_random.integers(MAX_SEED)) if own is None and unseeded else own
            for own, unseeded in zip(seed, self._unseeded, strict=True)
        ]

    def _reset_seeded(self, ids: Ids, seeds: Sequence[int | None]) -> None:
        given = {int(i): seed % MAX_SEED for i in ids if (seed := seeds[i]) is not None}
        seeded = np.array(list(given), np.int64)
        self._simulation.reset(seeded, seed=list(given.values()))
        self._unseeded[seeded] = False
        rest = np.setdiff1d(ids, seeded)
        if len(rest):
            self._simulation.reset(rest)

    def _final(self, step: Step, done: Ids) -> Info:
        """Return the last observations and metrics of episodes, masked as Gymnasium does."""
        mask = np.zeros(self.num_envs, np.bool_)
        mask[done] = True
        final_obs = np.full(self.num_envs, None, dtype=object)
        for i in done:
            final_obs[i] = step.observation[i]
        final_info: Info = {}
        for name, values in self._simulation.metrics().items():
            final_info[name] = np.where(mask, values, 0.0)
            final_info[f"_{name}"] = mask.copy()
        return {
            "final_obs": final_obs,
            "_final_obs": mask.copy(),
            "final_info": final_info,
            "_final_info": mask,
        }


def make_environment(**arguments: Any) -> TroupeEnv:
    """Return a new `TroupeEnv`; what `gymnasium.make` calls.

    Some callers ask for images first and do without where that is a TypeError. Of a class that
    offers none Gymnasium would warn instead.
    """
    return TroupeEnv(**arguments)


def space_of(spec: ArraySpec) -> gymnasium.Space[Any]:
    """Return the Gymnasium space of an observation or action of one instance.

    Components without bounds get the largest float32, since Gymnasium's checker warns of infinite
    ones.
    """
    if spec.categories:
        return gymnasium.spaces.Discrete(spec.categories)
    largest = np.finfo(np.float32).max
    low = np.clip(spec.low, -largest, largest).astype(np.float32)
    high = np.clip(spec.high, -largest, largest).astype(np.float32)
    return gymnasium.spaces.Box(low, high, spec.shape, np.float32)


def _simulation(
    experiment: Source,
    overrides: Iterable[str],
    num_instances: int,
    num_threads: int,
) -> Simulation:
    if not isinstance(experiment, Experiment):
        if not isinstance(experiment, Mapping):
            experiment = read_description(experiment)
        description = apply_overrides(dict(experiment), overrides)
        # an environment needs no learner of ours, nor what that would import
        experiment = build_experiment({**description, "learner": None})
    if experiment.task is None:
        raise UserError(
            f"experiment '{experiment.name}' has no task, so there is nothing to learn."
        )
    return Simulation(experiment, num_instances, num_threads=num_threads)


def _reset_mask(options: dict[str, Any], num_envs: int) -> npt.NDArray[np.bool_]:
    mask = options.get("reset_mask")
    if mask is None:
        return np.ones(num_envs, np.bool_)
    if not isinstance(mask, np.ndarray) or mask.shape != (num_envs,) or mask.dtype != np.bool_:
        raise ValueError(
            f"options['reset_mask']: a bool array of shape ({num_envs},), not {mask!r}"
        )
    return mask
