"""The task that a Gymnasium environment brings along: its rewards, its ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import Array, ArraySpec, Ids
from troupe.core.seeding import Generator
from troupe.robots import Robot
from troupe.tasks.base import Bools, Task, TaskSettings
from troupe.tasks.control import clip


class GymnasiumTaskSettings(TaskSettings):
    """What the environments of a Gymnasium engine reward.

    Attributes:
        engine: which engine steps the environments.
        episode: the time limit, in place of the environment's own.
    """

    type: Literal["gymnasium"] = "gymnasium"
    engine: str = "env"

    def build(self, robots: Mapping[str, Robot], world: World, step_ns: int) -> GymnasiumTask:
        """Return the task on a world with a Gymnasium engine."""
        return GymnasiumTask(self.engine, world)


class GymnasiumTask(Task):
    """Passes on what an environment says; scales actions in -1 .. 1 to its bounds."""

    def __init__(self, engine: str, world: World) -> None:
        """Find the engine's packs.

        Raises:
            UserError: if the world lacks them.
        """
        self._engine = engine
        for pack in ("reward", "terminated", "truncated"):
            world.output(f"{engine}.{pack}")
        observation = world.output(f"{engine}.observation")
        action = world.input(f"{engine}.action")
        self.observation_spec = ArraySpec(
            observation.shape, "", observation.low, observation.high, np.dtype(np.float32)
        )
        self.action_spec = action
        if not action.categories:
            one = np.asarray(1.0)
            self.action_spec = ArraySpec(action.shape, low=-one, high=one)
        # a component without bounds is taken as it is
        bounded = np.isfinite(action.low) & np.isfinite(action.high)
        low, high = np.where(bounded, action.low, -1.0), np.where(bounded, action.high, 1.0)
        self._centre, self._scale = (low + high) / 2, (high - low) / 2

    def reset(self, world: World, instances: Ids, rng: Sequence[Generator]) -> None:
        """Do nothing: the engine has begun an episode of the environment."""

    def act(self, world: World, action: npt.NDArray[Any]) -> None:
        """Pass actions on: categories, or shares of the environment's bounds."""
        if not self.action_spec.categories:
            action = self._centre + self._scale * clip(action, -1.0, 1.0)
        world.write(f"{self._engine}.action", action)

    def observe(self, world: World) -> npt.NDArray[np.float32]:
        """Return the environments' observations, (N, D)."""
        return self._read(world, "observation").astype(np.float32)

    def reward(self, world: World, action: npt.NDArray[Any]) -> Array:
        """Return the environments' rewards, (N,)."""
        return self._read(world, "reward").copy()

    def terminated(self, world: World) -> Bools:
        """Return which environments say that they have terminated, (N,)."""
        return self._read(world, "terminated").copy()

    def truncated(self, world: World) -> Bools:
        """Return which environments say that they were truncated, (N,)."""
        return self._read(world, "truncated").copy()

    def metrics(self, world: World) -> dict[str, Array]:
        """Return no figures: Gymnasium environments have none in common but the return."""
        return {}

    def _read(self, world: World, pack: str) -> npt.NDArray[Any]:
        return world.read(f"{self._engine}.{pack}")
