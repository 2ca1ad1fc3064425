"""A task that a user writes in a Python file: `ScriptTask`, and the settings that name it.

::

    from troupe.tasks.script import ScriptTask


    class Balance(ScriptTask):
        observations = ("cart.position", "cart.angle")
        actions = {"cart.force": (-10.0, 10.0)}

        def reward(self, world, action):
            return -(world.read("cart.angle") ** 2)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import Array, Ids
from troupe.core.seeding import Generator
from troupe.core.settings import UserFile
from troupe.robots import Robot
from troupe.tasks.base import Bools, Task, TaskSettings
from troupe.tasks.control import clip

if TYPE_CHECKING:
    from troupe.tasks.script_load import CheckedTask

Bounds = tuple[npt.ArrayLike, npt.ArrayLike]


class ScriptTask(Task):
    """A user's task; all that it reads and returns leads with the instances.

    Who writes `observe` or `act` anew sets `observation_spec` or `action_spec` in `setup`, instead
    of the packs.

    Attributes:
        observations: packs, or names of ``world.arrays``, whose values the policy sees, one after
            the other.
        actions: packs that the policy sets, one after the other, with the least and the greatest
            value, or None for the pack's own bounds.
        parameters: what the user wrote in the task's settings.
        step_s: simulated time between two actions.
    """

    observations: Sequence[str] = ()
    actions: Mapping[str, Bounds | None] = {}
    parameters: Mapping[str, Any]
    step_s: float

    # set by whoever builds the task; not in __init__, since users' may call none of ours
    _low: Array
    _high: Array
    _sizes: Sequence[tuple[str, tuple[int, ...], int]]

    def setup(self, world: World, **parameters: Any) -> None:
        """Prepare, once; arrays of its own, ``world.arrays[name]``, become part of snapshots."""

    def reset(self, world: World, instances: Ids, rng: Sequence[Generator]) -> None:
        """Begin episodes in instances: write initial states and goals, one generator for each."""

    def act(self, world: World, action: npt.NDArray[Any]) -> None:
        """Scale actions in -1 .. 1 to the bounds and write them."""
        values = self._low + (clip(action, -1.0, 1.0) + 1.0) * 0.5 * (self._high - self._low)
        first = 0
        for pack, shape, size in self._sizes:
            world.write(pack, values[:, first : first + size].reshape(-1, *shape))
            first += size

    def observe(self, world: World) -> npt.NDArray[np.float32]:
        """Return the values of the packs and arrays, one after the other, (N, D)."""
        parts = [
            world.arrays[name] if name in world.arrays else world.read(name)
            for name in self.observations
        ]
        rows = [part.reshape(world.num_instances, -1) for part in parts]
        return np.concatenate(rows, axis=1, dtype=np.float32, casting="unsafe")

    def reward(self, world: World, action: npt.NDArray[Any]) -> Array:
        """Return the rewards for the step that ended, (N,); each task has its own."""
        raise NotImplementedError

    def terminated(self, world: World) -> Bools:
        """Return which episodes ended by themselves, (N,); none unless overridden."""
        return np.zeros(world.num_instances, np.bool_)

    def metrics(self, world: World) -> dict[str, Array]:
        """Return figures of the present state by name, each (N,); none unless overridden."""
        return {}


class ScriptTaskSettings(TaskSettings):
    """A class in a Python file that derives from `troupe.tasks.script.ScriptTask`.

    Attributes:
        file: that defines the class.
        class_name: of the class; may be left out if the file defines one only.
        parameters: for the class's ``setup``, and its ``self.parameters``.
    """

    type: Literal["script"] = "script"
    file: UserFile
    class_name: str | None = None
    parameters: dict[str, Any] = {}

    def build(self, robots: Mapping[str, Robot], world: World, step_ns: int) -> CheckedTask:
        """Load the file, make an object of its class and return the task that it is.

        Raises:
            UserError: if the file or the class cannot be used, or the world lacks a datapack.
        """
        from troupe.tasks.script_load import load_task

        return load_task(self, world, step_ns)
