"""Gymnasium environments, stepped one after the other."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Discrete

from troupe.core.arrays import ArraySpec, Ids, as_indices
from troupe.core.errors import UserError
from troupe.engines.base import EngineSpec, Fault, StepCounter, check_pack
from troupe.engines.gymnasium_settings import GymnasiumSettings
from troupe.engines.mujoco_log import keep_log_out_of_files, silent

DEFAULT_TIMESTEP_NS = Fraction(20_000_000)
NO_TIME_LIMIT = -1  # as `gymnasium.make` takes it; the limit is the experiment's

Environment = gymnasium.Env[Any, Any]


class GymnasiumEngine:
    """Steps `num_instances` environments of one id, without Gymnasium's own time limit.

    Packs are ``action`` to write, and ``observation``, ``reward`` (the sum over the steps of an
    advance), ``terminated`` and ``truncated`` to read. An instance that has ended does not step
    until it is reset. Where an observation or reward is not finite, the instance is reset and
    reported by `faults`.

    Environments run in a plain loop: their steps hold Python's lock most of the time, and a pool
    of threads made even those with MuJoCo slower. A snapshot is the seed and the actions of each
    present episode, which `restore` plays again: exact for any environment that is deterministic.
    """

    def __init__(self, settings: GymnasiumSettings, name: str, num_instances: int) -> None:
        """Make the environments.

        Raises:
            UserError: if there is no such environment, or its spaces are not supported.
        """
        keep_log_out_of_files()
        self._envs = make_environments(settings, f"engines.{name}", num_instances)
        env = self._envs[0]
        spec = env.unwrapped.spec
        assert spec is not None
        self.id: str = spec.id
        where = f"engines.{name}.id: {settings.id}"
        action = _action_spec(env.action_space, where)
        observation = _observation_spec(env.observation_space, where)
        self._first_category = int(getattr(env.action_space, "start", 0))
        self.spec = EngineSpec(
            name=name,
            timestep_ns=settings.timestep or _timestep_ns(env),
            num_instances=num_instances,
            inputs={"action": action},
            outputs={
                "observation": observation,
                "reward": ArraySpec(()),
                "terminated": ArraySpec((), dtype=np.dtype(np.bool_)),
                "truncated": ArraySpec((), dtype=np.dtype(np.bool_)),
            },
            can_snapshot=not spec.nondeterministic,
        )
        self._counter = StepCounter(self.spec.timestep_ns, num_instances)
        self._outputs = {
            pack: np.zeros((num_instances, *s.shape), s.dtype)
            for pack, s in self.spec.outputs.items()
        }
        self._action = np.zeros((num_instances, *action.shape), action.dtype)
        self._seed = np.zeros(num_instances, np.int64)
        self._num_acted = np.zeros(num_instances, np.int64)
        self._acted = np.zeros((num_instances, 64, *action.shape), action.dtype)
        self._faults: list[Fault] = []

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        """Begin an episode of instances, each from its seed."""
        ids = as_indices(instances, self.spec.num_instances)
        self._counter.reset(instances)
        self._action[ids] = 0
        for i, seed in zip(ids, seeds, strict=True):
            self._begin(int(i), seed)

    def write(self, pack: str, value: npt.ArrayLike, instances: Ids | None = None) -> None:
        """Set the action of instances, which holds until it is set again."""
        check_pack(self.spec.inputs, pack, self.spec.name)
        self._action[slice(None) if instances is None else instances] = value

    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        """Step the environments that have not ended, as often as fits into the duration."""
        self._faults = []
        if duration_ns == 0:
            return
        for steps in self._counter.advance(duration_ns, instances):
            ids = as_indices(steps.instances, self.spec.num_instances)
            self._outputs["reward"][ids] = 0.0
            for _ in range(steps.count):
                self._step(ids)
        observation, reward = self._outputs["observation"], self._outputs["reward"]
        if not (np.isfinite(observation).all() and np.isfinite(reward).all()):
            self._recover()

    def read(self, pack: str) -> npt.NDArray[Any]:
        """Return a pack's values, (num_instances, ...)."""
        check_pack(self.spec.outputs, pack, self.spec.name)
        return self._outputs[pack]

    def faults(self) -> Sequence[Fault]:
        """Return the instances whose observation or reward was not finite."""
        return self._faults

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the seed and the actions of each present episode."""
        return {
            "seed": self._seed.copy(),
            "num_acted": self._num_acted.copy(),
            "acted": self._acted[:, : max(1, self._num_acted.max())].copy(),
            "action": self._action.copy(),
            "reward": self._outputs["reward"].copy(),
            "remainder": self._counter.remainder.copy(),
        }

    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], instances: Ids | None = None
    ) -> None:
        """Play the episodes again, up to where they were."""
        ids = as_indices(instances, self.spec.num_instances)
        for i in ids:
            self._begin(int(i), int(snapshot["seed"][i]))
            for action in snapshot["acted"][i, : snapshot["num_acted"][i]]:
                self._action[i] = action
                self._step([i])
        self._action[ids] = snapshot["action"][ids]
        # the sum over the last advance, which may have been several steps
        self._outputs["reward"][ids] = snapshot["reward"][ids]
        self._counter.remainder[ids] = snapshot["remainder"][ids]

    def close(self) -> None:
        """Close the environments."""
        for env in self._envs:
            env.close()
        self._envs = []

    def _begin(self, i: int, seed: int) -> None:
        observation, _ = self._envs[i].reset(seed=seed)
        self._seed[i], self._num_acted[i] = seed, 0
        outputs = self._outputs
        outputs["observation"][i], outputs["reward"][i] = observation, 0.0
        outputs["terminated"][i] = outputs["truncated"][i] = False

    def _step(self, ids: Iterable[int]) -> None:
        outputs = self._outputs
        observations, rewards = outputs["observation"], outputs["reward"]
        terminated, truncated = outputs["terminated"], outputs["truncated"]
        ids = [i for i in ids if not (terminated[i] or truncated[i])]
        self._remember(ids)
        actions = self._action + self._first_category if self._first_category else self._action
        for i in ids:
            step = self._envs[i].step(actions[i])
            observations[i], terminated[i], truncated[i] = step[0], step[2], step[3]
            rewards[i] += step[1]

    def _remember(self, ids: Sequence[int]) -> None:
        if self._num_acted.max() == self._acted.shape[1]:
            self._acted = np.concatenate([self._acted, np.zeros_like(self._acted)], axis=1)
        self._acted[ids, self._num_acted[ids]] = self._action[ids]
        self._num_acted[ids] += 1

    def _recover(self) -> None:
        finite = np.isfinite(self._outputs["observation"]).all(axis=1)
        finite &= np.isfinite(self._outputs["reward"])
        for i in np.flatnonzero(~finite):
            acted = self._acted[i, : self._num_acted[i]].copy()
            last_state = {"seed": self._seed[i].copy(), "actions": acted}
            self._faults.append(Fault(int(i), "observation or reward is not finite", last_state))
            self._begin(int(i), int(self._seed[i]))


def make_environments(settings: GymnasiumSettings, where: str, count: int) -> list[Environment]:
    """Return new environments.

    Raises:
        UserError: if there is none of that id, or it cannot be made.
    """
    try:
        # MuJoCo warns of some of Gymnasium's own models, once for each copy
        with silent():
            return [_make(settings) for _ in range(count)]
    except (gymnasium.error.NameNotFound, gymnasium.error.NamespaceNotFound) as error:
        raise UserError(f"{where}.id: {_unknown(settings.id)}") from error
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        raise UserError(f"{where}.id: '{settings.id}' cannot be made: {error}") from error


def _make(settings: GymnasiumSettings) -> Environment:
    return gymnasium.make(
        settings.id,
        max_episode_steps=NO_TIME_LIMIT,
        disable_env_checker=True,
        **settings.kwargs,
    )


def _unknown(id: str) -> str:
    close = difflib.get_close_matches(id, gymnasium.registry, n=5, cutoff=0.4)
    nearest = (
        f"Nearest: {', '.join(close)}." if close else "gymnasium.pprint_registry() lists them."
    )
    return f"unknown Gymnasium environment '{id}'. {nearest}"


def _timestep_ns(env: Environment) -> Fraction:
    dt = getattr(env.unwrapped, "dt", None)
    return DEFAULT_TIMESTEP_NS if dt is None else Fraction(round(dt * 1e9))


def _action_spec(space: gymnasium.Space[Any], where: str) -> ArraySpec:
    if isinstance(space, Discrete):
        return ArraySpec((), dtype=np.dtype(np.int64), categories=int(space.n))
    if isinstance(space, Box) and len(space.shape) == 1:
        return ArraySpec(space.shape, low=space.low, high=space.high, dtype=space.dtype)
    raise UserError(f"{where}: actions are {space}. Supported: Discrete, and Box of one axis.")


def _observation_spec(space: gymnasium.Space[Any], where: str) -> ArraySpec:
    if isinstance(space, Box) and len(space.shape) == 1:
        return ArraySpec(space.shape, low=space.low, high=space.high, dtype=space.dtype)
    raise UserError(f"{where}: observations are {space}. Supported: Box of one axis.")
