"""Krum: the model, or the mean of the models, that most others are near to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from troupe.learning.merging.base import Merge, Merged, MergeSettings, Model
from troupe.learning.merging.models import Array64, combine, need, rows, usable


class Krum(Merge):
    """Krum and multi-Krum (Blanchard et al., 2017).

    The score of a model among n, of which f may be faulty, is the sum of the squared distances to
    its n - f - 2 nearest others; those with the lowest scores are selected, and averaged.
    Distances are between `models.rows`. A model that cannot be used counts as one of the f faulty
    ones.
    """

    def __init__(self, faulty: int, selected: int) -> None:
        """Trust all but `faulty` peers, and average the `selected` best."""
        self._faulty = faulty
        self._selected = selected

    def merge(self, own: Model, peers: Sequence[Model], round_number: int) -> Merged:
        models, ignored = usable(own, peers)
        faulty = max(0, self._faulty - len(ignored))
        need(models, 2 * faulty + 3, f"krum with {faulty} more faulty peers")
        order = np.argsort(scores(rows([m.parameters for m in models]), faulty), kind="stable")
        # fewer than asked for, where fewer came
        num_selected = min(self._selected, len(models) - faulty)
        # all alike: how many steps a peer has learned from is what it says itself
        best = [models[i] for i in sorted(order[:num_selected])]
        return Merged(combine(best, lambda stacked: np.asarray(stacked.mean(axis=0))), ignored)


def scores(flat: Array64, faulty: int) -> Array64:
    """Return the score of each of n models, (n, D), the lower the better."""
    with np.errstate(over="ignore"):
        squared = np.stack([((flat - row) ** 2).sum(axis=1) for row in flat])
    np.fill_diagonal(squared, 0.0)
    num_near = len(flat) - faulty - 2
    # the nearest of all is the model itself
    return np.asarray(np.sort(squared, axis=1)[:, 1 : num_near + 1].sum(axis=1))


class KrumSettings(MergeSettings):
    """The model, or the mean of the models, that most others are near to.

    Attributes:
        every: updates that a learner makes between two exchanges.
        faulty: how many learners may send anything; there must be 2 faulty + 3 learners.
        selected: how many models are averaged: 1 is Krum, more are multi-Krum.
    """

    type: Literal["krum"] = "krum"
    faulty: int = Field(1, ge=0)
    selected: int = Field(1, ge=1)

    @property
    def least_learners(self) -> int:
        return max(2 * self.faulty + 3, self.selected + self.faulty)

    def build(self, seed: int) -> Krum:
        return Krum(self.faulty, self.selected)
