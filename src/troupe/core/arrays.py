"""What an array holds: shape, dtype, unit and bounds of one instance's value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt

from troupe.core.errors import UserError

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ArraySpec:
    """Describes a datapack, an observation or an action of one instance.

    Attributes:
        shape: of one instance; exchanged arrays lead with the instance axis.
        unit: of the values, e.g. "rad", "m/s"; empty for pure numbers.
        low: the least valid values, broadcast to shape.
        high: the greatest valid values, broadcast to shape.
        dtype: of the values.
        names: of the first axis' components (joints, axes), if they have any.
        categories: of a discrete value, 0 .. categories - 1; 0 means continuous.

    A dtype of ``object`` with an empty shape is a JSON value (dict, list, text, number, None) for
    each instance.
    """

    shape: tuple[int, ...]
    unit: str = ""
    low: Array = field(default_factory=lambda: np.asarray(-np.inf))
    high: Array = field(default_factory=lambda: np.asarray(np.inf))
    dtype: np.dtype[np.generic] = field(default_factory=lambda: np.dtype(np.float64))
    names: tuple[str, ...] = ()
    categories: int = 0

    def __post_init__(self) -> None:
        """Broadcast the bounds."""
        for bound in ("low", "high"):
            values = np.broadcast_to(np.asarray(getattr(self, bound), np.float64), self.shape)
            object.__setattr__(self, bound, values)


def as_indices(instances: Ids | Mask | None, num_instances: int) -> Ids:
    """Return the ids of instances, all for None; of a mask, those where it is true.

    Raises:
        UserError: if a mask is not (num_instances,).
    """
    if instances is None:
        return np.arange(num_instances)
    mask = np.asarray(instances)
    if mask.dtype != np.bool_:
        return cast("Ids", instances)
    if mask.shape != (num_instances,):
        raise UserError(f"instances: a mask of shape {mask.shape} for {num_instances} instances.")
    return np.flatnonzero(mask)
