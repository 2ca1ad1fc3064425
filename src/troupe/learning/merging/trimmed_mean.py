"""The mean without the least and the greatest, number by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from troupe.learning.merging.base import Merge, Merged, MergeSettings, Model
from troupe.learning.merging.models import combine, need, usable


class TrimmedMean(Merge):
    """The mean without the f least and the f greatest values, number by number (Yin et al., 2018).

    A model that cannot be used counts as one of the f faulty ones.
    """

    def __init__(self, faulty: int) -> None:
        """Leave out as many values at each end."""
        self._faulty = faulty

    def merge(self, own: Model, peers: Sequence[Model], round_number: int) -> Merged:
        models, ignored = usable(own, peers)
        cut = max(0, self._faulty - len(ignored))
        need(models, 2 * cut + 1, f"trimmed-mean with {cut} more faulty peers")
        kept = slice(cut, len(models) - cut)
        merged = combine(models, lambda s: np.asarray(np.sort(s, axis=0)[kept].mean(axis=0)))
        return Merged(merged, ignored)


class TrimmedMeanSettings(MergeSettings):
    """The mean without the least and the greatest, number by number.

    Attributes:
        every: updates that a learner makes between two exchanges.
        faulty: how many learners may send anything; as many values are left out at each end.
    """

    type: Literal["trimmed-mean"] = "trimmed-mean"
    faulty: int = Field(1, ge=0)

    @property
    def least_learners(self) -> int:
        return 2 * self.faulty + 1

    def build(self, seed: int) -> TrimmedMean:
        return TrimmedMean(self.faulty)
