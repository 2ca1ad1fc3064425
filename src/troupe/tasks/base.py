"""The contract of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import Array, ArraySpec, Ids
from troupe.core.goals import Goals
from troupe.core.seeding import Generator
from troupe.core.settings import Duration, Settings, nanoseconds
from troupe.robots import Robot

Bools = npt.NDArray[np.bool_]


class Task(Protocol):
    """Resets, observes, acts on and rewards the instances of a world.

    Attributes:
        observation_spec: of one instance.
        action_spec: of one instance; continuous actions lie in -1 .. 1.
        decides_always: whether actions count at every step; where not, `decides` says at which.
    """

    observation_spec: ArraySpec
    action_spec: ArraySpec
    decides_always: ClassVar[bool] = True

    def reset(self, world: World, instances: Ids, rng: Sequence[Generator]) -> None:
        """Begin episodes: draw goals and initial states, one stream of randomness each."""

    def act(self, world: World, action: npt.NDArray[Any]) -> None:
        """Turn actions, (N, ...), into datapacks."""

    def observe(self, world: World) -> npt.NDArray[Any]:
        """Return observations, (N, ...)."""

    def reward(self, world: World, action: npt.NDArray[Any]) -> Array:
        """Return the rewards for the step that ended, (N,)."""

    def terminated(self, world: World) -> Bools:
        """Return which episodes ended by themselves, (N,); time limits are not the task's."""

    def truncated(self, world: World) -> Bools:
        """Return which episodes the world itself cut off, (N,); none unless overridden."""
        return np.zeros(world.num_instances, np.bool_)

    def metrics(self, world: World) -> dict[str, Array]:
        """Return figures of the present state by name, each (N,), e.g. ``error_m``."""

    def decides(self, world: World) -> Bools:
        """Return where the next action counts, (N,); everywhere unless overridden."""
        return np.ones(world.num_instances, np.bool_)

    def draws(self, world: World, instance: int) -> Mapping[str, Any]:
        """Return what was drawn for an instance's present episode: numbers, texts or lists."""
        return {}


class TaskSettings(Settings):
    """What a user writes about a task; subclasses add their own keys.

    Attributes:
        episode: the time limit of an episode, after which it is truncated.
    """

    type: str
    episode: Duration = nanoseconds(2_000_000_000)

    def as_measured(self) -> Self:
        """Return the settings that policies are measured under, without what only aids learning."""
        return self

    def build(self, robots: Mapping[str, Robot], world: World, step_ns: int) -> Task:
        """Return a new task on a world.

        Args:
            robots: the robots by the name of the engine that simulates them.
            world: the datapacks that the task will read and write.
            step_ns: simulated time between two actions.

        Raises:
            UserError: if a setting is out of range or the world lacks a datapack.
        """
        raise NotImplementedError

    def goals(self, robots: Mapping[str, Robot]) -> Goals | None:
        """Return how steps can be relabelled with other goals, without a world; None if not.

        Args:
            robots: the robots by the name of the engine that simulates them.
        """
        return None
