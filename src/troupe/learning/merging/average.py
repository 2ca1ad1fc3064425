"""The mean of all models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from troupe.learning.merging.base import Merge, Merged, MergeSettings, Model
from troupe.learning.merging.models import mean, need, usable


class Average(Merge):
    """The mean of all models, weighted by the steps that each has learned from."""

    def merge(self, own: Model, peers: Sequence[Model], round_number: int) -> Merged:
        models, ignored = usable(own, peers)
        need(models, 1, "average")
        return Merged(mean(models), ignored)


class AverageSettings(MergeSettings):
    """The mean of all models, weighted by the steps that each has learned from.

    One poisoned model that is finite spoils it; see `median`, `trimmed-mean` and `krum`.

    Attributes:
        every: updates that a learner makes between two exchanges.
    """

    type: Literal["average"] = "average"

    def build(self, seed: int) -> Average:
        return Average()
