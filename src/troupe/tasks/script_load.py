"""From a user's file to a task that is set up, and that names itself in errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import Array, ArraySpec, Ids
from troupe.core.errors import FunctionError, TroupeError, UserError, unknown
from troupe.core.seeding import Generator
from troupe.core.time import NANOSECONDS
from troupe.core.user_code import find_class, load_file, user_traceback
from troupe.tasks.base import Bools, Task
from troupe.tasks.script import ScriptTask, ScriptTaskSettings

FLOAT32 = np.dtype(np.float32)


def load_task(settings: ScriptTaskSettings, world: World, step_ns: int) -> CheckedTask:
    """Return the task that an object of the user's class is, set up for a world.

    Raises:
        UserError: if the file has no such class, it raises, or the world lacks a datapack.
    """
    module = load_file(settings.file, "task.file")
    cls = find_class(module, ScriptTask, settings.class_name, "task")  # type: ignore[type-abstract]
    where = f"task: {cls.__name__} in '{settings.file}'"
    if cls.reward is ScriptTask.reward:
        raise UserError(f"{where} has no method 'reward(self, world, action)'.")
    try:
        task = cls()
        task.parameters = settings.parameters
        task.step_s = step_ns / NANOSECONDS["s"]
        task.setup(world, **settings.parameters)
    except TroupeError as error:
        raise UserError(f"{where}: {error}") from error
    except Exception as error:
        raise UserError(f"{where} cannot be set up:\n{user_traceback(error)}") from error
    if not hasattr(task, "observation_spec"):
        task.observation_spec = _observation_spec(task, world, where)
    if not hasattr(task, "action_spec"):
        task.action_spec = _bind_actions(task, world, where)
    return CheckedTask(task, where)


class CheckedTask(Task):
    """Passes calls on to a user's task, and checks what it returns.

    Attributes:
        script: the user's task.
    """

    def __init__(self, script: ScriptTask, where: str) -> None:
        """Take the specs from a task that is set up; `where` names it in messages."""
        self.script = script
        self._where = where
        self.observation_spec = script.observation_spec
        self.action_spec = script.action_spec

    def reset(self, world: World, instances: Ids, rng: Sequence[Generator]) -> None:
        """Begin episodes."""
        self._call(self.script.reset, world, instances, rng)

    def act(self, world: World, action: npt.NDArray[Any]) -> None:
        """Turn actions, (N, ...), into datapacks."""
        self._call(self.script.act, world, action)

    def observe(self, world: World) -> npt.NDArray[np.float32]:
        """Return observations, (N, ...)."""
        shape = (world.num_instances, *self.observation_spec.shape)
        found = self._call(self.script.observe, world)
        return self._checked("observe", found, shape, FLOAT32)

    def reward(self, world: World, action: npt.NDArray[Any]) -> Array:
        """Return the rewards for the step that ended, (N,)."""
        found = self._call(self.script.reward, world, action)
        return self._checked("reward", found, (world.num_instances,), np.dtype(np.float64))

    def terminated(self, world: World) -> Bools:
        """Return which episodes ended by themselves, (N,)."""
        found = self._call(self.script.terminated, world)
        return self._checked("terminated", found, (world.num_instances,), np.dtype(np.bool_))

    def truncated(self, world: World) -> Bools:
        """Return which episodes the world itself cut off, (N,)."""
        found = self._call(self.script.truncated, world)
        return self._checked("truncated", found, (world.num_instances,), np.dtype(np.bool_))

    def metrics(self, world: World) -> dict[str, Array]:
        """Return figures of the present state by name, each (N,)."""
        shape, dtype = (world.num_instances,), np.dtype(np.float64)
        found = self._call(self.script.metrics, world)
        return {
            name: self._checked(f"metrics['{name}']", values, shape, dtype)
            for name, values in found.items()
        }

    def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return method(*arguments)
        except TroupeError:
            raise
        except Exception as error:
            raise FunctionError(
                f"{self._where}: {method.__name__} raised:\n{user_traceback(error)}"
            ) from error

    def _checked(
        self, name: str, found: Any, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> npt.NDArray[Any]:
        try:
            # a copy: what is read of an engine is a view, which its next step changes
            values = np.array(found, dtype)
        except (TypeError, ValueError):
            values = np.empty(0)
        if values.shape != shape:
            given = f"an array of {found.shape}" if isinstance(found, np.ndarray) else repr(found)
            raise FunctionError(
                f"{self._where}: {name} returned {given}; it must be an array of {shape}, which "
                "leads with the instances."
            )
        return values


def _observation_spec(task: ScriptTask, world: World, where: str) -> ArraySpec:
    if not task.observations:
        raise UserError(f"{where}: name packs in 'observations', or set 'observation_spec'.")
    size = 0
    for name in task.observations:
        if name in world.arrays:
            size += math.prod(world.arrays[name].shape[1:])
        elif name in world.outputs:
            size += _size(world.outputs[name], name, where)
        else:
            valid = [*world.outputs, *world.arrays]
            raise unknown("datapack to read", name, valid, f"{where}: observations")
    return ArraySpec((size,), dtype=FLOAT32)


def _bind_actions(task: ScriptTask, world: World, where: str) -> ArraySpec:
    """Give a task the bounds of its actions, and return their spec."""
    packs: object = task.actions
    if not isinstance(packs, Mapping) or not packs:
        raise UserError(
            f"{where}: give packs with bounds in 'actions', as {{'engine.pack': (low, high)}}, or "
            "set 'action_spec'."
        )
    lows, highs, sizes = [], [], []
    names: list[str] = []
    for pack, given in packs.items():
        if pack not in world.inputs:
            raise unknown("datapack to write", pack, world.inputs, f"{where}: actions")
        spec = world.inputs[pack]
        size = _size(spec, pack, where)
        low, high = _bounds(spec, given, f"{where}: actions: '{pack}'")
        lows.append(low.ravel())
        highs.append(high.ravel())
        sizes.append((pack, spec.shape, size))
        names += spec.names if len(spec.names) == size else [pack] * size
    task._low, task._high = np.concatenate(lows), np.concatenate(highs)
    task._sizes = sizes
    one = np.asarray(1.0)
    return ArraySpec((len(names),), low=-one, high=one, names=tuple(names))


def _bounds(spec: ArraySpec, given: Any, where: str) -> tuple[Array, Array]:
    try:
        low, high = (spec.low, spec.high) if given is None else given
        low, high = (np.broadcast_to(np.asarray(b, np.float64), spec.shape) for b in (low, high))
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: give (low, high), each of shape {spec.shape}.") from error
    if not (np.isfinite(low) & np.isfinite(high) & (low < high)).all():
        raise UserError(f"{where}: bounds ({low}, {high}) must be finite, and low less than high.")
    return low, high


def _size(spec: ArraySpec, pack: str, where: str) -> int:
    if spec.dtype.hasobject:
        raise UserError(f"{where}: '{pack}' is JSON, not numbers.")
    return math.prod(spec.shape)
