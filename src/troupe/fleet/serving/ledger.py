"""Which instances of a fleet wait for an action, and whether actions can be given them."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Ids
from troupe.core.errors import UserError
from troupe.experiments.environments import space_of
from troupe.fleet.serving.spec import FleetSpec

WAITING, GIVEN, READY = range(3)
_SHOWN = 8


class Ledger:
    """The state of each instance: its action is waited for, was given, or its result is ready."""

    def __init__(self, spec: FleetSpec) -> None:
        """Begin with all instances on their way to their first observation."""
        self._spec = spec
        self._space = space_of(spec.action)
        self._state = np.full(spec.num_instances, GIVEN, np.int8)
        self._firsts = np.asarray(spec.bounds[:-1], np.int64)

    @property
    def waiting(self) -> Ids:
        """The instances that wait for an action."""
        return np.flatnonzero(self._state == WAITING)

    @property
    def given(self) -> Ids:
        """The instances that were given one."""
        return np.flatnonzero(self._state == GIVEN)

    def begin(self) -> None:
        """Let all instances be on their way, as after a reset."""
        self._state[:] = GIVEN

    def arrive(self, ids: Ids) -> None:
        """Note that results of instances are ready."""
        self._state[ids] = READY

    def deliver(self, ids: Ids) -> None:
        """Note that the user has the results, so that the instances wait for an action."""
        self._state[ids] = WAITING

    def give(self, actions: npt.ArrayLike, ids: npt.ArrayLike) -> tuple[npt.NDArray[Any], Ids]:
        """Return checked actions, (n, ...), and ids, (n,), which now do not wait any more.

        Raises:
            UserError: if an id is unknown or does not wait, or an action is not of the space.
        """
        checked_ids = self._checked_ids(ids)
        checked = self._checked_actions(actions, checked_ids)
        self._state[checked_ids] = GIVEN
        return checked, checked_ids

    def check_reachable(self, min_ready: int) -> None:
        """Check that so many instances will be ready without further actions.

        Raises:
            UserError: if not, as one would wait for ever.
        """
        ready = self._state == READY
        all_given = np.minimum.reduceat(self._state == GIVEN, self._firsts)
        reachable = int(ready.sum() + np.repeat(all_given, np.diff(self._spec.bounds)).sum())
        if min_ready <= reachable:
            return
        message = (
            f"min_ready: {min_ready}, but only {reachable} instances step or are ready; "
            f"{shown(self.waiting)} wait for an action."
        )
        held = np.setdiff1d(self.given, np.flatnonzero(np.repeat(all_given, self._sizes)))
        if len(held):
            message += f" {shown(held)} step together with some of these."
        raise UserError(message)

    @property
    def _sizes(self) -> Ids:
        return np.diff(self._spec.bounds)

    def _checked_ids(self, given: npt.ArrayLike) -> Ids:
        ids = np.asarray(given)
        num_instances = self._spec.num_instances
        if ids.ndim != 1 or (ids.dtype.kind not in "iu" and ids.size):
            raise UserError(f"ids: an array of whole numbers, (n,), not {given!r}.")
        ids = ids.astype(np.int64)
        outside = ids[(ids < 0) | (ids >= num_instances)]
        if len(outside):
            raise UserError(
                f"ids: there is no instance {outside[0]}; valid: 0 to {num_instances - 1}."
            )
        if len(np.unique(ids)) < len(ids):
            values, counts = np.unique(ids, return_counts=True)
            raise UserError(f"ids: {values[counts > 1][0]} stands twice; each can act once.")
        busy = ids[self._state[ids] != WAITING]
        if len(busy):
            why = "has a result to receive" if self._state[busy[0]] == READY else "still steps"
            raise UserError(
                f"ids: instance {busy[0]} {why}; those that wait for an action: "
                f"{shown(self.waiting)}."
            )
        return ids

    def _checked_actions(self, given: npt.ArrayLike, ids: Ids) -> npt.NDArray[Any]:
        spec = self._spec.action
        shape = (len(ids), *spec.shape)
        actions = self._typed(given, shape)
        if spec.categories:
            is_valid = (actions >= 0) & (actions < spec.categories)
        else:
            is_valid = (actions >= self._space.low) & (actions <= self._space.high)  # type: ignore[attr-defined]
        if not is_valid.all():
            row = np.argwhere(~is_valid)[0][0]
            raise UserError(
                f"actions: that of instance {ids[row]} is {actions[row].tolist()}; valid: "
                f"{_range(self._space)}."
            )
        return actions

    def _typed(self, given: npt.ArrayLike, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        try:
            array = np.asarray(given)
            actions = self._spec.action_array(array)
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(f"actions: an array of {shape}, not {given!r}.") from error
        if actions.shape != shape:
            raise UserError(
                f"actions: an array of {actions.shape}; valid for {shape[0]} instances: {shape}."
            )
        if self._spec.action.categories and array.dtype.kind not in "iu" and array.size:
            raise UserError(f"actions: whole numbers are valid, not values of type {array.dtype}.")
        return actions


def shown(ids: Ids) -> str:
    """Return a few of some ids, as text."""
    if len(ids) == 0:
        return "none"
    few = ", ".join(str(i) for i in ids[:_SHOWN])
    return f"{few} and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else few


def _range(space: gymnasium.Space[Any]) -> str:
    if isinstance(space, gymnasium.spaces.Discrete):
        return f"0 to {space.n - 1}"
    assert isinstance(space, gymnasium.spaces.Box)
    low, high = np.unique(space.low), np.unique(space.high)
    if len(low) == len(high) == 1:
        return f"{low[0]:g} to {high[0]:g}"
    return f"{space.low.tolist()} to {space.high.tolist()}"
