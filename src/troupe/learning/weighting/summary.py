"""What weights amount to, for the log and the alarm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from troupe.learning.weighting.base import Floats, Integers, effective_sample_size

LEAST_SAMPLE_SIZE = 0.5
"""Effective share of the steps below which there is an alarm."""


@dataclass(frozen=True)
class WeightSummary:
    """The weights of one update.

    Attributes:
        sample_size: effective number of steps, as a share of the steps.
        minimum: lowest weight.
        maximum: highest weight.
        source_shares: share of the weight that each source has.
    """

    sample_size: float
    minimum: float
    maximum: float
    source_shares: dict[int, float]

    def figures(self) -> dict[str, float]:
        """Return what stands in the run's metrics, by name."""
        return {
            "weight_sample_size": self.sample_size,
            "weight_min": self.minimum,
            "weight_max": self.maximum,
        }


def summarise(weights: Floats, source: Integers) -> WeightSummary:
    """Return the summary of weights, (M,), of steps from numbered sources, (M,)."""
    sources, place = np.unique(source, return_inverse=True)
    shares = np.bincount(place, weights) / weights.sum()
    return WeightSummary(
        effective_sample_size(weights),
        float(weights.min()),
        float(weights.max()),
        {int(source): float(share) for source, share in zip(sources, shares, strict=True)},
    )


def check_sample_size(share: float) -> str | None:
    """Return the alarm for an effective sample size, a share of the steps; None if it will do."""
    if share >= LEAST_SAMPLE_SIZE:
        return None
    return (
        f"the weights leave an effective sample size of {share:.0%} of the steps, less than "
        f"{LEAST_SAMPLE_SIZE:.0%}: most of what was sampled hardly counts. Weaken the weighting "
        "(a longer half_life, a lower alpha or exponent, a higher temperature) or sample more."
    )
