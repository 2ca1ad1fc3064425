"""Several weightings at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.learning.weighting.base import (
    Draws,
    StepRecords,
    Weighting,
    Weights,
    limited,
    normalised,
)

MAX_WEIGHT = 10.0
"""What a step counts at most: beyond, single steps would make the gradient."""


class Composition(Weighting):
    """w = min(maximum, c Π w_k), with the c that makes the mean 1."""

    def __init__(self, weightings: Sequence[Weighting], maximum: float = MAX_WEIGHT) -> None:
        """Compose weightings, at least one.

        Args:
            weightings: in any order.
            maximum: of a weight, at least 1.
        """
        self._weightings = tuple(weightings)
        self._maximum = maximum
        self.needs_priority = any(weighting.needs_priority for weighting in weightings)

    def weigh(self, records: StepRecords) -> Weights:
        weights = [normalised(weighting.weigh(records)) for weighting in self._weightings]
        return limited(reduce(np.multiply, weights), self._maximum)

    def draw(self, records: StepRecords) -> Draws:
        draws = [weighting.draw(records) for weighting in self._weightings]
        # draws of each step in M draws, and what it counts
        drawn = reduce(np.multiply, [normalised(d.probability) for d in draws])
        corrections = reduce(np.multiply, [d.correction for d in draws])
        intensity = limited(drawn, self._maximum)
        weights = limited(drawn * corrections, self._maximum)
        correction = weights / intensity
        return Draws(intensity / records.num_steps, correction / correction.max())

    def state(self) -> dict[str, npt.NDArray[Any]]:
        return {
            f"{index}.{name}": array
            for index, weighting in enumerate(self._weightings)
            for name, array in weighting.state().items()
        }

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        for index, weighting in enumerate(self._weightings):
            prefix = f"{index}."
            own = {n.removeprefix(prefix): a for n, a in state.items() if n.startswith(prefix)}
            weighting.restore(own)
