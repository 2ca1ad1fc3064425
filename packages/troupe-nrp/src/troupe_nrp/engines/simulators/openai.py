"""Gymnasium environments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from troupe.core.errors import UserError

KIND = "Property"


class OpenAISimulator:
    """Steps an environment once each time step; an episode that ends resets by itself."""

    def __init__(self, world: str, visible: bool, extra: Mapping[str, Any]) -> None:
        """Make the environment.

        Raises:
            UserError: if there is none of that id.
        """
        if extra.get("framework", "gym") == "stable_baselines3":
            raise UserError(
                "EngineExtraConfigs.framework: 'stable_baselines3' does not run on Troupe: give "
                "each environment an engine of its own, or train with troupe train."
            )
        try:
            self._env: gymnasium.Env[Any, Any] = gymnasium.make(
                world, render_mode="human" if visible else None
            )
        except gymnasium.error.Error as error:
            raise UserError(f"WorldFileName: '{world}': {error}") from error
        self._time_ns = 0
        self._values: dict[str, Any] = {}
        self._begin(seed=0)

    def run_step(self, action: Any, timestep_ns: int) -> bool:
        """Apply an action, and return whether the episode has ended."""
        self._time_ns += timestep_ns
        observation, reward, terminated, truncated, info = self._env.step(self._action(action))
        done = bool(terminated or truncated)
        if done:
            observation, info = self._env.reset()
        self._values = {
            "observation": np.asarray(observation).tolist(),
            "reward": float(reward),
            "truncated": bool(truncated),
            "doneFlag": done,
            "trainInfo": info,
        }
        return done

    def reset(self) -> None:
        self._time_ns = 0
        self._begin(seed=0)

    def shutdown(self) -> None:
        self._env.close()

    def names(self, kind: str) -> list[str]:
        _check(kind)
        return list(self._values)

    def value(self, name: str, kind: str) -> Any:
        _check(kind)
        if name not in self._values:
            raise ValueError(f"no property '{name}'; there are {', '.join(self._values)}")
        return self._values[name]

    def values(self, kind: str) -> Any:
        return {name: self.value(name, kind) for name in self.names(kind)}

    def time_s(self) -> float:
        return self._time_ns * 1e-9

    def _begin(self, seed: int | None = None) -> None:
        observation, info = self._env.reset(seed=seed)
        self._values = {
            "observation": np.asarray(observation).tolist(),
            "reward": None,
            "truncated": None,
            "doneFlag": None,
            "trainInfo": info,
        }

    def _action(self, action: Any) -> Any:
        space = self._env.action_space
        if isinstance(space, gymnasium.spaces.Discrete):
            return int(np.asarray(action).reshape(-1)[0])
        if isinstance(space, gymnasium.spaces.Box):
            return np.asarray(action, space.dtype).reshape(space.shape)
        return action


def _check(kind: str) -> None:
    if kind != KIND:
        raise ValueError(f"no kind '{kind}' of properties; there is '{KIND}'")
