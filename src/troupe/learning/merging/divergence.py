"""How far the models of learners are from each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from troupe.learning.merging.base import Model, Parameters
from troupe.learning.merging.models import Array64, is_moment, rows

OUTLYING = 10.0
"""Distance from the middle of all models, in units of the median one, beyond which a model stands
out."""

SAME = 1e-6
"""Relative distance below which models count as equal."""


def divergence(models: Sequence[Parameters]) -> float:
    """Return the mean distance of models from their mean, relative to the mean's norm.

    Over all weights as one vector, without what normalisers have counted: with models x_i,
    mean_i |x_i - x| / |x| where x = mean_i x_i. 0 for equal models.
    """
    stacked = np.stack([_weights(model) for model in models])
    centre = stacked.mean(axis=0)
    distance = float(np.linalg.norm(stacked - centre, axis=1).mean())
    norm = float(np.linalg.norm(centre))
    return distance / norm if distance else 0.0


def outlying(models: Sequence[Model]) -> dict[int, float]:
    """Return the peers whose models stand out, with how many times the median distance.

    Distances are from the median of all models, number by number; at least three are needed for
    that to mean anything.
    """
    if len(models) < 3:
        return {}
    flat = rows([model.parameters for model in models])
    with np.errstate(over="ignore"):
        distance = np.linalg.norm(flat - np.median(flat, axis=0), axis=1)
    unit = max(float(np.median(distance)), SAME)
    times = distance / unit
    return {m.peer: float(t) for m, t in zip(models, times, strict=True) if t > OUTLYING}


def _weights(model: Parameters) -> Array64:
    arrays = [np.asarray(v, np.float64).ravel() for n, v in model.items() if not is_moment(n)]
    return np.concatenate(arrays)
