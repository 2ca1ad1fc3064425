"""A datapack of a MuJoCo engine: live arrays, and what follows when they are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array, ArraySpec, Ids

Rows = slice | Ids
Follow = Callable[[Rows, Array], None]


@dataclass(frozen=True)
class Pack:
    """Live arrays of a batch, one for each of the pack's objects or one for all of them.

    Attributes:
        spec: of one instance's value.
        parts: live arrays, each (num_instances, ...).
        writable: whether the parts are states, commands or model parameters.
        is_parameter: whether they are model parameters, from which others may have to follow.
        follow: called after a write, with the rows and what stood there before, to let others
            follow.
        memory: what `follow` keeps of each instance, (num_instances, ...), if anything.
        is_negated: whether the parts hold the negatives of the values.
    """

    spec: ArraySpec
    parts: Sequence[npt.NDArray[Any]]
    writable: bool
    is_parameter: bool = False
    follow: Follow | None = None
    memory: npt.NDArray[Any] | None = None
    is_negated: bool = False

    def read(self) -> npt.NDArray[Any]:
        """Return the values, (num_instances, *shape)."""
        values = self.parts[0] if len(self.parts) == 1 else np.stack(self.parts, axis=1)
        return -values if self.is_negated else values

    def write(self, value: npt.ArrayLike, instances: Ids | None) -> None:
        """Set the values of instances, all for None."""
        rows: Rows = slice(None) if instances is None else instances
        if self.follow is None:
            self._assign(value, rows)
            return
        before = np.array(self.read()[rows])
        self._assign(value, rows)
        self.follow(rows, before)

    def of_one(self) -> Pack:
        """Return the pack of its only object, without the axis over objects."""
        (values,), spec = self.parts, self.spec
        own = ArraySpec(spec.shape[1:], spec.unit, spec.low[0], spec.high[0], spec.dtype)
        return replace(self, spec=own, parts=[values[:, 0]])

    def _assign(self, value: npt.ArrayLike, rows: Rows) -> None:
        value = -np.asarray(value) if self.is_negated else value
        if len(self.parts) == 1:
            self.parts[0][rows] = value
            return
        num_rows = len(self.parts[0][rows])
        values = np.broadcast_to(value, (num_rows, *self.spec.shape))
        for i, part in enumerate(self.parts):
            part[rows] = values[:, i]
