"""Policies that need no learning, to compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.policies.base import FloatRows, PolicyStep


class ZeroPolicy:
    """Does nothing: all actions are 0."""

    version = 0

    def __init__(self, num_actions: int) -> None:
        """Act for that many components."""
        self.noise_size = num_actions

    def act(
        self, observation: npt.NDArray[Any], noise: FloatRows | None = None, first_instance: int = 0
    ) -> PolicyStep:
        """Return zeros, (N, num_actions)."""
        return PolicyStep(
            np.zeros((len(observation), self.noise_size), np.float32),
            np.zeros(len(observation), np.float32),
        )
