"""Weightings: how much each step counts in an update.

Enters: records of the steps, i.e. lag, source, priority, trajectory, return, observation. Leaves:
weights with mean 1. Plain numpy; knows no learner. To add one, copy `lag_decay.py`, name its
settings in the entry-point group ``troupe.weightings``, and call `conformance` in its test.
docs/how-to/weight-episodes.md says what each does and when it helps.
"""

from troupe.learning.weighting.base import (
    Draws,
    StepRecords,
    Weighting,
    WeightingSettings,
    effective_sample_size,
)
from troupe.learning.weighting.choice import WeightingChoice, build_weighting, check_fit
from troupe.learning.weighting.summary import WeightSummary, check_sample_size, summarise
from troupe.learning.weighting.uniform import Uniform, UniformSettings

__all__ = [
    "Draws",
    "StepRecords",
    "Uniform",
    "UniformSettings",
    "WeightSummary",
    "Weighting",
    "WeightingChoice",
    "WeightingSettings",
    "build_weighting",
    "check_fit",
    "check_sample_size",
    "effective_sample_size",
    "summarise",
]
