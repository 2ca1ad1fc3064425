"""Federated averaging with a momentum of its own between rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from troupe.learning.merging.base import Merge, Merged, MergeSettings, Model, Parameters
from troupe.learning.merging.models import as_type, is_moment, mean, need, usable


class Federated(Merge):
    """An outer step of gradient descent along what the learners' inner steps agree on.

    With the common model x that all began from, and the mean y of the models that they came to, the
    outer gradient is g = x - y, its momentum m' = mu m + g, and Nesterov's step leads to
    x - eta (g + mu m') (Douillard et al., 2023). With eta = 1 and mu = 0 it is the average. What
    normalisers have counted is averaged.
    """

    def __init__(self, step_size: float, momentum: float) -> None:
        """Begin without momentum."""
        self._step_size = step_size
        self._momentum = momentum
        self._velocity: dict[str, npt.NDArray[np.float64]] = {}

    def merge(self, own: Model, peers: Sequence[Model], round_number: int) -> Merged:
        models, ignored = usable(own, peers)
        need(models, 1, "federated")
        averaged = mean(models)
        merged = {
            name: values if is_moment(name) else self._step(name, own.parameters[name], values)
            for name, values in averaged.items()
        }
        return Merged(merged, ignored)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        return {name: values.copy() for name, values in self._velocity.items()}

    def restore(self, state: Parameters) -> None:
        self._velocity = {name: np.array(values) for name, values in state.items()}

    def _step(
        self, name: str, own: npt.NDArray[Any], averaged: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        own = np.asarray(own)
        gradient = own.astype(np.float64) - averaged
        velocity = self._momentum * self._velocity.get(name, 0.0) + gradient
        self._velocity[name] = np.asarray(velocity)
        step = self._step_size * (gradient + self._momentum * velocity)
        return as_type(np.asarray(own - step), own.dtype)


class FederatedSettings(MergeSettings):
    """Federated averaging: many inner updates, then an outer step with Nesterov's momentum.

    Attributes:
        every: inner updates of a learner between two outer ones.
        step_size: of the outer step; 1 without momentum is plain averaging.
        momentum: of the outer steps.
    """

    type: Literal["federated"] = "federated"
    every: int = Field(10, ge=1)
    step_size: float = Field(0.7, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)

    def build(self, seed: int) -> Federated:
        return Federated(self.step_size, self.momentum)
