"""All-reduce: all learners take the same step, along the mean of their gradients."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from troupe.learning.merging.average import Average
from troupe.learning.merging.base import Exchange, MergeSettings


class AllReduceSettings(MergeSettings):
    """All learners take the same step for each minibatch, along the mean of their gradients.

    The learners' minibatches together are one large one, and their models stay equal. What
    normalisers have counted is averaged after each update.

    Attributes:
        every: always 1.
    """

    exchange: ClassVar[Exchange] = "gradients"

    type: Literal["all-reduce"] = "all-reduce"
    every: int = Field(1, ge=1, le=1)

    def build(self, seed: int) -> Average:
        """Return what merges gradients, and the learners' normalisers."""
        return Average()
