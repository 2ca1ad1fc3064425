"""Workers that gave more steps than others do not count for more (VER, arXiv 2210.05064)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from troupe.learning.weighting.base import (
    StepRecords,
    Weighting,
    WeightingSettings,
    Weights,
    normalised,
)


class SourceBalanceSettings(WeightingSettings):
    """The steps of a fast worker or environment together count at most an equal share.

    Attributes:
        limit: steps of a source that count in full: the ``mean`` of the sources in the batch, or
            one more as in ``ver``.
    """

    type: Literal["source-balance"] = "source-balance"
    limit: Literal["mean", "ver"] = "mean"

    def build(self, seed: int = 0) -> SourceBalance:
        """Return a new weighting."""
        return SourceBalance(extra_steps=1 if self.limit == "ver" else 0)


class SourceBalance(Weighting):
    """w ∝ min(1, limit / n), n the number of the source's steps in the batch.

    Slow sources are not raised above the others: few steps with large weights would be noise.
    """

    def __init__(self, extra_steps: int) -> None:
        self._extra_steps = extra_steps

    def weigh(self, records: StepRecords) -> Weights:
        _, place, num_steps = np.unique(records.source, return_inverse=True, return_counts=True)
        limit = num_steps.mean() + self._extra_steps
        return normalised(np.minimum(1.0, limit / num_steps)[place])
