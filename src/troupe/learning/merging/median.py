"""The median of all models, number by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from troupe.learning.merging.base import Merge, Merged, MergeSettings, Model
from troupe.learning.merging.models import Array64, combine, need, usable


class Median(Merge):
    """The median of all models, number by number (Yin et al., 2018)."""

    def merge(self, own: Model, peers: Sequence[Model], round_number: int) -> Merged:
        models, ignored = usable(own, peers)
        need(models, 1, "median")
        return Merged(combine(models, _median), ignored)


def _median(stacked: Array64) -> Array64:
    return np.asarray(np.median(stacked, axis=0))


class MedianSettings(MergeSettings):
    """The median of all models, number by number: holds while more than half are honest.

    Attributes:
        every: updates that a learner makes between two exchanges.
    """

    type: Literal["median"] = "median"

    @property
    def least_learners(self) -> int:
        return 3

    def build(self, seed: int) -> Median:
        return Median()
