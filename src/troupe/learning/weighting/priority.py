"""Steps that surprised the critic count more (PER, arXiv 1511.05952; R2D2, Kapturowski 2019)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from troupe.learning.weighting.base import (
    Draws,
    StepRecords,
    Weighting,
    WeightingSettings,
    Weights,
    normalised,
    per_trajectory_max,
)

LEAST_PRIORITY = 1e-6
"""Of the highest one: what no step falls below, so that all can be drawn."""


class PrioritySettings(WeightingSettings):
    """Steps that surprised the critic count more, and less so towards the end of the run.

    This changes the objective as long as the correction is below 1.

    Attributes:
        per: whether a ``trajectory`` has one priority, or each ``step`` its own.
        eta: share of the highest error in a trajectory's priority; the rest is their mean's.
        alpha: power of the priority; 0 is uniform.
        beta: power of the correction at the start of the run.
        final_beta: at its end; at 1 nothing is left of the priorities but how often a step is
            drawn from a replay.
    """

    needs_priority: ClassVar[bool] = True

    type: Literal["priority"] = "priority"
    per: Literal["trajectory", "step"] = "trajectory"
    eta: float = Field(0.9, ge=0, le=1)
    alpha: float = Field(0.6, ge=0)
    beta: float = Field(0.4, ge=0, le=1)
    final_beta: float = Field(1.0, ge=0, le=1)

    def build(self, seed: int = 0) -> Priority:
        """Return a new weighting."""
        return Priority(self)


class Priority(Weighting):
    """What prioritised replay does in the mean, without drawing.

    A replay draws a step with P_i = p_i^α / Σ p^α and multiplies its loss with (M P_i)^-β. In M
    draws the step so counts M P_i (M P_i)^-β = (M P_i)^(1-β). That is the weight where every step
    is used once. (M P_i)^-β alone would turn the priorities about.
    """

    needs_priority = True

    def __init__(self, settings: PrioritySettings) -> None:
        self._settings = settings

    def weigh(self, records: StepRecords) -> Weights:
        return normalised(self._intensity(records) ** (1 - self._beta(records)))

    def draw(self, records: StepRecords) -> Draws:
        intensity = self._intensity(records)
        correction = intensity ** -self._beta(records)
        return Draws(intensity / len(intensity), correction / correction.max())

    def _beta(self, records: StepRecords) -> float:
        begin, end = self._settings.beta, self._settings.final_beta
        return begin + (end - begin) * records.progress

    def _intensity(self, records: StepRecords) -> Weights:
        """Return M P_i, the draws of each step in M draws, (M,)."""
        priority = self._priority(records)
        highest = priority.max()
        if highest == 0:
            return np.ones(records.num_steps)
        return normalised(np.maximum(priority / highest, LEAST_PRIORITY) ** self._settings.alpha)

    def _priority(self, records: StepRecords) -> Weights:
        """Return the priority of each step, or of the trajectory it belongs to, (M,)."""
        assert records.priority is not None, "the learner gave no priorities"
        error = np.abs(records.priority).astype(np.float64)
        if self._settings.per == "step":
            return error
        highest, place = per_trajectory_max(error, records.trajectory)
        mean = np.bincount(place, error) / np.bincount(place)
        eta = self._settings.eta
        priority: Weights = (eta * highest + (1 - eta) * mean)[place]
        return priority
