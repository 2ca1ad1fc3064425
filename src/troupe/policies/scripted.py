"""Policies that need no learning, to compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.policies.base import FloatRows, PolicyStep


class UniformPolicy:
    """Draws each component of an action uniformly from -1 .. 1, whatever it observes."""

    version = 0

    def __init__(self, num_actions: int) -> None:
        """Act for that many components."""
        self.noise_size = num_actions

    def act(
        self, observation: npt.NDArray[Any], noise: FloatRows | None = None, first_instance: int = 0
    ) -> PolicyStep:
        """Return 2 F(noise) - 1 for the standard normal's distribution function F, (N, actions).

        Without noise that is the middle.
        """
        from scipy.special import erf

        num_rows = len(observation)
        if noise is None:
            noise = np.zeros((num_rows, self.noise_size), np.float32)
        action = erf(noise / np.sqrt(2.0)).astype(np.float32)
        log_prob = np.full(num_rows, -self.noise_size * np.log(2.0), np.float32)
        return PolicyStep(action, log_prob)


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
