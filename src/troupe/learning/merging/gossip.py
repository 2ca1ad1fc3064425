"""Gossip: each learner merges the model of one other, drawn at random, into its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from troupe.core import Streams
from troupe.learning.merging.base import Exchange, Merge, Merged, MergeSettings, Model
from troupe.learning.merging.models import combine, fault_of, weighted


class Gossip(Merge):
    """The own model with a share of one neighbour's (Assran et al., 2019)."""

    def __init__(self, share: float, seed: int) -> None:
        """Take a share of a neighbour that follows from a root seed."""
        self._share = share
        self._streams = Streams(seed)

    def neighbour(self, own: int, peers: Sequence[int], round_number: int) -> int:
        """Return whom of the peers to ask in a round, so that the others need not send."""
        rng = self._streams.generator("gossip", own, round_number)
        return sorted(peers)[int(rng.integers(len(peers)))]

    def merge(self, own: Model, peers: Sequence[Model], round_number: int) -> Merged:
        offered = {model.peer: model for model in peers}
        if not offered:
            return Merged(combine([own], lambda stacked: stacked[0]))
        other = offered[self.neighbour(own.peer, list(offered), round_number)]
        fault = fault_of(other.parameters, own.parameters)
        if fault:
            return Merged(combine([own], lambda stacked: stacked[0]), {other.peer: fault})
        shares = np.array([1.0 - self._share, self._share])
        return Merged(combine([own, other], lambda stacked: weighted(stacked, shares)))


class GossipSettings(MergeSettings):
    """Each learner merges the model of one other, drawn at random, into its own; no centre.

    Attributes:
        every: updates that a learner makes between two exchanges.
        share: of the neighbour's model in the merged one.
    """

    exchange: ClassVar[Exchange] = "neighbours"

    type: Literal["gossip"] = "gossip"
    share: float = Field(0.5, gt=0, lt=1)

    @property
    def least_learners(self) -> int:
        return 2

    def build(self, seed: int) -> Gossip:
        return Gossip(self.share, seed)
