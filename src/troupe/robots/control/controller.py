"""What all controllers have in common: goals of instances, and a state that is arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array, Ids, Mask, as_indices
from troupe.core.errors import UserError
from troupe.core.time import NANOSECONDS
from troupe.robots.control.results import ErrorCode, GoalError, GoalStatus, Result

Goal = TypeVar("Goal")
Times = npt.NDArray[np.int64]

NEVER_NS = int(np.iinfo(np.int64).max)


class Controller(ABC, Generic[Goal]):
    """Pursues one goal for each of N instances, and holds where there is none.

    Attributes:
        STATE: names of the arrays that are the whole state, each leading with the instances.
        reads: names of the packs that `update` takes, in order.
        writes: name of the pack for what it returns.
        claims: names of the joints that it commands.
        num_instances: N.
        status: a `GoalStatus` of each instance's last accepted goal, (N,).
        error_code: an `ErrorCode` of the same goal, (N,).
        now_ns: time of the last update, (N,).
        is_stopped: whether a manager lets it wait, so that no goal would be pursued.
    """

    STATE: ClassVar[tuple[str, ...]]
    COMMON: ClassVar[tuple[str, ...]] = ("status", "error_code", "now_ns", "is_new")
    reads: ClassVar[tuple[str, ...]]
    writes: ClassVar[str]

    def __init__(self, claims: Sequence[str], num_instances: int) -> None:
        """Begin without goals."""
        self.claims, self.num_instances = tuple(claims), num_instances
        self.status, self.error_code, self.now_ns = np.zeros((3, num_instances), np.int64)
        self.is_new = np.ones(num_instances, np.bool_)
        self.is_stopped = False

    @abstractmethod
    def update(self, now_ns: int | Times, *measured: Array) -> Array:
        """Return the commands of the present time, (N, ...).

        Args:
            now_ns: the time, one for all instances or (N,).
            measured: what `reads` names, (N, ...) each.
        """

    def hold(self, position: Array, instances: Ids | Mask | None = None) -> None:
        """Forget the goals of instances, which were put somewhere, and hold them there.

        Args:
            position: (K, ...).
            instances: ids or a mask, (N,); default: all.
        """
        ids = self._ids(instances)
        self.status[ids], self.error_code[ids] = GoalStatus.UNKNOWN, ErrorCode.SUCCESSFUL
        self.is_new[ids], self.now_ns[ids] = True, 0
        self._found(ids, np.asarray(position, np.float64))
        self._stay(ids)

    def send(
        self, goals: Goal | Sequence[Goal], instances: Ids | Mask | None = None
    ) -> list[Result]:
        """Accept goals, or say why not; a refused one leaves an instance to what it does.

        Args:
            goals: one for all the instances, or one for each.
            instances: ids or a mask, (N,); default: all.

        Returns:
            One result an instance: SUCCESSFUL where its goal was accepted.

        Raises:
            UserError: if there are not as many goals as instances, or no such instance.
        """
        ids = self._ids(instances)
        each = goals if isinstance(goals, Sequence) else [goals] * len(ids)
        if len(each) != len(ids):
            raise UserError(f"goals: {len(each)} where {len(ids)} instances want one each.")
        if self.is_stopped:
            return [Result(ErrorCode.INVALID_GOAL, "the controller is inactive")] * len(ids)
        results = self._accept_all(ids, each)
        accepted = ids[np.array([bool(result) for result in results], np.bool_)]
        self.status[accepted] = GoalStatus.EXECUTING
        self.error_code[accepted] = ErrorCode.SUCCESSFUL
        return results

    def cancel(self, instances: Ids | Mask | None = None) -> None:
        """End the goals of instances, which then hold where they are."""
        ids = self._ids(instances)
        ids = ids[self.is_active[ids]]
        self.status[ids] = GoalStatus.CANCELED
        self._stay(ids)

    @property
    def is_active(self) -> npt.NDArray[np.bool_]:
        """Which instances have a goal that has not ended, (N,)."""
        active: npt.NDArray[np.bool_] = self.status == GoalStatus.EXECUTING
        return active

    def result(self, instance: int) -> Result:
        """Return what became of an instance's last goal, as far as it ended."""
        code = ErrorCode(int(self.error_code[instance]))
        if code == ErrorCode.SUCCESSFUL:
            return Result()
        return Result(code, self._describe(instance, code))

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the exact state of all instances."""
        return {name: getattr(self, name).copy() for name in (*self.COMMON, *self.STATE)}

    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], instances: Ids | None = None
    ) -> None:
        """Return instances, None for all, to a snapshot's state, bit for bit."""
        rows: Any = slice(None) if instances is None else instances
        for name in (*self.COMMON, *self.STATE):
            getattr(self, name)[rows] = snapshot[name][rows]

    def _ids(self, instances: Ids | Mask | None) -> Ids:
        """Return ids of instances, all for None."""
        ids = np.asarray(as_indices(instances, self.num_instances), np.int64)
        wrong = ids[(ids < 0) | (ids >= self.num_instances)]
        if len(wrong):
            last = self.num_instances - 1
            raise UserError(f"instances: there is no {wrong[0]}; valid: 0 to {last}.")
        return ids

    def _tick(self, now_ns: int | Times) -> Array:
        """Take the time, and return how much has passed since the last update, (N,), s."""
        before = np.where(self.is_new, now_ns, self.now_ns)
        self.now_ns[:] = now_ns
        self.is_new[:] = False
        passed: Array = (self.now_ns - before) / NANOSECONDS["s"]
        return passed

    def _end(self, ids: Ids, code: ErrorCode) -> None:
        """Abort the goals of instances, which then hold where they are."""
        self.status[ids], self.error_code[ids] = GoalStatus.ABORTED, code
        self._stay(ids)

    def _accept_all(self, ids: Ids, goals: Sequence[Goal]) -> list[Result]:
        """Take goals up one by one, unless that can be done for all at once."""
        results = []
        for i, goal in zip(ids.tolist(), goals, strict=True):
            try:
                self._accept(i, goal)
            except GoalError as error:
                results.append(error.result)
            else:
                results.append(Result())
        return results

    @abstractmethod
    def _accept(self, i: int, goal: Goal) -> None:
        """Take an instance's goal up.

        Raises:
            GoalError: if it cannot be pursued.
        """

    @abstractmethod
    def _found(self, ids: Ids, position: Array) -> None:
        """Note where instances are."""

    @abstractmethod
    def _stay(self, ids: Ids) -> None:
        """Let instances hold where they are."""

    @abstractmethod
    def _describe(self, i: int, code: ErrorCode) -> str:
        """Return in words why an instance's goal was aborted."""
