"""Steps from where the policy has rarely been count more (counts as in arXiv 1611.04717)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from troupe.core.seeding import Streams
from troupe.learning.weighting.base import (
    Floats,
    StepRecords,
    Weighting,
    WeightingSettings,
    Weights,
    normalised,
)

NEVER_VARIED = 1e-5
"""Standard deviation below which a component of the first batch counts as constant."""


class NoveltySettings(WeightingSettings):
    """Steps from where the policy has rarely been count more.

    Attributes:
        bits: of the hash; observations fall into 2^bits cells.
        exponent: of the count, w ∝ count^-exponent.
        half_life: updates after which a visit counts half.
    """

    type: Literal["novelty"] = "novelty"
    bits: int = Field(12, ge=1, le=20)
    exponent: float = Field(0.5, ge=0)
    half_life: float = Field(100.0, gt=0)

    def build(self, seed: int = 0) -> Novelty:
        """Return a new weighting, its hash drawn from the seed."""
        return Novelty(self, seed)


class Novelty(Weighting):
    """w ∝ n^-exponent, n the decayed number of steps in the observation's cell, this one included.

    A cell holds the observations on the same side of `bits` random planes through the centre of
    the first batch, in whose standard deviations the components are measured.
    """

    def __init__(self, settings: NoveltySettings, seed: int) -> None:
        self._settings = settings
        self._seed = seed
        self._counts = np.zeros(2**settings.bits)
        self._moments: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None

    def weigh(self, records: StepRecords) -> Weights:
        cells = self._cells(records.observation)
        self._counts *= 2 ** (-1 / self._settings.half_life)
        self._counts += np.bincount(cells, minlength=len(self._counts))
        return normalised(self._counts[cells] ** -self._settings.exponent)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        if self._moments is None:
            return {}
        mean, scale = self._moments
        return {"counts": self._counts.copy(), "mean": mean.copy(), "scale": scale.copy()}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        if state:
            self._counts = np.array(state["counts"])
            self._moments = np.array(state["mean"]), np.array(state["scale"])
        else:
            self._counts, self._moments = np.zeros_like(self._counts), None

    def _cells(self, observation: Floats) -> npt.NDArray[np.int64]:
        """Return the number of each observation's cell, (M,)."""
        observation = observation.astype(np.float64)
        if self._moments is None:
            # of the first batch for good: cells that moved would lose their counts
            deviation = observation.std(axis=0)
            scale = 1 / np.where(deviation > NEVER_VARIED, deviation, 1.0)
            self._moments = observation.mean(axis=0), scale
        mean, scale = self._moments
        rng = Streams(self._seed).generator("novelty")
        planes = rng.standard_normal((observation.shape[1], self._settings.bits))
        sides = ((observation - mean) * scale) @ planes > 0
        cells: npt.NDArray[np.int64] = sides @ (1 << np.arange(self._settings.bits))
        return cells
