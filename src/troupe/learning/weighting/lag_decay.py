"""Steps of older policies count less."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from troupe.learning.weighting.base import (
    StepRecords,
    Weighting,
    WeightingSettings,
    Weights,
    normalised,
)


class LagDecaySettings(WeightingSettings):
    """Steps of older policies count less.

    Attributes:
        half_life: updates of lag after which a step counts half.
    """

    type: Literal["lag-decay"] = "lag-decay"
    half_life: float = Field(4.0, gt=0)

    def build(self, seed: int = 0) -> LagDecay:
        """Return a new weighting."""
        return LagDecay(self.half_life)


class LagDecay(Weighting):
    """w ∝ 2^(-lag / half_life): relative to the batch, which may be old as a whole."""

    def __init__(self, half_life: float) -> None:
        self._half_life = half_life

    def weigh(self, records: StepRecords) -> Weights:
        # from the newest step of the batch, so that what is old as a whole does not vanish
        lag = (records.lag - records.lag.min()).astype(np.float64)
        return normalised(np.exp2(-lag / self._half_life))
